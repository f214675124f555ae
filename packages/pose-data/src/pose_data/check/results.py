"""The findings of a results or detections file held against the annotations."""

from pathlib import Path
from typing import Any

import numpy as np

from pose_data.check.annotations import FEW, look_like_corners
from pose_data.check.findings import Findings
from pose_data.check.table import Table, as_number, as_numbers, is_one_of
from pose_data.errors import DatasetError
from pose_data.formats.json import opens_list, read_pieces


def check_results(path: Path, table: Table, findings: Findings) -> None:
    """Report why rows of a results file would not count; raises DatasetError if it is none."""
    if not opens_list(path):
        raise DatasetError(f"{path} must be a list of results")
    rows: list[dict[str, Any]] = []
    for piece in read_pieces(path):
        rows += [row for row in piece.value if isinstance(row, dict)]
        if odd := len(piece.value) - len(rows[piece.first :]):
            findings.add("wrong-type", f"{path}: rows that are no objects", odd)
    if not rows:
        findings.add("no-persons", f"{path} holds no results")
        return
    _check_membership(path, rows, table, findings)
    scores = [as_number(row.get("score")) for row in rows]
    for number, score in enumerate(scores):
        if score != score:
            findings.add("no-score", f"{path} result {number}")
    if len(rows) > 1 and len(set(scores)) == 1:
        findings.add("equal-scores", f"{path}: all {scores[0]:g}")
    _check_values(path, rows, table, findings)
    _check_boxes(path, rows, table, findings)


def _check_membership(
    path: Path, rows: list[dict[str, Any]], table: Table, findings: Findings
) -> None:
    known = set(table.image_ids)
    image_ids = [row.get("image_id") for row in rows]
    strangers = [(i, image) for i, image in enumerate(image_ids) if not is_one_of(image, known)]
    if len(strangers) == len(rows):
        findings.add(
            "image-ids-disjoint",
            f"{path}: {strangers[0][1]!r} ...; annotations: {table.image_ids[:3]} ...",
        )
    else:
        for number, image_id in strangers:
            findings.add("unknown-image", f"{path} result {number}: image_id {image_id!r}")
    persons = {number for number, count in table.categories.items() if count} or {1}
    for number, row in enumerate(rows):
        if not is_one_of(row.get("category_id"), persons):
            findings.add("wrong-category", f"{path} result {number}: {row.get('category_id')!r}")


def _check_values(path: Path, rows: list[dict[str, Any]], table: Table, findings: Findings) -> None:
    width = 3 * table.skeleton.num_keypoints
    largest = 0.0
    for number, row in enumerate(rows):
        for key, count in (("keypoints", width), ("bbox", 4)):
            if key not in row:
                continue
            values = as_numbers(row[key])
            if values is None:
                findings.add("wrong-type", f"{path} result {number}: {key} must be finite numbers")
            elif len(values) != count:
                slug = "keypoint-count" if key == "keypoints" else "wrong-type"
                findings.add(
                    slug, f"{path} result {number}: {key}: {len(values)} numbers, not {count}"
                )
            elif len(values):
                xy = values.reshape(-1, 3)[:, :2] if key == "keypoints" else values
                largest = max(largest, float(xy.max()))
    if 0 < largest <= 1.5:
        findings.add("normalised-coordinates", f"{path}: nothing beyond {largest:.3g}")


def _check_boxes(path: Path, rows: list[dict[str, Any]], table: Table, findings: Findings) -> None:
    """Report boxes that look like corners."""
    size_of = dict(zip(table.image_ids, table.image_sizes.tolist(), strict=True))
    boxes, sizes = [], []
    for row in rows:
        box = as_numbers(row.get("bbox"))
        if box is not None and len(box) == 4 and is_one_of(row.get("image_id"), size_of):
            boxes.append(box)
            sizes.append(size_of[row["image_id"]])
    if len(boxes) >= FEW and look_like_corners(np.array(boxes), np.array(sizes)):
        findings.add("xyxy-boxes", f"{path}: {boxes[0].tolist()} ...")
