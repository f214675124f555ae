"""pose-data fix ANNOTATIONS OUT: repair ids, counts, boxes, areas, duplicates and file names."""

import argparse
from pathlib import Path

from pose_data.commands.options import add_json, new_path, report

HELP = "Repair an annotation file: ids, counts, boxes, areas, duplicates, file names."
EXAMPLES = "pose-data fix people.json fixed.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, help="COCO keypoint JSON")
    parser.add_argument("out", type=new_path, help="the file to write")
    parser.add_argument(
        "--strip-prefix", default="", help="start of file names to remove: /data/, URLs"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.fix import read_plain, repair
    from pose_data.writing import write_json

    content, done = repair(read_plain(args.annotations), args.strip_prefix)
    write_json(args.out, content)
    report(args, done)
    if not done and not args.json:
        print("  nothing to repair")
    return 0
