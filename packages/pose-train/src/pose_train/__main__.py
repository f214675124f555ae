"""The command line: pose-train COMMAND ...; one file per command."""

import argparse
import errno
import sys
from types import ModuleType

from pose_train import (
    __version__,
    command_bench,
    command_check,
    command_configs,
    command_doctor,
    command_export,
    command_init,
    command_predict,
    command_resume,
    command_run,
    command_test,
    command_zoo,
)
from pose_train.config import ConfigError, RunError

# Name -> module with `add_arguments(parser)` and `main(args) -> exit code`; the first line of its
# docstring is the help. They import torch late: it takes a second, and a typo should not.
COMMANDS: dict[str, ModuleType] = {
    "run": command_run,
    "resume": command_resume,
    "test": command_test,
    "predict": command_predict,
    "export": command_export,
    "init": command_init,
    "check": command_check,
    "bench": command_bench,
    "doctor": command_doctor,
    "configs": command_configs,
    "zoo": command_zoo,
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 done, 1 data or a run that failed, 2 bad usage or config.

    What went wrong is one sentence on stderr.
    """
    args = _parse(argv)
    try:
        return int(COMMANDS[args.command].main(args))
    except ValueError as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"pose-train: {_sentence(error)}", file=sys.stderr)
        return code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = "" if error.filename is None else f", where {error.filename} was to be written"
        print(f"pose-train: {error.strerror}{where}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pose-train: interrupted", file=sys.stderr)
        return 130


def _exit_code(error: ValueError) -> int | None:
    """Return the code for what the user can cause and mend; our bugs show their traceback."""
    from pose_data import DatasetError
    from pose_eval import ResultsError, SettingsError

    if isinstance(error, (DatasetError, ResultsError, RunError)):
        return 1
    if isinstance(error, (ConfigError, SettingsError)):
        return 2
    # Importing pose_backbones loads torch; where it is not loaded, no error of it can be here.
    backbones = sys.modules.get("pose_backbones")
    return 1 if backbones and isinstance(error, backbones.CheckpointError) else None


def _sentence(error: ValueError) -> str:
    """Return the message; of an error in a worker process, without the traceback around it."""
    text = str(error)
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return text


def _parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse the words; overrides may also stand behind options, where argparse leaves them over."""
    parser = _parser()
    args, left = parser.parse_known_args(argv)
    unknown = [word for word in left if word.startswith("-") or "=" not in word]
    if unknown or (left and not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(unknown or left)}")
    if left:
        args.overrides = [*args.overrides, *left]
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pose-train", description="Train, evaluate and report a pose network."
    )
    parser.add_argument("--version", action="version", version=f"pose-train {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        text = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=text, description=text))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
