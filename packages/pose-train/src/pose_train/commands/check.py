"""pose-train check CONFIG: what would stop a run, or be wrong in it."""

import argparse
from pathlib import Path

from pose_data.errors import printable
from pose_train.commands.options import add_config, add_overrides

HELP = "Check a config before it runs: paths, counts, a drawn batch, memory and time."
EXAMPLES = "pose-train check my.yaml --out batch.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_overrides(parser, "e.g. data.root=FOLDER")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("batch.png"),
        help="the drawn batch (default batch.png)",
    )


def run(args: argparse.Namespace) -> int:
    """Print what is found; what a run would stop at is an error."""
    from pose_train.config.load import load_config
    from pose_train.cores import settle_threads
    from pose_train.training.check import check

    config = load_config(args.config, args.overrides)
    settle_threads(config.train.num_threads, config.train.num_workers)
    print(printable(check(config, args.out)))
    return 0
