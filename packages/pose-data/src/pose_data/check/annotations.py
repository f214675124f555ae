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
FEW = 10  # persons below which nothing is concluded about a file as a whole


def check_annotations(found: Annotations, findings: Findings) -> None:
    """Report what the numbers of a file show, row by row and as a whole."""
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
    for slug, is_zero in (("num-keypoints-zero", True), ("num-keypoints-differ", False)):
        differ = persons & (written != counted) & ((written == 0) == is_zero)
        _add(
            findings, slug, found, differ, lambda i: f"{written[i]} written, {counted[i]} labelled"
        )


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

    def names(row: int) -> str:
        outer = [found.skeleton.keypoints[k] for k in np.flatnonzero(outside[row])]
        return f"{', '.join(outer[:3])}{' ...' * (len(outer) > 3)}"

    _add(findings, "points-outside-image", found, persons & outside.any(axis=1), names)
    rows = np.flatnonzero(persons)
    image = found.regions.image_index[rows, None]
    poses = np.concatenate([image, xy[rows].reshape(len(rows), -1), v[rows]], axis=1)
    _, first = np.unique(poses, axis=0, return_index=True)
    again = persons.copy()
    again[rows[first]] = False
    _add(findings, "doubled-person", found, again, lambda row: "the same keypoints again")


def _check_boxes(found: Annotations, persons: Bools, labelled: Bools, findings: Findings) -> None:
    boxes, sizes = found.regions.bbox_xywh, _sizes(found)
    empty = persons & (boxes[:, 2:] <= 0).any(axis=1)
    _add(findings, "empty-box", found, empty, lambda row: boxes[row].tolist())
    outside = (boxes[:, :2] >= sizes - 1) | (boxes[:, :2] + boxes[:, 2:] <= 0)
    away = persons & ~empty & outside.any(axis=1)
    _add(findings, "box-outside-image", found, away, lambda row: boxes[row].tolist())

    xy, of_persons = found.regions.keypoints[persons], boxes[persons]
    corners = np.concatenate([of_persons[:, :2], of_persons[:, :2] + of_persons[:, 2:]], axis=1)

    def share_inside(xyxy: Floats) -> float:
        """Return how many labelled keypoints lie in their box, 3 pixels around it."""
        low, high = xyxy[:, None, :2] - 3, xyxy[:, None, 2:] + 3
        inside = np.asarray(((xy >= low) & (xy <= high)).all(axis=2))  # (n, K)
        return float(inside[labelled[persons]].mean())

    as_written = share_inside(corners)
    if share_inside(of_persons) > 0.8 and look_like_corners(of_persons, sizes[persons]):
        too_far = (corners[:, 2:] > sizes[persons] + 2).any(axis=1)
        first = int(np.argmax(too_far))
        text = f"{too_far.sum()} of {persons.sum()} reach beyond their image, and as corners they "
        text += f"enclose the keypoints: annotation id {found.regions.ids[persons][first]}: "
        findings.add("xyxy-boxes", f"{text}{of_persons[first].tolist()}")
    elif as_written < 0.5:
        text = f"{as_written:.0%} of the labelled keypoints are in their box"
        findings.add("points-outside-box", text)


def look_like_corners(boxes: Floats, sizes: Floats) -> bool:
    """Tell whether boxes (n, 4) in images of (w, h) sizes (n, 2) are x1, y1, x2, y2."""
    too_far = (boxes[:, :2] + boxes[:, 2:] > sizes + 2).any(axis=1)
    needed = 0.2 * len(boxes) if len(boxes) >= FEW else len(boxes) - 1
    return bool((boxes[:, 2:] > boxes[:, :2]).all() and too_far.sum() > needed)


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
    """Report what suggests that left and right are swapped, in all or in single persons."""
    place = {plain_name(name): k for k, name in enumerate(found.skeleton.keypoints)}
    x = found.regions.keypoints[..., 0]

    def gap(name: str) -> Floats | None:
        """Return left x - right x (R,); NaN where one is not labelled."""
        left, right = place.get(f"left_{name}"), place.get(f"right_{name}")
        if left is None or right is None:
            return None
        both = persons & labelled[:, left] & labelled[:, right]
        return np.where(both, x[:, left] - x[:, right], np.nan)

    eyes, shoulders, hips = gap("eye"), gap("shoulder"), gap("hip")
    if shoulders is None or hips is None:
        return  # an animal, perhaps seen from above, where eyes tell nothing
    pair = shoulders if eyes is None else eyes  # who shows both eyes faces us, and most people do
    count = int((~np.isnan(pair)).sum())
    share = float((pair > 0).sum()) / max(count, 1)
    if eyes is not None and count >= FEW and share < 0.3:
        text = f"of {count} persons with both eyes, {1 - share:.0%} have the left eye on the left"
        findings.add("left-right-swapped", text)
    if eyes is None and count >= 3 * FEW and share < 0.15:
        findings.add("left-right-doubtful", f"{1 - share:.0%} of {len(shoulders)} persons")
    s, h = np.nan_to_num(shoulders), np.nan_to_num(hips)
    large, small = np.maximum(np.abs(s), np.abs(h)), np.minimum(np.abs(s), np.abs(h))
    mixed = (s * h < 0) & (small > 0.5 * large) & (small > 10)
    text = "left - right is {:.0f} at the shoulders, {:.0f} at the hips"
    _add(findings, "left-right-mixed", found, mixed, lambda row: text.format(s[row], h[row]))
