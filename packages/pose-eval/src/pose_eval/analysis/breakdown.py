"""Where the numbers come from: by keypoint, visibility, size, labels, crowding, image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pose_eval.analysis.error_types import Diagnosis, pair_values
from pose_eval.coco.report import Report
from pose_eval.coco.summary import curve
from pose_eval.coco.tables import Floats, Ints, Matches

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


def person_oks(report: Report, category: int = 0) -> Floats:
    """Return the OKS of the detection matched to each person, (G,).

    That of the highest threshold at which anything is matched; 0 for a missed person, NaN for one
    that does not count. The order is that of matches.persons.
    """
    matches = report.matches[category]
    out = np.zeros(len(matches.persons))
    for t in np.argsort(report.settings.thresholds):
        found = np.flatnonzero(matches.gt_match[0, t] >= 0)
        out[found] = pair_values(matches, matches.gt_match[0, t, found].astype(np.int64), found)
    out[~matches.counts()] = np.nan
    return out


def by_size(report: Report, category: int = 0) -> list[Group]:
    """Group persons by the square root of their area, in pixels."""
    names = [f"{low:g}-{high:g} px" for low, high in pairwise(SIZES[:-1])]
    side = np.sqrt(report.gt.area[report.matches[category].persons])
    return _groups(report, category, side, SIZES, [*names, f"{SIZES[-2]:g} px and more"])


def by_joints(report: Report, category: int = 0) -> list[Group]:
    """Group persons by their number of labelled keypoints, in quarters of the skeleton."""
    total = len(report.settings.sigmas[category])
    placed = report.gt.keypoints[report.matches[category].persons, :total]
    edges = sorted({1, *(1 + total * part // 4 for part in (1, 2, 3)), total + 1})
    ranges = [f"{low}-{high - 1}" if high - low > 1 else f"{low}" for low, high in pairwise(edges)]
    names = [f"{each} keypoints" for each in ranges]
    return _groups(report, category, (placed[..., 2] > 0).sum(axis=1), edges, names)


def by_crowding(report: Report, category: int = 0) -> list[Group]:
    """Group persons by the highest IoU of their box with that of another person of the image."""
    overlap = _overlap(report, report.matches[category])
    return _groups(report, category, overlap, CROWDING, CROWDED)


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

    found: persons matched at the lowest threshold. oks: mean over persons, 0 for a missed one, None
    without persons. wrong: detections matched to nobody there; worst_score: the highest of their
    scores, None if there are none.
    """
    matches, gt = report.matches[category], report.gt
    oks = person_oks(report, category)
    lowest = int(np.argmin(report.settings.thresholds))
    wrong = (matches.det_match[0, lowest] < 0) & ~matches.det_ignored[0, lowest]
    scores = report.results.scores[matches.detections]
    rows = []
    for i, image_id in enumerate(gt.image_ids.tolist()):
        dets, gts, _ = matches.of_image(i)
        here = oks[gts][~np.isnan(oks[gts])]
        false = scores[dets][wrong[dets]]
        if not len(here) and dets.start == dets.stop:
            continue
        rows.append(
            {
                "image_id": image_id,
                "file_name": gt.file_names[i],
                "persons": len(here),
                "found": int((here > 0).sum()),
                "oks": float(here.mean()) if len(here) else None,
                "detections": dets.stop - dets.start,
                "wrong": len(false),
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
