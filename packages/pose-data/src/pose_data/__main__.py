# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-data COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from pose_data import DatasetError, __version__
from pose_data.errors import printable

# In the order of help.
COMMANDS = ("check", "stats", "show", "synth", "convert", "fix", "merge", "filter", "pack", "split")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the words of a command line; exits with 2 for bad usage."""
    parser = argparse.ArgumentParser(
        prog="pose-data",
        description="Check, show, count, make and convert keypoint annotations.",
        epilog="pose-data COMMAND --help says more, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"pose-data {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"pose_data.commands.{name}")
        examples = module.EXAMPLES.replace("\n", "\n  ")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"examples:\n  {examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (extra: completion)
        import argcomplete

        argcomplete.autocomplete(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 the data are bad, 2 bad arguments, 130 stopped by Ctrl-C."""
    args = parse(argv)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except DatasetError as error:
        print(printable(f"pose-data: error: {error}"), file=sys.stderr)
        return 1
    except ImportError as error:  # a library is missing or broken
        if (error.name or "").startswith("pose_"):
            raise
        print(f"pose-data: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
            where = "" if error.filename is None else f"{error.filename}: "
            text = f"pose-data: error: {where}{error.strerror or error}"
            print(printable(text), file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # of the output: Python would complain once more when it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pose-data: stopped; no incomplete file is left", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    raise SystemExit(main())
