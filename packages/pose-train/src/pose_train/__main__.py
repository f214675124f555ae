# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-train COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

from pose_data.commands import add_arguments
from pose_data.errors import drop_output, manners, printable
from pose_train import __version__

# In the order of help.
COMMANDS = (
    *("run", "resume", "test", "predict", "export", "publish", "init", "check", "pack", "bench"),
    *("doctor", "configs", "zoo"),
)
EXAMPLES = """pose-train run demo out=runs/first
pose-train init people.json --images pictures > people.yaml
pose-train run people.yaml out=runs/people
pose-train predict runs/people photos/ --out drawn/
pose-train COMMAND --help"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the words of a command line; exits with 2 for bad usage.

    Overrides may also stand behind options, where argparse leaves them over.
    """
    parser = argparse.ArgumentParser(
        prog="pose-train",
        description="Train, evaluate and report a pose network.",
        epilog="examples:\n  " + EXAMPLES.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pose-train {__version__}")
    add_arguments(parser, "pose_train", COMMANDS)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (extra: completion)
        import argcomplete

        argcomplete.autocomplete(parser)
    args, left = parser.parse_known_args(argv)
    unknown = [word for word in left if word.startswith("-")]
    if unknown or (left and not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(unknown or left)}")
    if left:
        args.overrides = [*args.overrides, *left]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 done, 1 data or a run that failed, 2 bad usage or config.

    What went wrong is one sentence on stderr, below its traceback where --verbose asks for that. A
    library that is missing or broken is such, too.
    """
    args = parse(argv)
    if getattr(args, "offline", False):
        os.environ["POSE_OFFLINE"] = "1"
    if args.quiet:
        from pose_backbones.hub import hide_bars

        hide_bars()
    is_usual = not args.quiet and not args.verbose
    with nullcontext() if is_usual else manners(quiet=args.quiet, verbose=args.verbose):
        try:
            done = int(args.run(args))
            sys.stdout.flush()
            return done
        except (ValueError, ImportError, OSError, KeyboardInterrupt) as error:
            code = _exit_code(error)
            if code is None:
                raise
            if args.verbose:
                print(printable(traceback.format_exc()), end="", file=sys.stderr)
            if isinstance(error, KeyboardInterrupt):
                print("pose-train: interrupted", file=sys.stderr)
            elif not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
                is_lost = isinstance(error, ImportError) and args.command != "doctor"
                advice = "; `pose-train doctor` looks at all libraries" if is_lost else ""
                print(printable(f"pose-train: error: {_sentence(error)}{advice}"), file=sys.stderr)
            if isinstance(error, OSError):
                drop_output()
            return code


def _exit_code(error: BaseException) -> int | None:
    """Return the code for what the user can cause and mend; our bugs show their traceback."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, ImportError):  # a library is missing or broken
        return None if (error.name or "").startswith("pose_") else 1
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return 1 if is_full or isinstance(error, BrokenPipeError) else None
    from pose_backbones import CheckpointError
    from pose_data import DatasetError
    from pose_eval import ResultsError, SettingsError
    from pose_train.config.schema import ConfigError, RunError

    if isinstance(error, (CheckpointError, DatasetError, ResultsError, RunError)):
        return 1
    if isinstance(error, (ConfigError, SettingsError)):
        return 2
    return None


def _sentence(error: Exception) -> str:
    """Return the message; of an error in a worker process, without the traceback around it."""
    if isinstance(error, OSError):
        where = "" if error.filename is None else f", where {error.filename} was to be written"
        return f"{error.strerror}{where}"
    text = str(error)
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return text


if __name__ == "__main__":
    raise SystemExit(main())
