# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-data COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

from pose_data import DatasetError, __version__
from pose_data.commands import add_arguments
from pose_data.errors import drop_output, manners, printable

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
    add_arguments(parser, "pose_data", COMMANDS)
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
                drop_output()
            return 1


def _sentence(error: Exception) -> str:
    """Return the message; of the system's errors with the file, in the order of ours."""
    if not isinstance(error, OSError):
        return str(error)
    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}{error.strerror or error}"


if __name__ == "__main__":
    raise SystemExit(main())
