"""pose-train check CONFIG: what would stop a run, or be wrong in it."""

import argparse
import json
from pathlib import Path

from pose_data.errors import printable
from pose_train.commands.options import JSON, add_config, add_overrides, aside
from pose_train.words import are_notes_shown

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
    parser.add_argument("--json", **JSON)


def run(args: argparse.Namespace) -> int:
    """Print what is found; what a run would stop at is an error."""
    from pose_train.config.load import load_config
    from pose_train.cores import settle_threads
    from pose_train.training.check import NOTE, check

    config = load_config(args.config, args.overrides)
    with aside(args):
        settle_threads(config.train.num_threads, config.train.num_workers)
        lines, facts = check(config, args.out)
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    shown = [line for line in lines if are_notes_shown() or not line.startswith(NOTE)]
    print(printable("\n".join(shown)))
    return 0
