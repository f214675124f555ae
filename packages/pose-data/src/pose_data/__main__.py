# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-data COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module

from pose_data import DatasetError, __version__
from pose_data.errors import manners, printable

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
        said = command.add_argument_group("messages").add_mutually_exclusive_group()
        said.add_argument("-q", "--quiet", action="store_true", help="results and errors alone")
        said.add_argument(
            "-v", "--verbose", action="store_true", help="all of the log, and tracebacks of errors"
        )
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (extra: completion)
        import argcomplete

        argcomplete.autocomplete(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 the data are bad, 2 bad arguments, 130 stopped by Ctrl-C.

    What went wrong is one sentence on stderr, below its traceback where --verbose asks for that.
    """
    args = parse(argv)
    is_usual = not args.quiet and not args.verbose
    with nullcontext() if is_usual else manners(quiet=args.quiet, verbose=args.verbose):
        try:
            code = int(args.run(args))
            sys.stdout.flush()
            return code
        except (DatasetError, ImportError, OSError, KeyboardInterrupt) as error:
            if isinstance(error, ImportError) and (error.name or "").startswith("pose_"):
                raise  # no library that is missing or broken, but our bug
            if args.verbose:
                print(printable(traceback.format_exc()), end="", file=sys.stderr)
            if isinstance(error, KeyboardInterrupt):
                print("pose-data: stopped; no incomplete file is left", file=sys.stderr)
                return 130
            if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
                print(printable(f"pose-data: error: {_sentence(error)}"), file=sys.stderr)
            if isinstance(error, OSError):
                _drop_output()
            return 1


def _sentence(error: Exception) -> str:
    """Return the message; of the system's errors with the file, in the order of ours."""
    if not isinstance(error, OSError):
        return str(error)
    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}{error.strerror or error}"


def _drop_output() -> None:
    """Drop what cannot be printed: Python would complain of it once more when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    raise SystemExit(main())
