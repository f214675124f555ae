"""The findings of a results or detections file held against the annotations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pose_data.check.annotations import FEW, look_like_corners
from pose_data.check.hypotheses import explain
from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.annotations import listed
from pose_data.formats.coco import Annotations
from pose_data.formats.json import opens_list, read_pieces
from pose_data.formats.records import Columns, Rows, joined
from pose_data.persons import Category
from pose_data.regions import starts, take_ragged

MOST = 20  # rows of an image that take part in an evaluation


def check_results(
    path: Path, found: Annotations, categories: Sequence[Category], findings: Findings
) -> None:
    """Report why rows of a results file would not count; raises DatasetError if it is none."""
    if not opens_list(path):
        raise DatasetError(f"{path} must be a list of results")
    what = f"{path} result"
    pieces = [
        _columns(Rows(piece.value, what, piece.first, findings), found, categories)
        for piece in read_pieces(path)
    ]
    columns = joined(pieces)
    if not len(columns["image_id"]):
        findings.add("no-persons", f"{path} holds no results")
        return
    known = np.isin(columns["image_id"], found.image_ids)
    if not known.any():
        findings.add(
            "image-ids-disjoint",
            f"{path}: results of {listed(columns['image_id'])}; images {listed(found.image_ids)}",
        )
    elif not known.all():
        text = f"{path}: image_id {listed(columns['image_id'][~known])}"
        findings.add("unknown-image", text, int((~known).sum()))
    scores = columns["score"]
    if len(scores) > 1 and (scores == scores[0]).all():
        findings.add("equal-scores", f"{path}: all {scores[0]:g}")
    if known.any():
        _check_rows(path, columns, found, findings)
    _check_boxes(path, columns, known, found, findings)
    _check_places(path, columns, known, found, findings)


def _columns(rows: Rows, found: Annotations, categories: Sequence[Category]) -> Columns:
    """Read some rows; those with a value that cannot be read are reported and left out."""
    points, counts, _ = rows.lists("keypoints")
    bbox, box_counts, _ = rows.lists("bbox", 4)
    boxes = np.full((len(rows), 4), np.nan)
    boxes[box_counts > 0] = bbox.reshape(-1, 4)
    image_id, _ = rows.integers("image_id")
    category, lacks = rows.integers("category_id", required=False, text=True)
    own = {each.id: 3 * each.num_keypoints for each in categories}
    category[lacks] = -1
    for i in np.flatnonzero(~np.isin(category, list(own))).tolist():
        shown = "missing" if lacks[i] else category[i]
        rows.refuse(
            i, f"category_id is {shown}, there are {listed(np.array(list(own)))}", "wrong-category"
        )
    for i in np.flatnonzero(counts).tolist():
        width = own.get(int(category[i]), counts[i])
        if counts[i] != width:
            text = f"keypoints must be {width} numbers, got {counts[i]}"
            rows.refuse(i, text, "keypoint-count")
    score, lacks_score = rows.scalars("score")
    for i in np.flatnonzero(lacks_score).tolist():
        rows.refuse(i, "score is missing", "no-score")
    kept = np.flatnonzero(~rows.is_bad)
    _, elements = take_ragged(starts(counts), kept)
    columns = {"image_id": image_id, "score": score, "bbox": boxes, "point_count": counts}
    return {key: each[kept] for key, each in columns.items()} | {"points": points[elements]}


def _check_rows(path: Path, columns: Columns, found: Annotations, findings: Findings) -> None:
    """Report rows that lack what others have, and images that have no rows."""
    has_points, has_box = columns["point_count"] > 0, ~np.isnan(columns["bbox"][:, 0])
    if not has_points.any():
        findings.add("boxes-alone", f"{path}: all rows", len(has_points))
    elif not has_points.all():
        text = f"{path}: {(~has_points).sum()} rows have no keypoints, others have"
        findings.add("keypoint-count", text, int((~has_points).sum()))
    elif has_box[0] and not has_box.all():
        text = f"{path}: {(~has_box).sum()} rows have no bbox, row 0 has one"
        findings.add("boxes-in-some-rows", text, int((~has_box).sum()))
    counts = columns["point_count"]
    if len(counts) >= FEW and (counts == counts[0]).all() and counts[0]:
        poses = columns["points"].reshape(len(counts), -1)
        if (poses == poses[0]).all():
            findings.add("equal-rows", f"{path}: {poses[0, :6].tolist()} ...", len(poses))
    regions = found.regions
    wanted = np.unique(regions.image_index[~regions.is_ignored])
    missing = int((~np.isin(found.image_ids[wanted], columns["image_id"])).sum())
    if 2 * missing > len(wanted):
        findings.add("missing-images", f"{path}: {missing} of {len(wanted)} images with persons")


def _check_boxes(
    path: Path, columns: Columns, known: np.ndarray, found: Annotations, findings: Findings
) -> None:
    """Report boxes that look like corners."""
    has_box = known & ~np.isnan(columns["bbox"][:, 0])
    boxes = columns["bbox"][has_box]
    order = np.argsort(found.image_ids)
    place = np.searchsorted(found.image_ids, columns["image_id"][has_box], sorter=order)
    sizes = found.image_sizes[order[place]]
    if len(boxes) >= FEW and look_like_corners(boxes, np.where(sizes > 0, sizes, np.inf)):
        findings.add("xyxy-boxes", f"{path}: {boxes[0].tolist()} ...")


def _check_places(
    path: Path, columns: Columns, known: np.ndarray, found: Annotations, findings: Findings
) -> None:
    """Report coordinates that fit the annotations only after a change, and which."""
    rows = np.flatnonzero(known & (columns["point_count"] == 3 * found.skeleton.num_keypoints))
    order = np.argsort(found.image_ids)
    place_of = np.argsort(order)  # of an image in the order of the ids
    image = np.searchsorted(found.image_ids[order], columns["image_id"])
    rows = rows[np.lexsort((-columns["score"][rows], image[rows]))]
    rank = np.arange(len(rows)) - np.searchsorted(image[rows], image[rows])
    rows = rows[rank < MOST]
    if not len(rows):
        return
    _, elements = take_ragged(starts(columns["point_count"]), rows)
    points = columns["points"][elements].reshape(len(rows), -1, 3)  # (M, K, 3)
    regions = found.regions
    persons = np.flatnonzero(~regions.is_ignored & (regions.visible > 0).any(axis=1))
    truth = np.concatenate([regions.keypoints, regions.visible[..., None]], axis=2)[persons]
    sentence = explain(
        points,
        columns["bbox"][rows],
        image[rows],
        truth.astype(np.float64),
        regions.bbox_xywh[persons],
        place_of[regions.image_index[persons]],
        found.image_sizes[order].astype(np.float64),
        np.array(found.skeleton.sigmas),
    )
    if sentence is not None:
        findings.add("wrong-coordinates", f"{path}: {sentence}")
    elif 0 < points[..., :2].max() <= 1.5:
        text = f"{path}: nothing beyond {points[..., :2].max():.3g}"
        findings.add("normalised-coordinates", text)
