"""The findings that the numbers of an annotation file allow."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pose_data.findings import Findings
from pose_data.formats.coco import Annotations
from pose_data.skeleton import plain_name

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
FEW = 10  # persons below which nothing is said about a file as a whole


def check_annotations(found: Annotations, findings: Findings) -> None:
    """Report what the numbers of a file say, row by row and as a whole."""
    regions = found.regions
    labelled = regions.visible > 0  # (R, K)
    persons = ~regions.is_crowd & labelled.any(axis=1)
    for name, count in Counter(found.file_names.tolist()).items():
        findings.add("duplicate-file-name", name, int(count > 1))
    if not found.skeleton.flip_pairs and found.skeleton.num_keypoints > 1:
        findings.add("no-flip-pairs", ", ".join(found.skeleton.keypoints))
    if not persons.any():
        findings.add("no-persons", f"{len(regions)} annotations, none with labelled keypoints")
        return
    _check_counts(found, persons, labelled, findings)
    _check_points(found, persons, labelled, findings)
    xy, boxes = regions.keypoints[persons][labelled[persons]], regions.bbox_xywh[persons]
    for what, largest in (("keypoints", xy.max()), ("boxes", boxes.max())):
        if 0 < largest <= 1.5:
            findings.add("normalised-coordinates", f"{what}, none beyond {largest:.3g}")
    if not 0 < boxes.max() <= 1.5:
        _check_boxes(found, persons, labelled, findings)
        _check_areas(found, persons, findings)
    _check_sides(found, persons, labelled, findings)


def _add(
    findings: Findings, slug: str, found: Annotations, which: Bools, what: Callable[[int], object]
) -> None:
    """Add one finding for each region of `which`; what(row) describes it."""
    for row in np.flatnonzero(which).tolist():
        findings.add(slug, f"annotation id {found.regions.ids[row]}: {what(row)}")


def _sizes(found: Annotations) -> NDArray[np.float64]:
    """Return the image's (w, h) of each region (R, 2), infinite where unknown."""
    sizes = found.image_sizes[found.regions.image_index].astype(np.float64)
    return np.where(sizes > 0, sizes, np.inf)


def _check_counts(found: Annotations, persons: Bools, labelled: Bools, findings: Findings) -> None:
    counted, written = labelled.sum(axis=1), found.regions.num_keypoints
    if (written[persons] == 0).all():
        findings.add("no-labels", f"{persons.sum()} persons with labelled keypoints")
        return

    def both(row: int) -> str:
        return f"{written[row]} written, {counted[row]} labelled"

    differ = persons & (written != counted)
    _add(findings, "num-keypoints-zero", found, differ & (written == 0), both)
    _add(findings, "num-keypoints-differ", found, differ & (written != 0), both)


def _check_points(found: Annotations, persons: Bools, labelled: Bools, findings: Findings) -> None:
    v, xy = found.regions.visible, found.regions.keypoints
    if (v == 3).mean() > 0.02:
        findings.add("aic-visibility", f"{(v == 3).mean():.0%} of all keypoints")
    else:
        odd = np.asarray(~np.isin(v, (0, 1, 2)).all(axis=1))
        _add(findings, "visibility-values", found, odd, lambda row: sorted(set(v[row].tolist())))
    at_origin = (labelled & (xy == 0).all(axis=2)).any(axis=1)
    _add(findings, "labelled-at-origin", found, at_origin, lambda row: "v > 0 at 0, 0")
    outside = labelled & ((xy < 0) | (xy > _sizes(found)[:, None])).any(axis=2)  # (R, K)

    def which(row: int) -> str:
        names = [found.skeleton.keypoints[k] for k in np.flatnonzero(outside[row])]
        return f"{', '.join(names[:3])}{' ...' * (len(names) > 3)}"

    away = persons & outside.any(axis=1)
    _add(findings, "points-outside-image", found, away, which)
    rows = np.flatnonzero(persons)
    image = found.regions.image_index[rows, None]
    poses = np.concatenate([image, xy[rows].reshape(len(rows), -1), v[rows]], axis=1)
    _, first, row = np.unique(poses, axis=0, return_index=True, return_inverse=True)
    again = np.zeros(len(persons), bool)
    again[rows] = first[row.ravel()] != np.arange(len(rows))
    _add(findings, "doubled-person", found, again, lambda row: "the same keypoints again")


