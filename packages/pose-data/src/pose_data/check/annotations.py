"""The findings that the numbers of an annotation file allow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.check.findings import Findings
from pose_data.check.table import Table
from pose_data.skeleton import plain_name

FEW = 10  # persons below which nothing is said about a file as a whole


def check_table(table: Table, findings: Findings) -> None:
    """Report what the numbers of a file say, row by row and as a whole."""
    persons = ~table.crowd & table.labelled.any(axis=1)
    if not persons.any():
        findings.add("no-persons", f"{len(table.ids)} annotations, none with labelled keypoints")
        return
    _check_counts(table, persons, findings)
    _check_points(table, persons, findings)
    is_normalised = _check_scale(table, persons, findings)
    if not is_normalised:
        _check_boxes(table, persons, findings)
        _check_areas(table, persons, findings)
    _check_sides(table, persons, findings)


def _add(findings: Findings, slug: str, table: Table, which: NDArray[np.bool_], what: Any) -> None:
    """Add one finding for each row of `which`; what(row) describes it."""
    for row in np.flatnonzero(which).tolist():
        findings.add(slug, f"{table.name(row)}: {what(row)}")


def _check_counts(table: Table, persons: NDArray[np.bool_], findings: Findings) -> None:
    counted, written = table.labelled.sum(axis=1), table.counts
    differ = persons & ~np.isnan(written) & (written != counted)
    if (written[persons] == 0).all():
        findings.add("no-labels", f"{persons.sum()} persons with labelled keypoints")
        return

    def both(row: int) -> str:
        return f"{written[row]:g} written, {counted[row]} labelled"

    _add(findings, "num-keypoints-zero", table, differ & (written == 0), both)
    _add(findings, "num-keypoints-differ", table, differ & (written != 0), both)


def _check_points(table: Table, persons: NDArray[np.bool_], findings: Findings) -> None:
    v = table.points[..., 2]
    odd = ~np.asarray(np.isin(v, (0, 1, 2)).all(axis=1))
    _add(findings, "visibility-values", table, odd, lambda row: sorted(set(v[row].tolist())))
    xy = table.points[..., :2]
    at_origin = (table.labelled & (xy == 0).all(axis=2)).any(axis=1)
    _add(findings, "labelled-at-origin", table, at_origin, lambda row: "v > 0 at 0, 0")
    sizes = _sizes(table)[:, None]
    outside = np.logical_and(table.labelled, ((xy < 0) | (xy > sizes)).any(axis=2))  # (N, K)

    def which(row: int) -> str:
        names = [table.skeleton.keypoints[k] for k in np.flatnonzero(outside[row])]
        return f"{', '.join(names[:3])}{' ...' * (len(names) > 3)}"

    _add(
        findings, "points-outside-picture", table, persons & np.asarray(outside.any(axis=1)), which
    )


def _sizes(table: Table) -> NDArray[np.float64]:
    """Return the picture's (w, h) of each annotation (N, 2), infinite where unknown."""
    if not len(table.image_sizes):
        return np.full((len(table.ids), 2), np.inf)
    sizes = table.image_sizes[table.image_row]
    return np.where((table.image_row >= 0)[:, None] & (sizes > 0), sizes, np.inf)


def _check_scale(table: Table, persons: NDArray[np.bool_], findings: Findings) -> bool:
    """Report coordinates that are fractions of the picture; tell whether the boxes are."""
    xy = table.points[persons][..., :2][table.labelled[persons]]
    boxes = table.boxes[persons & ~np.isnan(table.boxes[:, 0])]
    of_points = len(xy) > 0 and float(xy.max()) <= 1.5
    of_boxes = len(boxes) > 0 and float(boxes.max()) <= 1.5
    if of_points:
        findings.add("normalised-coordinates", f"keypoints, none beyond {xy.max():.3g}")
    if of_boxes:
        findings.add("normalised-coordinates", f"boxes, none beyond {boxes.max():.3g}")
    return of_boxes


def _check_boxes(table: Table, persons: NDArray[np.bool_], findings: Findings) -> None:
    boxes, sizes = table.boxes, _sizes(table)
    known = persons & ~np.isnan(boxes[:, 0])
    empty = known & (boxes[:, 2:] <= 0).any(axis=1)
    _add(findings, "empty-box", table, empty, lambda row: boxes[row].tolist())
    outside = (boxes[:, :2] >= sizes - 1) | (boxes[:, :2] + boxes[:, 2:] <= 0)
    away = known & ~empty & outside.any(axis=1)
    _add(findings, "box-outside-picture", table, away, lambda row: boxes[row].tolist())

    corners = boxes.copy()
    corners[:, 2:] += corners[:, :2]
    as_corners = _share_inside(table, known, boxes)
    as_written = _share_inside(table, known, corners)
    too_far = known & (corners[:, 2:] > sizes + 2).any(axis=1)
    if as_corners > 0.8 and look_like_corners(boxes[known], sizes[known]):
        first = int(np.argmax(too_far))
        findings.add(
            "xyxy-boxes",
            f"{too_far.sum()} of {known.sum()} reach beyond their picture, and as corners they "
            f"hold the keypoints: {table.name(first)}: {boxes[first].tolist()}",
        )
    elif as_written < 0.5:
        findings.add(
            "points-outside-box", f"{as_written:.0%} of the labelled keypoints are in their box"
        )


