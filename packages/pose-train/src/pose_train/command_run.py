"""Train, evaluate and write a report."""

import argparse

from pose_train.config import Config
from pose_train.read_config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("config", help="a YAML file or the name of a shipped preset")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. train.epochs=5")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    return train(load_config(args.config, args.overrides), resume=False)


def train(config: Config, *, resume: bool) -> int:
    """Run a recipe from the start or from where it was stopped; return the exit code."""
    from pose_train import bottomup, topdown
    from pose_train.checkpoints import LAST
    from pose_train.cores import settle_threads

    settle_threads(config.train.num_threads, config.train.num_workers)
    recipe = {"topdown": topdown.run, "bottomup": bottomup.run}[config.recipe]
    outcome = recipe(config, resume=resume)
    if outcome is None:
        return 0
    if outcome.evaluation is None:
        print(f"not evaluated (eval: null); weights in {LAST}  report {outcome.report}")
        return 0
    ap = outcome.evaluation.stats["AP"] or 0.0
    print(outcome.evaluation.table())
    print(f"AP {ap:.3f}  report {outcome.report}")
    return 0
