"""pose-train resume RUN_DIR [key=value ...]: go on with a run that was stopped."""

import argparse
from pathlib import Path

from pose_train.commands.options import add_overrides
from pose_train.commands.run import train

HELP = "Go on with a run that was stopped, as if it had not been."
EXAMPLES = "pose-train resume runs/mine\npose-train resume runs/mine train.epochs=300"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", type=Path, help="its directory, which `pose-train run` named")
    add_overrides(parser, "changes, e.g. train.epochs=300")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from pose_train.config.load import load_config
    from pose_train.config.schema import ConfigError

    file = args.run_dir / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{args.run_dir} is no run directory: it has no config.yaml")
    # It may have been moved since.
    config = replace(load_config(file, args.overrides), out=str(args.run_dir))
    return train(config, resume=True)
