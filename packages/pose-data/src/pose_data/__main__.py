"""The command line: pose-data check | stats | show | synth | convert-aic | split."""

import argparse
import sys

from pose_data import DatasetError, __version__
from pose_data.commands import check, convert_aic, show, split, stats, synth

COMMANDS = (check, stats, show, synth, convert_aic, split)


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 `check` found errors, 2 bad arguments or bad input."""
    parser = argparse.ArgumentParser(
        prog="pose-data", description="Check, look at, make and convert keypoint annotations."
    )
    parser.add_argument("--version", action="version", version=f"pose-data {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = {}
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        command.add_arguments(
            commands.add_parser(name, help=command.HELP, description=command.HELP)
        )
        run[name] = command.run
    args = parser.parse_args(argv)
    try:
        return run[args.command](args)
    except DatasetError as error:
        print(f"pose-data: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
