"""The command line: pose-train run CONFIG [key=value ...]."""

import argparse
import sys

from pose_train import __version__
from pose_train.config import ConfigError, load_config, shipped_configs


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 done, 2 bad usage or bad input (one sentence on stderr)."""
    args = _parser().parse_args(argv)
    if args.command == "configs":
        print("\n".join(shipped_configs()))
        return 0
    try:
        config = load_config(args.config, args.overrides)
    except ConfigError as error:
        return _refuse(error)
    # Late: torch takes a second to import, and a typo should not.
    from pose_train.topdown import USER_ERRORS, run

    try:
        outcome = run(config)
    except USER_ERRORS as error:
        return _refuse(error)
    except KeyboardInterrupt:
        print("pose-train: interrupted", file=sys.stderr)
        return 130
    ap = outcome.evaluation.stats["AP"] or 0.0
    print(outcome.evaluation.table())
    print(f"AP {ap:.3f}  report {outcome.report}")
    return 0


def _refuse(error: Exception) -> int:
    """Print the message; of an error in a worker process, without the traceback around it."""
    text = str(error)
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2]
    print(f"pose-train: {text}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pose-train", description="Train, evaluate and report a pose network."
    )
    parser.add_argument("--version", action="version", version=f"pose-train {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, evaluate and write a report")
    run.add_argument("config", help="a YAML file or the name of a shipped preset")
    run.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. train.epochs=5")
    commands.add_parser("configs", help="list the shipped presets")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
