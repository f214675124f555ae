"""What several commands take."""

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import Any

# For add_argument, beside the names of an option.
WEIGHTS: dict[str, Any] = {"help": "checkpoint; not needed for a run directory or one itself"}
OFFLINE: dict[str, Any] = {
    "action": "store_true",
    "help": "download nothing; same as POSE_OFFLINE=1",
}
JSON: dict[str, Any] = {
    "action": "store_true",
    "help": "print one JSON object, for programs",
}
SIZE: dict[str, Any] = {"type": int, "nargs": 2, "metavar": ("W", "H")}
COUNT: dict[str, Any] = {"type": int, "metavar": "N"}


def add_config(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the config; nargs: "?" where there may be none."""
    parser.add_argument("config", nargs=nargs, help="a YAML file or the name of a shipped preset")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add what a trained network is loaded from."""
    parser.add_argument(
        "source", help="a run directory, a checkpoint, hf://USER/NAME, a preset or a YAML file"
    )


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """Add key=value words; `parse` in `__main__` takes those behind options, too."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=example)


def aside(args: argparse.Namespace) -> AbstractContextManager[object]:
    """Send what is printed in a block to stderr, where --json has stdout for its object alone."""
    return redirect_stdout(sys.stderr) if args.json else nullcontext()
