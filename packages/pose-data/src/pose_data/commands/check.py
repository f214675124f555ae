"""pose-data check ANNOTATIONS [--images DIR] [--results FILE]: what makes AP 0 or -1."""

import argparse
import json
from pathlib import Path

from pose_data.errors import printable

HELP = "Report what is wrong with annotations, images and results; exit code 1 on errors."
EXAMPLES = """pose-data check people.json --images pictures
pose-data check people.json --results results.json --format json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("annotations", type=Path, help="COCO keypoint JSON, .gz too")
    add("--images", type=Path, help="folder of the images, to check them too")
    add("--results", type=Path, help="results or detections JSON to compare with it")
    add("--format", choices=("text", "json"), default="text")
    add("--json", dest="format", action="store_const", const="json", help="--format json")


def run(args: argparse.Namespace) -> int:
    from pose_data.check.run import check

    found = check(args.annotations, args.images, results=args.results)
    if args.format == "json":
        rows = [
            {"slug": each.slug, "error": each.is_error, "count": each.count}
            | {"records": each.records, "meaning": each.kind.meaning, "advice": each.kind.advice}
            for each in found
        ]
        print(json.dumps(rows, indent=1))
    else:
        for finding in found:
            print(printable(finding), end="\n\n")
        errors = sum(finding.is_error for finding in found)
        print(printable(f"{args.annotations}: {errors} errors, {len(found) - errors} warnings"))
    return int(any(finding.is_error for finding in found))
