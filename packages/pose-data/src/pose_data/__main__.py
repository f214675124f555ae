"""The command line: pose-data COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import sys

from pose_data import DatasetError, __version__
from pose_data.commands import check, convert, filter, fix, merge, show, split, stats, synth

COMMANDS = (check, stats, show, synth, convert, fix, merge, filter, split)


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 the data are bad, 2 bad arguments, 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="pose-data", description="Check, show, count, make and convert keypoint annotations."
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
    except (DatasetError, OSError) as error:
        print(f"pose-data: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pose-data: stopped; no incomplete file is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
