"""Warnings: what is legal and counted as the reference counts it, but often a mistake.

Every warning ends in its code in brackets; the README explains each under that name.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from pose_eval.coco.report import Report
from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, Results
from pose_eval.settings import ALL

PIECE = 1 << 11  # rows at a time: without a copy of all
FEW = 0.9  # share of the rows that must look wrong before a warning about all of them


def warning(code: str, text: str) -> str:
    """Return the text with its code."""
    return f"{text} [{code}]"


def row_warning(code: str, gt: GroundTruth, which: ArrayLike, text: str) -> list[str]:
    """Return a warning about some annotations (N,), if there are any.

    text: {n} stands for their number, {first} for the first of them.
    """
    rows = np.flatnonzero(which)
    if not len(rows):
        return []
    first = f"first: id {gt.ids[rows[0]]}, image {gt.image_ids[gt.image[rows[0]]]}"
    return [warning(code, f"{gt.name}: {text.format(n=len(rows), first=first)}")]


def of_ids(name: str, notes: Mapping[str, int]) -> list[str]:
    """Warn that ids such as 139.0 were read as 139, and "1" as 1."""
    found = []
    if count := notes.get("float-ids"):
        text = f"{name}: {count} ids are written like 139.0; read as integers"
        found.append(warning("float-ids", text))
    if count := notes.get("text-ids"):
        text = f'{name}: {count} category ids are written like "1", others like 1; read as the same'
        found.append(warning("text-ids", text))
    return found


def of_flags(gt: GroundTruth, differs: Bools, overwritten: Bools) -> list[str]:
    """Warn of num_keypoints at odds with the labels, and of `ignore`, which COCO overwrites."""
    return [
        *row_warning(
            "stale-num-keypoints",
            gt,
            differs & (gt.num_keypoints == 0),
            "{n} persons have labelled keypoints but num_keypoints 0 ({first}); they are ignored, "
            "as pycocotools does",
        ),
        *row_warning(
            "stale-num-keypoints",
            gt,
            differs & (gt.num_keypoints > 0),
            "{n} persons have num_keypoints above 0 but no labelled keypoint ({first}); they "
            "count, as pycocotools does, measured by their box",
        ),
        *row_warning(
            "ignore-overwritten",
            gt,
            overwritten,
            "`ignore` of {n} persons ({first}) has no effect, as in pycocotools; use iscrowd or "
            "num_keypoints 0",
        ),
    ]


@np.errstate(over="ignore", invalid="ignore")
def of_ground_truth(gt: GroundTruth) -> list[str]:
    """Return warnings about a ground truth."""
    warnings: list[str] = []
    counted = gt.counts()
    labelled = gt.keypoints[..., 2] > 0
    if not counted.any():
        text = f"{gt.name} has no person with labelled keypoints: nothing is measured"
        warnings.append(warning("nothing-to-find", text))
    odd = ~np.isin(gt.keypoints[..., 2], (0, 1, 2)).all(axis=1)
    text = "{n} persons have a visibility other than 0, 1, 2 ({first}); above 0 counts as labelled"
    warnings += row_warning("odd-visibility", gt, odd, text)
    text = "{n} persons have area 0 ({first}): OKS is 0 or 1"
    warnings += row_warning("odd-area", gt, counted & (gt.area == 0), text)
    text = "{n} persons have an area above 1e10 ({first}): ignored"
    warnings += row_warning("odd-area", gt, counted & (gt.area > ALL.high), text)
    negative = (gt.bbox[:, 2:] < 0).any(axis=1)
    text = "{n} boxes have a negative size ({first})"
    warnings += row_warning("negative-boxes", gt, negative, text)
    if gt.ids.dtype.kind == "i" and (counted & (gt.ids == 0)).any():
        text = f"{gt.name}: an annotation has id 0: it counts; pycocotools never finds it"
        warnings.append(warning("id-zero", text))
    box_area = gt.bbox[:, 2] * gt.bbox[:, 3]
    usable = counted & (box_area > 100) & (gt.area > 0)
    if usable.any() and float(np.median(gt.area[usable] / box_area[usable])) < 0.01:
        text = f"{gt.name}: areas are below a hundredth of the boxes; are they in square pixels?"
        warnings.append(warning("odd-area", text))
    rows = np.flatnonzero(counted & (labelled.sum(axis=1) > 1))
    return warnings + _of_corners(gt.name, gt.bbox[rows], gt.keypoints[rows], labelled[rows])


def of_crowd_index(gt: GroundTruth) -> list[str]:
    """Warn of images that CrowdPose's easy, medium and hard do not know."""
    missing = len(gt.image_ids)
    if gt.crowd_index is not None:
        missing = int(np.count_nonzero(np.isnan(gt.crowd_index)))
    text = f"{gt.name}: {missing} images have no crowdIndex; they are neither easy, medium nor hard"
    return [warning("no-crowd-index", text)] if missing else []


