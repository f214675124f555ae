"""Boxes to run a top-down network in: a detector's, or whole images."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.coco import log_notices
from pose_data.formats.records import Columns, Ints, Rows, best_rows, find_rows, read_list
from pose_data.persons import Persons


def load_detections(
    file: str | Path,
    persons: Persons,
    *,
    score_threshold: float = 0.0,
    per_image: int | None = None,
    category_id: int | None = None,
) -> Persons:
    """Load a COCO results file of boxes (`image_id`, `category_id`, `bbox`, `score`).

    persons: loaded annotations, for their images; who is in them does not matter. Kept are
    boxes of the category (None for those of the annotations, and where the file has boxes of one
    category alone, for those) with score >= score_threshold, of each image the `per_image` best.
    Row i of the file has id i among those of the category (MMPose); boxes are not clipped (MMPose);
    keypoints are zeros, unlabelled. Empty boxes are left out, with a notice.

    Raises DatasetError naming file and record, for one whose image is not there too.
    """
    path = Path(file)
    if math.isnan(score_threshold) or (per_image is not None and per_image < 1):
        text = f"a number and per_image >= 1, got {score_threshold} and {per_image}"
        raise DatasetError(f"score_threshold must be {text}")
    columns = read_list(path, "detection", Findings(is_strict=True), _columns)
    category = columns["category_id"]
    own = [each.id for each in persons.categories] or [1]
    wanted = own if category_id is None else [category_id]
    if category_id is None and len(own) == 1 and len(np.unique(category)) == 1:
        category[:] = own[0]  # a detector's classes have ids of their own
    rows = np.flatnonzero(np.isin(category, wanted))
    image_index = _image_rows(columns["image_id"], persons, rows, path)
    box, score = columns["bbox"][rows].astype(np.float32), columns["score"][rows]
    is_empty = (columns["bbox"][rows, 2:] <= 0).any(axis=1)
    kept = np.flatnonzero((score >= score_threshold) & ~is_empty)
    if per_image is not None:
        kept = kept[np.sort(best_rows(image_index[kept], score[kept], per_image))]
    notices = []
    if others := len(category) - len(rows):
        listed = ", ".join(map(str, wanted))
        notices.append(f"{path}: {others} boxes of other categories than {listed} left out")
    if is_empty.any():
        notices.append(f"{path}: {is_empty.sum()} empty boxes left out")
    corners = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)  # (M, 4)
    boxes = replace(
        _without_labels(persons, image_index[kept], corners[kept]),
        annotation_file=path,
        ids=kept,
        category_ids=category[rows[kept]],
        scores=score[kept].astype(np.float32),
        notices=tuple(notices),
    )
    return log_notices(boxes)


def whole_image_boxes(persons: Persons) -> Persons:
    """Return one box for each image, from corner to corner, with score 1."""
    order = np.arange(len(persons.image_ids))
    corners = np.pad(persons.image_sizes.astype(np.float32), ((0, 0), (2, 0)))
    own = persons.categories[0].id if persons.categories else 1
    scores = np.ones(len(order), np.float32)
    boxes = _without_labels(persons, order, corners)
    return replace(boxes, ids=order, category_ids=np.full_like(order, own), scores=scores)


def _without_labels(persons: Persons, image_index: Ints, corners: NDArray[np.float32]) -> Persons:
    """Return boxes (M, 4) as persons without labels; the caller sets ids, categories and scores."""
    shape = len(corners), persons.skeleton.num_keypoints
    return replace(
        persons,
        image_index=image_index,
        bbox_xyxy=corners,
        area=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
        keypoints=np.zeros((*shape, 2), np.float32),
        visible=np.zeros(shape, np.float32),
        regions=None,
        sources=(),
        notices=(),
    )


def result_columns(rows: Rows) -> Columns:
    """Read what all rows of results have, as load_detections and `check` take it.

    image_id, category_id (n,), -1 where missing; bbox (n, 4) and score (n,), NaN where missing.
    """
    category, lacks = rows.integers("category_id", required=False, text=True)
    category[lacks] = -1
    boxes = np.full((len(rows), 4), np.nan)
    bbox, counts, _ = rows.lists("bbox", 4)
    boxes[counts > 0] = bbox.reshape(-1, 4)
    columns = {"image_id": rows.integers("image_id")[0], "category_id": category, "bbox": boxes}
    return columns | {"score": rows.scalars("score")[0]}


def _columns(rows: Rows) -> Columns:
    """Read rows that must have a box and a score; those without a category are persons."""
    columns = result_columns(rows)
    for key, values in (("bbox", columns["bbox"][:, 0]), ("score", columns["score"])):
        for i in np.flatnonzero(np.isnan(values)).tolist():
            rows.refuse(i, f"{key} is missing")
    columns["category_id"][columns["category_id"] == -1] = 1
    return columns


def _image_rows(image_id: Ints, persons: Persons, rows: Ints, path: Path) -> Ints:
    """Return the row of each image (M,) in the image arrays of the persons."""
    found = find_rows(persons.image_ids, image_id[rows])
    if (found < 0).any():
        bad = rows[np.argmax(found < 0)]
        raise DatasetError(
            f"{path} detection {bad}: image_id {image_id[bad]} is not an image of "
            f"{persons.annotation_file} ({(found >= 0).sum()} of {len(found)} detections are)"
        )
    return found
