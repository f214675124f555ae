"""Where the numbers come from: by keypoint, visibility, size, labels, crowding, image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pose_eval.analysis.bootstrap import Interval, bootstrap
from pose_eval.analysis.error_types import Diagnosis, diagnose, person_oks
from pose_eval.coco.report import Report
from pose_eval.coco.summary import curve
from pose_eval.coco.tables import Floats, Ints, Matches, one_line

SIZES = (0, 32, 64, 96, 128, 192, np.inf)  # side of the square of a person's area, in pixels
CROWDING = (0, 1e-9, 0.1, 0.3, 0.5, np.inf)  # highest IoU of a person's box with another's
CROWDED = ("alone", "IoU below 0.1", "IoU 0.1-0.3", "IoU 0.3-0.5", "IoU 0.5 and more")
COARSE = (0.1, 0.3)  # PCK: share of the square root of the person's area


@dataclass(frozen=True)
class Group:
    """Some persons: how many, and how well they are found.

    recall50, recall75, ar: share found at OKS 0.5 and 0.75 and its mean over the thresholds, None
    where the settings lack the threshold. oks: mean OKS of the matched detection, 0 for a missed
    person.
    """

    name: str
    persons: int
    recall50: float | None
    recall75: float | None
    ar: float
    oks: float


def by_group(report: Report, category: int = 0) -> dict[str, list[Group]]:
    """Group persons by the root of their area, their labelled keypoints and their neighbours.

    Keypoints are taken in quarters of the skeleton; neighbours by the highest IoU of a person's box
    with that of another person of the image.
    """
    matches, total = report.matches[category], len(report.settings.sigmas[category])
    sizes = [f"{low:g}-{high:g} px" for low, high in pairwise(SIZES[:-1])]
    side = np.sqrt(report.gt.area[matches.persons])
    labelled = (report.gt.keypoints[matches.persons, :total, 2] > 0).sum(axis=1)
    quarters = sorted({1, *(1 + total * part // 4 for part in (1, 2, 3)), total + 1})
    counts = [
        f"{low}-{high - 1} keypoints" if high - low > 1 else f"{low} keypoints"
        for low, high in pairwise(quarters)
    ]
    overlap = _overlap(report, matches)
    values: dict[str, tuple[Any, Sequence[float], Sequence[str]]] = {
        "size (root of the area)": (side, SIZES, [*sizes, f"{SIZES[-2]:g} px and more"]),
        "labelled keypoints": (labelled, quarters, counts),
        "crowding (box IoU)": (overlap, CROWDING, CROWDED),
    }
    return {title: _groups(report, category, *how) for title, how in values.items()}


def by_visibility(report: Report, diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Return for v=2 (visible) and v=1 (hidden) keypoints: number, mean similarity, share good.

    Those of matched persons only; similarity is exp(-d^2 / (2 area (2 sigma)^2)).
    """
    v = report.gt.keypoints[diagnosis.persons, : diagnosis.labels.shape[1], 2]  # (D, K)
    return [
        {
            "name": name,
            "joints": int(here.sum()),
            "similarity": float(diagnosis.similarity[here].mean()),
            "good": float((diagnosis.labels[here] == 1).mean()),
        }
        for name, here in (("visible (v=2)", v == 2), ("hidden (v=1)", v == 1))
        if here.any()
    ]


