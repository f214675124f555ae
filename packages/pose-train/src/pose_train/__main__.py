# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-train COMMAND ...; `arguments.py` says what there is."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from pose_train.arguments import parse

# The file in `commands/` of those that share one with another command.
FILES = {"resume": "run", "configs": "zoo"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 done, 1 data or a run that failed, 2 bad usage or config.

    What went wrong is one sentence on stderr. A library that is missing or broken is such, too.
    """
    args = parse(argv)
    if getattr(args, "offline", False):
        os.environ["POSE_OFFLINE"] = "1"
    try:
        command = importlib.import_module(
            f"pose_train.commands.{FILES.get(args.command, args.command)}"
        )
        done = int(command.main(args))
        sys.stdout.flush()
        return done
    except ValueError as error:
        from pose_data.errors import printable

        code = _exit_code(error)
        if code is None:
            raise
        print(printable(f"pose-train: error: {_sentence(error)}"), file=sys.stderr)
        return code
    except ImportError as error:
        if (error.name or "").startswith("pose_"):
            raise
        advice = "" if args.command == "doctor" else "; `pose-train doctor` looks at all libraries"
        print(f"pose-train: error: {_sentence(error)}{advice}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads the output, such as `head`, has enough
        _drop_output()
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = "" if error.filename is None else f", where {error.filename} was to be written"
        print(f"pose-train: error: {error.strerror}{where}", file=sys.stderr)
        _drop_output()
        return 1
    except KeyboardInterrupt:
        print("pose-train: interrupted", file=sys.stderr)
        return 130


def _drop_output() -> None:
    """Drop what cannot be printed: Python would complain of it once more when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_code(error: ValueError) -> int | None:
    """Return the code for what the user can cause and mend; our bugs show their traceback."""
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
    text = str(error)
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return text


if __name__ == "__main__":
    raise SystemExit(main())
