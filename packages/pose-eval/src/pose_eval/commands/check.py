"""pose-eval check FILE: check a results or annotation file, and evaluate nothing."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pose_eval.coco.tables import GroundTruth, ResultsError
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.results import parse_rows, read_results
from pose_eval.io.rows import Problem, read_id
from pose_eval.io.source import name_of, read_bytes


def run(argv: Sequence[str]) -> int:
    """Run the command; raises ResultsError."""
    parser = argparse.ArgumentParser(
        prog="pose-eval check",
        description="Check a results file, or annotations; exit code 1 where they are bad.",
    )
    parser.add_argument("file", help="results or COCO annotations; - is stdin")
    parser.add_argument("--gt", help="the annotations that the results are for")
    parser.add_argument("--area", choices=("ann", "bbox"), default="ann", help="as in pose-eval")
    args = parser.parse_args(argv)
    name = name_of(args.file, "file")
    if args.gt is not None:
        gt, warnings = read_ground_truth(args.gt, area_from=args.area)
        table, notes = read_results(args.file, gt)
        rows = len(table.row)
    else:
        content = parse_rows(read_bytes(args.file, name), name)
        if isinstance(content, Mapping):
            gt, warnings = read_ground_truth(content, area_from=args.area, name=name)
            _say([*warnings], f"{name}: {len(gt.ids)} annotations in {len(gt.image_ids)} images")
            return 0
        warnings = []
        table, notes = read_results(content, assumed(content, name), name=name)
        rows = len(table.row)
    _say([*warnings, *notes], f"{name}: {rows} rows in {len(set(table.image.tolist()))} images")
    return 0


def _say(warnings: Sequence[str], summary: str) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{summary} are in order")


def assumed(rows: Any, name: str) -> GroundTruth:
    """Return ground truth that knows every image and category of the rows, and no persons.

    The number of joints of a category is that of its first row.
    """
    images: dict[Any, None] = {}
    joints: dict[Any, int] = {}
    for row in rows if isinstance(rows, list) else []:
        keypoints = row.get("keypoints") if isinstance(row, Mapping) else None
        if isinstance(keypoints, list) and keypoints:
            image, category = _id(row.get("image_id")), _id(row.get("category_id"))
            images |= {} if image is None else {image: None}
            if category is not None:
                joints.setdefault(category, len(keypoints) // 3)
    categories = [
        {"id": key, "keypoints": [f"joint {k}" for k in range(count)]}
        for key, count in joints.items()
    ]
    if isinstance(rows, list) and rows and not (images and categories):
        raise ResultsError(f"{name} holds no row with image_id, category_id and keypoints")
    content = {
        "images": [{"id": key} for key in images] or [{"id": 0}],
        "categories": categories or [{"id": 1, "keypoints": ["joint"]}],
        "annotations": [],
    }
    return read_ground_truth(content)[0]


def _id(value: Any) -> Any:
    """Return an id, None for what is none: the row is refused for it elsewhere."""
    try:
        return read_id("id", value, Counter())
    except Problem:
        return None
