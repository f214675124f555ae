"""What several commands take, and what they print of a written file."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose_data.errors import printable

if TYPE_CHECKING:
    from pose_data.persons import Persons


def add_data(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the annotation file and the folder of its images; nargs: "?" where that is optional."""
    parser.add_argument("annotations", type=Path, help="COCO keypoint JSON (.gz too), or AIC's")
    parser.add_argument("images", type=Path, nargs=nargs, help="folder of the images")


def load(args: argparse.Namespace) -> "Persons":
    """Load the persons of a file, COCO's or AI Challenger's."""
    from pose_data.formats.aic import load_aic
    from pose_data.formats.coco import load_coco
    from pose_data.formats.json import opens_list

    if opens_list(args.annotations):
        return load_aic(args.annotations, args.images)
    return load_coco(args.annotations, args.images)


def size(text: str) -> tuple[int, int]:
    """Parse `192x256`, width first."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 192x256 (width x height)")
    return int(width), int(height)


def new_path(text: str) -> Path:
    """Parse the path of a new file: these commands overwrite nothing."""
    if Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text} exists; nothing was written")
    return Path(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json, for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")


def report(args: argparse.Namespace, counts: Mapping[str, int], **facts: Any) -> None:
    """Print which file was written (args.out), and the counts above 0; with --json also facts."""
    if args.json:
        print(json.dumps({"out": str(args.out), "counts": dict(counts)} | facts, indent=1))
        return
    print(args.out)
    for what, count in counts.items():
        if count:
            print(printable(f"  {count} {what}"))
