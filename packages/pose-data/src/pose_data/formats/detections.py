"""Boxes to run a top-down network in: a detector's, or whole pictures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.coco import announced
from pose_data.formats.json import opens_list, read_pieces
from pose_data.formats.records import Rows
from pose_data.persons import Persons


def load_detections(
    file: str | Path,
    pictures: Persons,
    *,
    score_threshold: float = 0.0,
    per_image: int | None = None,
    category_id: int | None = None,
) -> Persons:
    """Load a COCO results file of boxes (`image_id`, `category_id`, `bbox`, `score`).

    pictures: loaded annotations, for their images; the persons in them do not matter. Kept are
    boxes of the category (None for those of the annotations, and where the file has boxes of one
    category alone, for those) with score >= score_threshold, of each picture the `per_image` best.
    Row i of the file has id i among those of the category (MMPose); boxes are not clipped (MMPose);
    keypoints are zeros, unlabelled. Empty boxes are left out, with a notice.

    Raises DatasetError naming file and record, for one whose picture is not there too.
    """
    path = Path(file)
    if math.isnan(score_threshold) or (per_image is not None and per_image < 1):
        raise DatasetError(
            f"score_threshold must be a number and per_image >= 1, got {score_threshold} and "
            f"{per_image}"
        )
    image_id, category, bbox, score = _read_rows(path)
    own = [each.id for each in pictures.categories] or [1]
    wanted = own if category_id is None else [category_id]
    if category_id is None and len(own) == 1 and len(np.unique(category)) == 1:
        category = np.full_like(category, own[0])  # a detector's classes have ids of their own
    rows = np.flatnonzero(np.isin(category, wanted))
    ids = np.arange(len(rows))
    image_index = _image_rows(image_id[rows], pictures, rows, path)
    bbox, score = bbox[rows], score[rows]
    is_empty = (bbox[:, 2:] <= 0).any(axis=1)
    kept = np.flatnonzero((score >= score_threshold) & ~is_empty)
    if per_image is not None:
        kept = kept[_best(image_index[kept], score[kept], per_image)]
    notices = []
    if len(rows) < len(category):
        others = len(category) - len(rows)
        listed = ", ".join(map(str, wanted))
        notices.append(f"{path}: {others} boxes of other categories than {listed} left out")
    if is_empty.any():
        notices.append(f"{path}: {is_empty.sum()} empty boxes left out")
    box = bbox.astype(np.float32)  # before the sum, as MMPose does
    corners = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)  # (M, 4)
    columns = ids, image_index, category[rows], corners, score
    return announced(_boxes(pictures, path, columns, kept, notices))


def whole_image_boxes(pictures: Persons) -> Persons:
    """Return one box for each picture, from corner to corner, with score 1."""
    count = len(pictures.image_ids)
    corners = np.zeros((count, 4), np.float32)
    corners[:, 2:] = pictures.image_sizes
    order = np.arange(count)
    path = pictures.annotation_file
    own = pictures.categories[0].id if pictures.categories else 1
    columns = order, order, np.full(count, own), corners, np.ones(count)
    return _boxes(pictures, path, columns, order, [])


def _boxes(
    pictures: Persons,
    path: Path,
    columns: tuple[NDArray[Any], ...],
    kept: NDArray[np.int64],
    notices: list[str],
) -> Persons:
    """Return rows `kept` as persons without labels: ids, images, categories, corners, scores."""
    ids, image_index, category_ids, corners, score = columns
    count = pictures.skeleton.num_keypoints
    side = corners[kept, 2:] - corners[kept, :2]
    return replace(
        pictures,
        annotation_file=path,
        ids=ids[kept],
        image_index=image_index[kept],
        category_ids=category_ids[kept],
        bbox_xyxy=corners[kept],
        area=side.prod(axis=1),
        keypoints=np.zeros((len(kept), count, 2), np.float32),
        visible=np.zeros((len(kept), count), np.float32),
        scores=score[kept].astype(np.float32),
        regions=None,
        sources=(),
        notices=tuple(notices),
    )


def _read_rows(
    path: Path,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return image ids, categories (M,), boxes (M, 4) and scores (M,) of a results file."""
    if not opens_list(path):
        raise DatasetError(f"{path} must be a list of detections")
    findings, pieces = Findings(is_strict=True), []
    for piece in read_pieces(path):
        rows = Rows(piece.value, f"{path} detection", piece.first, findings)
        bbox, _, lacks_bbox = rows.lists("bbox", 4)
        for i in np.flatnonzero(lacks_bbox).tolist():
            rows.refuse(i, "bbox is missing")
        category, lacks_category = rows.integers("category_id", required=False)
        category[lacks_category] = 1
        image_id, _ = rows.integers("image_id")
        score, _ = rows.scalars("score", required=True)
        pieces.append((image_id, category, bbox.reshape(-1, 4), score))
    image_id, category, bbox, score = (np.concatenate(each) for each in zip(*pieces, strict=True))
    return image_id, category, bbox, score


def _image_rows(
    wanted: NDArray[np.int64], pictures: Persons, numbers_in_file: NDArray[np.int64], path: Path
) -> NDArray[np.int64]:
    """Return the row of each wanted image id (M,)."""
    row_of = {image_id: row for row, image_id in enumerate(pictures.image_ids.tolist())}
    found = np.array([row_of.get(image_id, -1) for image_id in wanted.tolist()], np.int64)
    if (found < 0).any():
        bad = int(np.argmax(found < 0))
        shared = int((found >= 0).sum())
        raise DatasetError(
            f"{path} detection {numbers_in_file[bad]}: image_id {wanted[bad]} is not an image of "
            f"{pictures.annotation_file} ({shared} of {len(found)} detections are)"
        )
    return found


def _best(
    image_index: NDArray[np.int64], score: NDArray[np.float64], per_image: int
) -> NDArray[np.int64]:
    """Return, in order, the rows of the best boxes of each picture; the first wins a tie."""
    order = np.lexsort((-score, image_index))  # stable
    ordered = image_index[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < per_image])