def by_joint(report: Report, diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Return for each keypoint its number, error, PCK and AP.

    error: median and mean distance of matched persons in pixels, and the mean as share of the
    square root of the person's area. pck10, pck30: share nearer than 0.1 and 0.3 of that root; the
    keypoints of missed persons count as wrong. ap: detections stay with their person (matched at
    OKS 0.1) and are right where the similarity of this keypoint reaches the threshold, mean over
    the thresholds and 101 recalls.
    """
    gt, results = report.gt, report.results
    total = diagnosis.labels.shape[1]
    placed = gt.keypoints[diagnosis.persons, :total]  # (D, K, 3)
    offset = results.keypoints[diagnosis.rows, :total, :2] - placed[..., :2]
    distance = np.hypot(offset[..., 0], offset[..., 1])  # (D, K)
    share = distance / np.sqrt(np.maximum(gt.area[diagnosis.persons], 1e-9))[:, None]
    labelled = diagnosis.labels > 0
    lost = (gt.keypoints[diagnosis.missed, :total, 2] > 0).sum(axis=0)  # (K,)
    ap = _joint_ap(report, diagnosis, lost)
    rows = []
    for k, name in enumerate(diagnosis.joint_names):
        here = labelled[:, k]
        matched = int(here.sum())
        every = matched + int(lost[k])
        row: dict[str, Any] = {"name": name, "labelled": every, "matched": matched}
        row["median_px"] = float(np.median(distance[here, k])) if matched else None
        for key, values in (
            ("mean_px", distance),
            ("mean_share", share),
            ("similarity", diagnosis.similarity),
        ):
            row[key] = float(values[here, k].mean()) if matched else None
        for limit in COARSE:
            near = int((share[here, k] < limit).sum())
            row[f"pck{round(limit * 100)}"] = near / every if every else None
        row["ap"] = ap[k]
        rows.append(row)
    return rows


def by_image(report: Report, category: int = 0) -> list[dict[str, Any]]:
    """Return a table of images with persons or detections.

    persons: that count, beside those ignored. found: matched at the lowest threshold. oks: mean
    over persons, 0 for a missed one; best_oks: of their best OKS with any detection; both None
    without persons. wrong: detections matched to nobody; worst_score: the highest of their scores.
    """
    matches, gt = report.matches[category], report.gt
    matched = person_oks(report, category)
    lowest = int(np.argmin(report.settings.thresholds))
    wrong = (matches.det_match[0, lowest] < 0) & ~matches.det_ignored[0, lowest]
    scores = report.results.scores[matches.detections]
    rows = []
    for i, image_id in enumerate(gt.image_ids.tolist()):
        dets, gts, oks = matches.of_image(i)
        if oks.shape == (0, 0):
            continue
        counted = matches.counts()[gts]
        here, best = matched[gts][counted], oks[:, counted].max(axis=0, initial=0.0)
        false = scores[dets][wrong[dets]]
        rows.append(
            {
                "image_id": image_id,
                "file_name": gt.file_names[i],
                "persons": len(here),
                "ignored": len(counted) - len(here),
                "detections": len(oks),
                "found": int((here > 0).sum()),
                "wrong": len(false),
                "oks": float(here.mean()) if len(here) else None,
                "best_oks": float(best.mean()) if len(here) else None,
                "worst_score": float(false.max()) if len(false) else None,
            }
        )
    return rows


def worst_images(rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the rows of `by_image` that lose most: the sum over their persons of 1 - OKS.

    Those with an OKS that reads as 1.00 lose nothing.
    """
    rows = [row for row in rows if row["persons"] and row["oks"] < 0.995]
    lost = np.array([row["persons"] * (1 - row["oks"]) for row in rows])
    order = np.argsort(-lost, kind="stable")
    return [{**rows[i], "lost": float(lost[i])} for i in order[:most].tolist()]


def _groups(
    report: Report, category: int, value: Any, edges: Sequence[float], names: Sequence[str]
) -> list[Group]:
    """Return the groups of persons (G,) by a value, of those that count; empty ones are left out.

    A group reaches from its edge to below the next.
    """
    matches, thresholds = report.matches[category], np.asarray(report.settings.thresholds)
    oks = person_oks(report, category)
    groups = []
    for name, (low, high) in zip(names, pairwise(edges), strict=True):
        members = (value >= low) & (value < high) & matches.counts()
        if not members.any():
            continue
        share = (matches.gt_match[0][:, members] >= 0).mean(axis=1)  # (T,)
        at50, at75 = (next(iter(share[thresholds == t].tolist()), None) for t in (0.5, 0.75))
        mean_oks = float(oks[members].mean())
        groups.append(Group(name, int(members.sum()), at50, at75, float(share.mean()), mean_oks))
    return groups


def _overlap(report: Report, matches: Matches) -> Floats:
    """Return the highest IoU of each person's box with another of its image that counts, (G,)."""
    boxes = report.gt.bbox[matches.persons]
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    area = boxes[:, 2] * boxes[:, 3]
    # Crowds are boxes around many; they are not somebody who stands in front.
    single = ~report.gt.crowd[matches.persons]
    out = np.zeros(len(boxes))
    for image in np.flatnonzero(np.diff(matches.gt_start) > 1):
        here = np.arange(matches.gt_start[image], matches.gt_start[image + 1])
        inner = np.minimum(high[here, None], high[here]) - np.maximum(low[here, None], low[here])
        common = np.prod(np.maximum(inner, 0), axis=-1)  # (n, n)
        union = area[here, None] + area[here] - common
        iou = np.where(union > 0, common / np.where(union > 0, union, 1), 0.0) * single[here]
        np.fill_diagonal(iou, 0)
        out[here] = np.nan_to_num(iou).max(axis=1)  # a person may have no box
    return out


def _joint_ap(report: Report, diagnosis: Diagnosis, lost: Ints) -> list[float | None]:
    """Return the AP of each keypoint, with the persons fixed by the whole pose."""
    wrong = np.concatenate([diagnosis.duplicates, diagnosis.background])
    scores = np.concatenate([report.results.scores[diagnosis.rows], report.results.scores[wrong]])
    order = np.argsort(-scores, kind="stable")
    matched = len(diagnosis.rows)
    out: list[float | None] = []
    for k in range(len(lost)):
        here = np.concatenate([diagnosis.labels[:, k] > 0, np.ones(len(wrong), bool)])
        persons = int(here[:matched].sum()) + int(lost[k])
        similarity = np.concatenate([diagnosis.similarity[:, k], np.full(len(wrong), -1.0)])
        ranked = similarity[order][here[order]]
        values = [
            curve(ranked >= oks, ranked < oks, max(1, persons), report.curves.recalls)[0].mean()
            for oks in report.settings.thresholds
        ]
        out.append(float(np.mean(values)) if persons else None)
    return out


@dataclass(frozen=True, eq=False)
class CategoryAnalysis:
    """One category: its errors, a line for each keypoint, groups of persons, a line per image."""

    index: int
    name: str
    diagnosis: Diagnosis
    joints: list[dict[str, Any]]
    groups: dict[str, list[Group]]
    visibility: list[dict[str, Any]]
    images: list[dict[str, Any]]
    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Analysis:
    """A report, the intervals of its numbers (none if not asked for), and its categories.

    categories: those with persons or detections.
    """

    report: Report
    intervals: dict[str, Interval]
    replicates: int
    seed: int
    categories: tuple[CategoryAnalysis, ...]
    __repr__ = one_line


def analyse(report: Report, *, replicates: int = 1000, seed: int = 0) -> Analysis:
    """Analyse a report; replicates: of the bootstrap, 0 for no intervals."""
    intervals = bootstrap(report, replicates, seed) if replicates else {}
    categories = []
    for index, name in report.measured():
        diagnosis = diagnose(report, category=index)
        joints, visibility = by_joint(report, diagnosis), by_visibility(report, diagnosis)
        groups, images = by_group(report, index), by_image(report, index)
        found = CategoryAnalysis(index, name, diagnosis, joints, groups, visibility, images)
        categories.append(found)
    return Analysis(report, intervals, replicates, seed, tuple(categories))


def with_sections(analysis: Analysis, breakdown: bool) -> Report:
    """Return the report with sections of its intervals and, if asked for, of the analysis.

    With several categories, each section of the analysis is an object by category name.
    """
    report = analysis.report
    sections: dict[str, Any] = {}
    if analysis.intervals:
        numbers = {name: asdict(interval) for name, interval in analysis.intervals.items()}
        about = {"replicates": analysis.replicates, "seed": analysis.seed, "level": 0.95}
        sections["bootstrap"] = {**about, "numbers": numbers}
    for category in analysis.categories if breakdown else ():
        parts = {
            "per_joint": category.joints,
            "groups": {k: [asdict(g) for g in v] for k, v in category.groups.items()},
            "visibility": category.visibility,
            "errors": category.diagnosis.section(),
        }
        for name, part in parts.items():
            if len(report.gt.categories) == 1:
                sections[name] = part
            else:
                sections.setdefault(name, {})[category.name] = part
    return replace(report, sections={**report.sections, **sections})