@np.errstate(over="ignore", invalid="ignore")
def of_results(results: Results, gt: GroundTruth) -> list[str]:
    """Return warnings about results."""
    name = results.name
    if not len(results.scores):
        return [warning("no-detections", f"{name} holds no detections: every number is 0")]
    warnings = []
    if len(results.scores) > 1 and (results.scores == results.scores[0]).all():
        text = f"{name}: all scores are {results.scores[0]:g}; AP needs a ranking"
        warnings.append(warning("equal-scores", text))
    negative = int(np.count_nonzero(results.scores < 0))
    if negative:
        text = f"{name}: {negative} scores are negative; they rank last, nothing else"
        warnings.append(warning("negative-scores", text))
    twice = _duplicates(results)
    if len(twice):
        text = (
            f"{name}: {len(twice)} rows repeat another row of their image exactly "
            f"(first: row {results.row[twice[0]]}); each counts"
        )
        warnings.append(warning("duplicate-rows", text))
    labelled = gt.keypoints[..., 2] > 0
    extent = float(gt.keypoints[labelled][:, :2].max()) if labelled.any() else 0.0
    few = slice(0, 1000)  # enough for most files, without a copy of all
    near = all(float(np.abs(results.keypoints[part, :, :2]).max()) <= 2 for part in (few, ...))
    if extent > 10 and near:
        text = f"{name}: coordinates are all within 2 pixels of 0; are they normalised to 0..1?"
        warnings.append(warning("normalised-coordinates", text))
    if results.bbox is not None:
        rows = np.flatnonzero((results.bbox[:, 2:] < 0).any(axis=1))
        if len(rows):
            text = f"{name}: {len(rows)} boxes have a negative size (row {results.row[rows[0]]})"
            warnings.append(warning("negative-boxes", text))
        every = np.ones(results.keypoints.shape[:2], np.bool_)
        warnings += _of_corners(name, results.bbox, results.keypoints, every)
    wanted = np.unique(gt.image[gt.counts()])
    missing = len(wanted) - int(np.isin(wanted, results.image).sum())
    if 2 * missing > len(wanted):
        text = (
            f"{name} has no row for {missing} of the {len(wanted)} images with persons; "
            "--images evaluates a subset"
        )
        warnings.append(warning("missing-images", text))
    return warnings


def of_sigmas(sigmas: Sequence[float]) -> list[str]:
    """Warn of sigmas far from those in use (0.01 to 0.18)."""
    low, high = min(sigmas), max(sigmas)
    text = f"sigmas from {low:g} to {high:g} are unusual; COCO's: 0.025 to 0.107"
    return [warning("odd-sigmas", text)] if high > 0.25 or low < 0.004 else []


def _duplicates(results: Results) -> Ints:
    """Return the rows equal to an earlier one in image, category, score and keypoints."""
    rising = np.sort(results.scores)
    tied = rising[1:][rising[1:] == rising[:-1]]
    rows = np.flatnonzero(np.isin(results.scores, tied))
    if not len(rows):
        return rows
    poses = np.ascontiguousarray(results.keypoints).reshape(len(results.scores), -1).view(np.uint64)
    weights = np.random.default_rng(0).integers(1, 2**63, poses.shape[1] + 3, np.uint64)
    digest = np.empty(len(rows), np.uint64)  # so wide that two different rows do not share one
    for start in range(0, len(rows), PIECE):
        piece = rows[start : start + PIECE]
        digest[start : start + len(piece)] = poses[piece] @ weights[3:]
    others = results.image, results.category, results.scores.view(np.uint64)
    for column, weight in zip(others, weights[:3], strict=True):
        digest += column[rows].astype(np.uint64) * weight
    order = np.lexsort((rows, digest))
    again = np.append(False, digest[order][1:] == digest[order][:-1])
    return np.sort(rows[order[again]])


def _of_corners(name: str, bbox: Floats, keypoints: Floats, used: Bools) -> list[str]:
    """Warn of boxes that fit the used keypoints better as x1, y1, x2, y2 than as x, y, w, h."""
    low, size = bbox[:, :2], bbox[:, 2:]
    far = (low > 0.2 * np.abs(size)).all(axis=1) & used.any(axis=1)  # where the two differ
    rows, corners = np.flatnonzero(far), 0
    for start in range(0, len(rows), PIECE):
        here = rows[start : start + PIECE]
        high = np.where(used[here, :, None], keypoints[here, :, :2], -np.inf).max(axis=1)
        as_size = np.abs(low[here] + size[here] - high).sum(axis=1)
        as_corner = np.abs(size[here] - high).sum(axis=1)
        corners += int(((as_corner < as_size) & (size[here] > low[here]).all(axis=1)).sum())
        if corners + len(rows) - start - len(here) < FEW * len(rows):
            return []  # as for most files after a tenth of them
    text = f"{name}: the boxes look like x1, y1, x2, y2; COCO's are x, y, w, h"
    return [warning("xyxy-boxes", text)] if len(rows) else []


NEARLY_0 = 0.05


def why_zero(report: Report) -> list[str]:
    """Return warnings of rows that cannot count, and of what explains an AP below 0.05."""
    name, gt = report.results.name, report.gt
    found = []
    for category, (what, entry) in enumerate(report.by_category().items()):
        ap, rows = entry["stats"]["AP"], entry["detections"]
        if rows and not (gt.category == category).any() and len(gt.category):
            text = (
                f"{name}: {rows} of {len(report.results.row)} rows are of category {what}, of "
                f"which {gt.name} has no annotation; they count neither as right nor as wrong"
            )
            found.append(warning("unused-category", text))
        elif ap is not None and ap < NEARLY_0 and (why := _explained(report, category)):
            of = f" of {what}" if len(gt.categories) > 1 else ""
            found.append(warning("wrong-coordinates", f"{name}: AP{of} is {ap:.3f}, but {why}"))
    return found


def _explained(report: Report, category: int) -> str | None:
    from pose_eval.analysis.hypotheses import explain  # hardly ever needed

    gt, results, matches = report.gt, report.results, report.matches[category]
    rows, persons = matches.detections, matches.persons[matches.counts()]
    sigmas = np.array(report.settings.sigmas[category])
    boxes = np.full((len(results.row), 4), np.nan) if results.bbox is None else results.bbox
    return explain(
        results.keypoints[rows, : len(sigmas)],
        boxes[rows],
        results.image[rows],
        gt.keypoints[persons, : len(sigmas)],
        gt.bbox[persons],
        gt.image[persons],
        gt.image_sizes,
        sigmas,
    )
