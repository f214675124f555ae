"""Go on with a run that was stopped, as if it had not been."""

import argparse
import dataclasses
from pathlib import Path

from pose_train.command_run import train
from pose_train.config import ConfigError
from pose_train.read_config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("run_dir", type=Path, help="its directory, which `pose-train run` named")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes, e.g. train.epochs=300"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    file = args.run_dir / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{args.run_dir} is no run directory: it has no config.yaml")
    # It may have been moved since.
    config = dataclasses.replace(load_config(file, args.overrides), out=str(args.run_dir))
    return train(config, resume=True)