def _check_boxes(found: Annotations, persons: Bools, labelled: Bools, findings: Findings) -> None:
    boxes, sizes = found.regions.bbox_xywh, _sizes(found)
    empty = persons & (boxes[:, 2:] <= 0).any(axis=1)
    _add(findings, "empty-box", found, empty, lambda row: boxes[row].tolist())
    outside = (boxes[:, :2] >= sizes - 1) | (boxes[:, :2] + boxes[:, 2:] <= 0)
    away = persons & ~empty & outside.any(axis=1)
    _add(findings, "box-outside-image", found, away, lambda row: boxes[row].tolist())

    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    as_corners = _share_inside(found, persons, labelled, boxes)
    as_written = _share_inside(found, persons, labelled, corners)
    too_far = persons & (corners[:, 2:] > sizes + 2).any(axis=1)
    if as_corners > 0.8 and look_like_corners(boxes[persons], sizes[persons]):
        first = int(np.argmax(too_far))
        text = f"{too_far.sum()} of {persons.sum()} reach beyond their image, and as corners they "
        text += f"hold the keypoints: annotation id {found.regions.ids[first]}: "
        findings.add("xyxy-boxes", f"{text}{boxes[first].tolist()}")
    elif as_written < 0.5:
        text = f"{as_written:.0%} of the labelled keypoints are in their box"
        findings.add("points-outside-box", text)


def look_like_corners(boxes: Floats, sizes: Floats) -> bool:
    """Tell whether boxes (n, 4) in images of (w, h) sizes (n, 2) are x1, y1, x2, y2."""
    too_far = (boxes[:, :2] + boxes[:, 2:] > sizes + 2).any(axis=1)
    needed = 0.2 * len(boxes) if len(boxes) >= FEW else len(boxes) - 1
    return bool((boxes[:, 2:] > boxes[:, :2]).all() and too_far.sum() > needed)


def _share_inside(found: Annotations, persons: Bools, labelled: Bools, corners: Floats) -> float:
    """Return how many labelled keypoints lie in their box (x1, y1, x2, y2), 3 pixels around it."""
    xy = found.regions.keypoints[persons]
    low, high = corners[persons, None, :2] - 3, corners[persons, None, 2:] + 3
    inside = np.asarray(((xy >= low) & (xy <= high)).all(axis=2))  # (n, K)
    return float(inside[labelled[persons]].mean())


def _check_areas(found: Annotations, persons: Bools, findings: Findings) -> None:
    areas = found.regions.area
    of_box = found.regions.bbox_xywh[:, 2:].prod(axis=1)
    _add(findings, "wrong-area", found, persons & (areas <= 0) & (of_box > 0), lambda r: areas[r])
    known = persons & (areas > 0) & (of_box > 0)
    if not known.any():
        return
    ratio = areas / np.where(of_box > 0, of_box, 1)
    middle = float(np.median(ratio[known]))
    if known.sum() >= FEW and (middle < 0.02 or middle > 50):
        text = f"half of the areas are {'below' if middle < 0.02 else 'above'} {middle:.2g} of"
        findings.add("wrong-area", f"{text} their box")
        return
    if known.sum() >= FEW and len(set(areas[known])) == 1 < np.ptp(np.log(of_box[known])) + 0.3:
        findings.add("wrong-area", f"all {known.sum()} areas are {areas[known][0]:g}")
        return
    # The area of a mask may be larger than a box around keypoints, in all rows alike.
    odd = known & (((ratio > 1.1) & (ratio > 3 * middle)) | (ratio < 0.01))
    _add(findings, "area-and-box", found, odd, lambda r: f"{areas[r]:g}, box {of_box[r]:g}")


def _check_sides(found: Annotations, persons: Bools, labelled: Bools, findings: Findings) -> None:
    """Report what looks as if left and right were swapped, in all or in single persons."""
    place = {plain_name(name): k for k, name in enumerate(found.skeleton.keypoints)}
    x = found.regions.keypoints[..., 0]

    def gap(joint: str) -> Floats | None:
        """Return how far left x is to the right of right x (R,); NaN where one is not labelled."""
        left, right = place.get(f"left_{joint}"), place.get(f"right_{joint}")
        if left is None or right is None:
            return None
        both = persons & labelled[:, left] & labelled[:, right]
        return np.where(both, x[:, left] - x[:, right], np.nan)

    eyes, shoulders, hips = gap("eye"), gap("shoulder"), gap("hip")
    if shoulders is None or hips is None:
        return  # an animal, perhaps seen from above, where eyes tell nothing
    told = shoulders if eyes is None else eyes  # who shows both eyes faces us, and most people do
    count = int((~np.isnan(told)).sum())
    share = float((told > 0).sum()) / max(count, 1)
    if eyes is not None and count >= FEW and share < 0.3:
        text = f"of {count} persons with both eyes, {1 - share:.0%} have the left eye on the left"
        findings.add("left-right-swapped", text)
    if eyes is None and count >= 3 * FEW and share < 0.15:
        findings.add("left-right-doubtful", f"{1 - share:.0%} of {len(shoulders)} persons")
    s, h = np.nan_to_num(shoulders), np.nan_to_num(hips)
    large, small = np.maximum(np.abs(s), np.abs(h)), np.minimum(np.abs(s), np.abs(h))
    mixed = (s * h < 0) & (small > 0.5 * large) & (small > 10)

    def both(row: int) -> str:
        return f"left - right is {s[row]:.0f} at the shoulders, {h[row]:.0f} at the hips"

    _add(findings, "left-right-mixed", found, mixed, both)
