"""pose-data stats ANNOTATIONS [IMAGES] [-o PAGE.html]: counts, as text and as charts."""

import argparse
from pathlib import Path

from pose_data.commands.options import add_data, load
from pose_data.errors import printable

HELP = "Count keypoints, visibility, box sizes and crowding."
EXAMPLES = """pose-data stats people.json
pose-data stats people.json pictures -o page.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, nargs="?")
    parser.add_argument("-o", "--out", type=Path, help="write a page with charts there")


def run(args: argparse.Namespace) -> int:
    from pose_data.view.stats import statistics
    from pose_data.writing import write_bytes

    found = statistics(load(args))
    print(printable(found.text()))
    if args.out is not None:
        write_bytes(args.out, found.html().encode(errors="backslashreplace"))
        print(f"\npage: {args.out}")
    return 0
