"""pose-train run CONFIG [key=value ...]: train, evaluate and write a report."""

import argparse
import sys
from typing import TYPE_CHECKING

from pose_train.commands.options import OFFLINE, add_config, add_overrides
from pose_train.words import note

if TYPE_CHECKING:
    from pose_train.config.schema import Config

HELP = "Train, evaluate and write a report."
EXAMPLES = """pose-train run demo
pose-train run my.yaml train.lr=1e-3 out=runs/mine
torchrun --nproc-per-node 8 -m pose_train run my.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_overrides(parser, "e.g. train.epochs=5")
    parser.add_argument("--offline", **OFFLINE)


def run(args: argparse.Namespace) -> int:
    from pose_train.config.load import load_config

    return train(load_config(args.config, args.overrides), resume=False)


def train(config: "Config", *, resume: bool) -> int:
    """Train from the start, or from where a run was stopped, and print what came of it."""
    from pose_train.cores import settle_threads
    from pose_train.inference.weights import LAST
    from pose_train.training.loop import run

    settle_threads(config.train.num_threads, config.train.num_workers)
    outcome = run(config, resume=resume)
    if outcome is None:  # stopped, or another process of this run prints
        return 0
    if outcome.evaluation is None:
        print(f"not evaluated (eval: null); weights in {LAST}  report {outcome.report}")
        return 0
    print(outcome.evaluation.table())
    print(f"AP {outcome.evaluation.stats['AP'] or 0.0:.3f}  report {outcome.report}")
    if (config.preset or "").startswith("demo"):
        advice = f"to use it on an image: pose-train predict {config.out} IMAGE.jpg --out drawn/"
        note(advice, to=sys.stderr)
    return 0
