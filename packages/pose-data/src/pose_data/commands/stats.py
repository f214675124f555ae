"""pose-data stats ANNOTATIONS [IMAGES] [-o PAGE.html]: counts, as text and as charts."""

import argparse
import json
from pathlib import Path

from pose_data.commands.options import add_data, add_json, load
from pose_data.errors import printable

HELP = "Count keypoints, visibility, box sizes and crowding."
EXAMPLES = """pose-data stats people.json
pose-data stats people.json pictures -o page.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, nargs="?")
    parser.add_argument("-o", "--out", type=Path, help="write a page with charts there")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.view.stats import statistics
    from pose_data.writing import write_bytes

    found = statistics(load(args))
    if args.out is not None:
        write_bytes(args.out, found.html().encode(errors="backslashreplace"))
    if args.json:
        page = None if args.out is None else str(args.out)
        print(json.dumps(found.facts() | {"page": page}, indent=1))
        return 0
    print(printable(found.text()))
    if args.out is not None:
        print(f"\npage: {args.out}")
    return 0
