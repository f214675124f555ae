"""Check a config before it runs: paths, counts, a drawn batch, memory and time."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("config", help="a YAML file or the name of a shipped preset")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. data.root=FOLDER")
    parser.add_argument(
        "--out", type=Path, default=Path("batch.png"), help="the drawn batch (default batch.png)"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; 2 where a run would stop."""
    from pose_train.checking import check
    from pose_train.cores import settle_threads
    from pose_train.read_config import load_config

    config = load_config(args.config, args.overrides)
    settle_threads(config.train.num_threads, config.train.num_workers)
    print(check(config, args.out))
    return 0
