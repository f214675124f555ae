"""The findings of a results or detections file compared with the annotations."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pose_data.check.annotations import FEW, look_like_corners
from pose_data.check.hypotheses import explain
from pose_data.findings import Findings
from pose_data.formats.coco import Annotations
from pose_data.formats.detections import result_columns
from pose_data.formats.records import Columns, Rows, best_rows, find_rows, first_few, read_list
from pose_data.persons import Category
from pose_data.regions import take_ragged

MOST = 20  # rows of an image that take part in an evaluation


def check_results(
    path: Path, found: Annotations, categories: Sequence[Category], findings: Findings
) -> None:
    """Report why rows of a results file would not count; raises DatasetError for another file."""
    own = {each.id: 3 * each.num_keypoints for each in categories}
    columns = read_list(path, "result", findings, partial(_columns, own=own))
    ids, scores = columns["image_id"], columns["score"]
    if not len(ids):
        findings.add("no-persons", f"{path} holds no results")
        return
    columns["image"] = image = find_rows(found.image_ids, ids)
    if (image < 0).all():
        text = f"{path}: results of {first_few(ids)}; images {first_few(found.image_ids)}"
        findings.add("image-ids-disjoint", text)
    else:
        text = f"{path}: image_id {first_few(ids[image < 0])}"
        findings.add("unknown-image", text, int((image < 0).sum()))
    if len(scores) > 1 and (scores == scores[0]).all():
        findings.add("equal-scores", f"{path}: all {scores[0]:g}")
    if (image >= 0).any():
        _check_rows(path, columns, found, findings)
        _check_places(path, columns, found, findings)


def _columns(rows: Rows, own: dict[int, int]) -> Columns:
    """Read some rows; those with a value that cannot be read are reported and left out.

    own: how many numbers the keypoints of each category are.
    """
    points, counts, _ = rows.lists("keypoints")
    columns = result_columns(rows) | {"point_count": counts}
    category = columns["category_id"]
    for i in np.flatnonzero(~np.isin(category, list(own))).tolist():
        shown = "missing" if category[i] == -1 else category[i]
        text = f"category_id is {shown}, there are {first_few(np.array(list(own)))}"
        rows.refuse(i, text, "wrong-category")
    for i in np.flatnonzero(counts).tolist():
        width = own.get(int(category[i]), counts[i])
        if counts[i] != width:
            rows.refuse(i, f"keypoints must be {width} numbers, got {counts[i]}", "keypoint-count")
    for i in np.flatnonzero(np.isnan(columns["score"])).tolist():
        rows.refuse(i, "score is missing", "no-score")
    kept = np.flatnonzero(~rows.is_bad)
    kept_points = points[take_ragged(counts, kept)]
    return {key: each[kept] for key, each in columns.items()} | {"points": kept_points}


def _check_rows(path: Path, columns: Columns, found: Annotations, findings: Findings) -> None:
    """Report rows that lack what others have, boxes like corners, and images without rows."""
    counts, boxes = columns["point_count"], columns["bbox"]
    has_points, has_box = counts > 0, ~np.isnan(boxes[:, 0])
    if not has_points.any():
        findings.add("boxes-alone", f"{path}: all rows", len(has_points))
    elif not has_points.all():
        text = f"{path}: {(~has_points).sum()} rows have no keypoints, others have"
        findings.add("keypoint-count", text, int((~has_points).sum()))
    elif has_box[0] and not has_box.all():
        text = f"{path}: {(~has_box).sum()} rows have no bbox, row 0 has one"
        findings.add("boxes-in-some-rows", text, int((~has_box).sum()))
    if len(counts) >= FEW and (counts == counts[0]).all() and counts[0]:
        poses = columns["points"].reshape(len(counts), -1)
        if (poses == poses[0]).all():
            findings.add("equal-rows", f"{path}: {poses[0, :6].tolist()} ...", len(poses))
    regions = found.regions
    wanted = np.unique(regions.image_index[~regions.is_ignored])
    missing = int((~np.isin(found.image_ids[wanted], columns["image_id"])).sum())
    if 2 * missing > len(wanted):
        findings.add("missing-images", f"{path}: {missing} of {len(wanted)} images with persons")
    placed = has_box & (columns["image"] >= 0)
    sizes = found.image_sizes[columns["image"][placed]].astype(np.float64)
    sizes[sizes == 0] = np.inf
    if placed.sum() >= FEW and look_like_corners(boxes[placed], sizes):
        findings.add("xyxy-boxes", f"{path}: {boxes[placed][0].tolist()} ...")


def _check_places(path: Path, columns: Columns, found: Annotations, findings: Findings) -> None:
    """Report coordinates that fit the annotations only after a change, and which."""
    order = np.argsort(found.image_ids)
    place_of = np.argsort(order)  # of an image in the order of the ids
    is_whole = columns["point_count"] == 3 * found.skeleton.num_keypoints
    rows = np.flatnonzero((columns["image"] >= 0) & is_whole)
    image = place_of[columns["image"]]
    rows = rows[best_rows(image[rows], columns["score"][rows], MOST)]
    if not len(rows):
        return
    points = columns["points"][take_ragged(columns["point_count"], rows)]
    points = points.reshape(len(rows), -1, 3)  # (M, K, 3)
    regions = found.regions
    persons = np.flatnonzero(~regions.is_ignored & (regions.visible > 0).any(axis=1))
    truth = np.concatenate([regions.keypoints, regions.visible[..., None]], axis=2)[persons]
    written = points, columns["bbox"][rows], image[rows]
    gt_image = place_of[regions.image_index[persons]]
    annotated = truth.astype(np.float64), regions.bbox_xywh[persons], gt_image
    sizes, sigmas = found.image_sizes[order].astype(np.float64), np.array(found.skeleton.sigmas)
    sentence = explain(*written, *annotated, sizes, sigmas)
    if sentence is not None:
        findings.add("wrong-coordinates", f"{path}: {sentence}")
    elif 0 < points[..., :2].max() <= 1.5:
        text = f"{path}: nothing beyond {points[..., :2].max():.3g}"
        findings.add("normalised-coordinates", text)