def look_like_corners(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> bool:
    """Tell whether boxes (n, 4) in pictures of (w, h) sizes (n, 2) are x1, y1, x2, y2."""
    too_far = (boxes[:, :2] + boxes[:, 2:] > sizes + 2).any(axis=1)
    needed = 0.2 * len(boxes) if len(boxes) >= FEW else len(boxes) - 1
    return bool((boxes[:, 2:] > boxes[:, :2]).all() and too_far.sum() > needed)


def _share_inside(table: Table, known: NDArray[np.bool_], corners: NDArray[np.float64]) -> float:
    """Return how many labelled keypoints lie in their box (x1, y1, x2, y2), 3 pixels around it."""
    xy, labelled = table.points[known][..., :2], table.labelled[known]
    low, high = corners[known, None, :2] - 3, corners[known, None, 2:] + 3
    inside = np.asarray(np.logical_and(xy >= low, xy <= high).all(axis=2))  # (n, K)
    return float(inside[labelled].mean()) if labelled.any() else 1.0


def _check_areas(table: Table, persons: NDArray[np.bool_], findings: Findings) -> None:
    areas = table.areas
    of_box = table.boxes[:, 2] * table.boxes[:, 3]
    known = persons & ~np.isnan(areas) & (of_box > 0)
    if not known.any():
        return
    if known.sum() >= FEW and len(set(areas[known].tolist())) == 1:
        findings.add("wrong-area", f"all {known.sum()} areas are {areas[known][0]:g}")
        return
    ratio = np.where(known, areas / np.where(of_box > 0, of_box, 1), np.nan)
    if known.sum() >= FEW and np.nanmedian(ratio) < 0.02:
        findings.add("wrong-area", f"half of the areas are below 2 % of their box ({FEW} or more)")
        return
    wrong = known & ((ratio > 1.1) | (areas <= 0))
    _add(findings, "wrong-area", table, wrong, lambda r: f"{areas[r]:g}, box {of_box[r]:g}")


def _check_sides(table: Table, persons: NDArray[np.bool_], findings: Findings) -> None:
    """Report what looks as if left and right were swapped, in all or in single persons."""
    place = {plain_name(name): k for k, name in enumerate(table.skeleton.keypoints)}

    def gap(joint: str) -> NDArray[np.float64] | None:
        """Return how far left x is to the right of right x (N,); NaN where one is not labelled."""
        left, right = place.get(f"left_{joint}"), place.get(f"right_{joint}")
        if left is None or right is None:
            return None
        both = persons & table.labelled[:, left] & table.labelled[:, right]
        return np.where(both, table.points[:, left, 0] - table.points[:, right, 0], np.nan)

    eyes = gap("eye")
    if eyes is not None and (~np.isnan(eyes)).sum() >= FEW:  # who shows both eyes faces us
        share = float((eyes[~np.isnan(eyes)] > 0).mean())
        if share < 0.3:
            findings.add(
                "left-right-swapped",
                f"of {(~np.isnan(eyes)).sum()} persons with both eyes, {1 - share:.0%} have the "
                "left eye on the left",
            )
    shoulders, hips = gap("shoulder"), gap("hip")
    if shoulders is None:
        return
    if eyes is None and (~np.isnan(shoulders)).sum() >= 3 * FEW:  # most people face the camera
        share = float((shoulders[~np.isnan(shoulders)] > 0).mean())
        if share < 0.15:
            findings.add("left-right-doubtful", f"{1 - share:.0%} of {len(shoulders)} persons")
    if hips is None:
        return
    span = np.nanmax(np.abs(np.stack([shoulders, hips, np.ones_like(hips)])), axis=0)
    small = np.minimum(np.abs(shoulders), np.abs(hips))
    mixed = (shoulders * hips < 0) & (small > 0.5 * span) & (small > 10)
    _add(
        findings,
        "left-right-mixed",
        table,
        mixed,
        lambda r: f"left - right is {shoulders[r]:.0f} at the shoulders, {hips[r]:.0f} at the hips",
    )
