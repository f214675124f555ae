"""pose-eval check FILE: check a results or annotation file, and evaluate nothing."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pose_eval.coco.tables import GroundTruth, ResultsError
from pose_eval.commands import options
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.results import parse_rows, read_results
from pose_eval.io.rows import Problem, read_id
from pose_eval.io.source import name_of, read_bytes


def run(argv: Sequence[str]) -> int:
    """Run the command; raises ResultsError."""
    args = parser().parse_args(argv)
    name, area = name_of(args.file, "file"), args.area or "ann"
    content: Any = args.file
    if args.gt is None:
        content = parse_rows(read_bytes(args.file, name), name)
    if isinstance(content, Mapping):
        gt, warnings = read_ground_truth(content, area_from=area, name=name)
        found = f"{len(gt.ids)} annotations in {len(gt.image_ids)} images"
    else:
        gt, warnings = assumed(content, name), []
        if args.gt is not None:
            gt, warnings = read_ground_truth(args.gt, area_from=area)
        table, notes = read_results(content, gt, name=name)
        warnings += notes
        found = f"{len(table.row)} rows in {len(set(table.image.tolist()))} images"
    options.warn(warnings)
    print(f"{name}: {found} are in order")
    return 0


def assumed(rows: Any, name: str) -> GroundTruth:
    """Return ground truth that knows every image and category of the rows, and no persons.

    The number of keypoints of a category is that of its first row.
    """
    rows = rows if isinstance(rows, list) else []
    images: dict[Any, None] = {}
    joints: dict[Any, int] = {}
    for row in rows:
        keypoints = row.get("keypoints") if isinstance(row, Mapping) else None
        if isinstance(keypoints, list) and keypoints:
            image, category = _id(row.get("image_id")), _id(row.get("category_id"))
            images |= {} if image is None else {image: None}
            if category is not None:
                joints.setdefault(category, len(keypoints) // 3)
    if rows and not (images and joints):
        raise ResultsError(f"{name} holds no row with image_id, category_id and keypoints")
    categories = [
        {"id": key, "keypoints": [f"joint {k}" for k in range(count)]}
        for key, count in (joints or {1: 1}).items()
    ]
    ids = [{"id": key} for key in images or {0: None}]
    content = {"images": ids, "categories": categories, "annotations": []}
    return read_ground_truth(content)[0]


def _id(value: Any) -> Any:
    """Return an id, None for what is none: the row is refused for it elsewhere."""
    try:
        return read_id("id", value, Counter())
    except Problem:
        return None


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    return options.command_parser(
        "check",
        "Check a results file, or annotations; exit code 1 where they are bad.",
        {"file": "results or COCO annotations; - is stdin"},
        {"annotations": ("--gt", "--area")},
        {"--gt": {"required": False, "help": "the annotations that the results are for"}},
    )
