"""Where the numbers come from: by joint, visibility, size, number of joints, crowding, image."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.analysis.error_types import Diagnosis, pair_values
from pose_eval.coco.report import Report
from pose_eval.coco.tables import Bools, Floats, Ints, Matches

SIZES = (0, 32, 64, 96, 128, 192, np.inf)  # side of the square of a person's area, in pixels
CROWDING = (0, 1e-9, 0.1, 0.3, 0.5, np.inf)  # highest IoU of a person's box with another's
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
    out[matches.gt_ignored[0]] = np.nan
    return out


def by_size(report: Report, category: int = 0) -> list[Group]:
    """Group persons by the square root of their area, in pixels."""
    side = np.sqrt(report.gt.area[report.matches[category].persons])
    return _groups(report, category, side, SIZES, "{0:g}-{1:g} px", "{0:g} px and more")


def by_joints(report: Report, category: int = 0) -> list[Group]:
    """Group persons by their number of labelled joints, in quarters of the skeleton."""
    persons = report.matches[category].persons
    total = len(report.settings.sigmas[category])
    labelled = (report.gt.keypoints[persons, :total, 2] > 0).sum(axis=1)
    edges = sorted({1, *(1 + total * part // 4 for part in (1, 2, 3)), total + 1})
    groups = []
    for low, high in itertools.pairwise(edges):
        name = f"{low}-{high - 1} joints" if high - low > 1 else f"{low} joints"
        groups.append(_group(report, category, name, (labelled >= low) & (labelled < high)))
    return [g for g in groups if g.persons]


def by_crowding(report: Report, category: int = 0) -> list[Group]:
    """Group persons by the highest IoU of their box with that of another person of the image."""
    overlap = _overlap(report, report.matches[category])
    names = ("alone", "IoU below 0.1", "IoU 0.1-0.3", "IoU 0.3-0.5", "IoU 0.5 and more")
    groups = []
    for name, low, high in zip(names, CROWDING[:-1], CROWDING[1:], strict=True):
        groups.append(_group(report, category, name, (overlap >= low) & (overlap < high)))
    return [g for g in groups if g.persons]


def by_visibility(report: Report, diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Return for v=2 (visible) and v=1 (hidden) joints: number, mean similarity, share good.

    Joints of matched persons only; similarity is exp(-d^2 / (2 area (2 sigma)^2)).
    """
    v = report.gt.keypoints[diagnosis.persons, : diagnosis.labels.shape[1], 2]  # (D, K)
    rows = []
    for name, value in (("visible (v=2)", 2), ("hidden (v=1)", 1)):
        here = v == value
        if here.any():
            similarity, good = diagnosis.similarity[here], diagnosis.labels[here] == 1
            rows.append(
                {
                    "name": name,
                    "joints": int(here.sum()),
                    "similarity": float(similarity.mean()),
                    "good": float(good.mean()),
                }
            )
    return rows


def by_joint(report: Report, diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Return for each joint its number, error, PCK and AP.

    error: median and mean distance of matched persons in pixels, and the mean as share of the
    square root of the person's area. pck10, pck30: share nearer than 0.1 and 0.3 of that root; the
    joints of missed persons count as wrong. ap: detections stay with their person (matched at OKS
    0.1) and are right where the similarity of this joint reaches the threshold, mean over the
    thresholds and 101 recalls.
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
        all_here = int(here.sum()) + int(lost[k])
        row: dict[str, Any] = {"name": name, "labelled": all_here, "matched": int(here.sum())}
        row |= {"median_px": None, "mean_px": None, "mean_share": None, "similarity": None}
        if here.any():
            row |= {
                "median_px": float(np.median(distance[here, k])),
                "mean_px": float(distance[here, k].mean()),
                "mean_share": float(share[here, k].mean()),
                "similarity": float(diagnosis.similarity[here, k].mean()),
            }
        for limit in COARSE:
            near = int((share[here, k] < limit).sum())
            row[f"pck{round(limit * 100)}"] = near / all_here if all_here else None
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
        detections = slice(matches.det_start[i], matches.det_start[i + 1])
        here = oks[matches.gt_start[i] : matches.gt_start[i + 1]]
        here = here[~np.isnan(here)]
        false = scores[detections][wrong[detections]]
        if not len(here) and detections.start == detections.stop:
            continue
        rows.append(
            {
                "image_id": image_id,
                "file_name": gt.file_names[i],
                "persons": len(here),
                "found": int((here > 0).sum()),
                "oks": float(here.mean()) if len(here) else None,
                "detections": int(detections.stop - detections.start),
                "wrong": len(false),
                "worst_score": float(false.max()) if len(false) else None,
            }
        )
    return rows


def _groups(
    report: Report,
    category: int,
    value: Floats,
    edges: tuple[float, ...],
    name: str,
    last: str,
) -> list[Group]:
    groups = []
    for low, high in itertools.pairwise(edges):
        title = (last if high == np.inf else name).format(low, high)
        groups.append(_group(report, category, title, (value >= low) & (value < high)))
    return [g for g in groups if g.persons]


def _group(report: Report, category: int, name: str, members: Bools) -> Group:
    matches = report.matches[category]
    members = members & ~matches.gt_ignored[0]
    found = matches.gt_match[0][:, members] >= 0  # (T, members)
    thresholds = np.asarray(report.settings.thresholds)

    def recall(oks: float) -> float | None:
        at = np.flatnonzero(thresholds == oks)
        return float(found[at[0]].mean()) if len(at) and members.any() else None

    many = int(members.sum())
    oks = person_oks(report, category)[members]
    return Group(
        name=name,
        persons=many,
        recall50=recall(0.5),
        recall75=recall(0.75),
        ar=float(found.mean()) if many else 0.0,
        oks=float(oks.mean()) if many else 0.0,
    )


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
    """Return the AP of each joint, with the persons fixed by the whole pose."""
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
            _average_precision(ranked >= oks, persons, report.curves.recalls)
            for oks in report.settings.thresholds
        ]
        out.append(float(np.mean(values)) if persons else None)
    return out


def _average_precision(right: Bools, persons: int, recalls: NDArray[np.float64]) -> float:
    tp = np.cumsum(right)
    precision = tp / np.arange(1, len(tp) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(tp / max(persons, 1), recalls, side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(tp))].mean())
