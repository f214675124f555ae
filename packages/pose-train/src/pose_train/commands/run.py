"""run and resume: train, evaluate and write a report."""

import argparse
import dataclasses
import sys

from pose_train.config.load import load_config
from pose_train.config.schema import ConfigError
from pose_train.cores import settle_threads
from pose_train.inference.weights import LAST
from pose_train.training.loop import run


def main(args: argparse.Namespace) -> int:
    """Train from the start, or from where a run was stopped."""
    is_resumed = args.command == "resume"
    if is_resumed:
        file = args.run_dir / "config.yaml"
        if not file.is_file():
            raise ConfigError(f"{args.run_dir} is no run directory: it has no config.yaml")
        # It may have been moved since.
        config = dataclasses.replace(load_config(file, args.overrides), out=str(args.run_dir))
    else:
        config = load_config(args.config, args.overrides)
    settle_threads(config.train.num_threads, config.train.num_workers)
    outcome = run(config, resume=is_resumed)
    if outcome is None:  # stopped, or another process of this run prints
        return 0
    if outcome.evaluation is None:
        print(f"not evaluated (eval: null); weights in {LAST}  report {outcome.report}")
        return 0
    print(outcome.evaluation.table())
    print(f"AP {outcome.evaluation.stats['AP'] or 0.0:.3f}  report {outcome.report}")
    if (config.preset or "").startswith("demo"):
        advice = f"to use it on an image: pose-train predict {config.out} IMAGE.jpg --out drawn/"
        print(advice, file=sys.stderr)
    return 0
