"""Precision-recall curves and the numbers read from them, as pycocotools computes them."""

from collections.abc import Sequence

import numpy as np

from pose_eval.coco.tables import Bools, Curves, Floats, GroundTruth, Ints, Matches, Results
from pose_eval.settings import Settings

RECALLS = np.linspace(0, 1, 101)


def accumulate(
    matches: Sequence[Matches],
    results: Results,
    settings: Settings,
    images: Bools | None = None,
    max_dets: int | None = None,
    recalls: Floats = RECALLS,
) -> Curves:
    """Return the curves of every category and area.

    images (I,): evaluate these alone, as if the others did not exist. max_dets: as if only so many
    detections of an image took part (at most those of the settings). recalls (R,): where precision
    is read.
    """
    shape = len(settings.thresholds), len(matches), len(settings.areas)
    precision = np.full((shape[0], len(recalls), *shape[1:]), -1.0)
    scores = np.full_like(precision, -1.0)
    recall = np.full(shape, -1.0)
    for c, category in enumerate(matches):
        # Positions of the detections and persons that take part.
        keep, persons = np.arange(len(category.detections)), np.arange(len(category.persons))
        if max_dets is not None:
            keep = keep[keep - category.det_start[category.det_image()] < max_dets]
        if images is not None:
            keep = keep[images[category.det_image()[keep]]]
            persons = persons[images[category.gt_image()]]
        det_scores = results.scores[category.detections[keep]]
        # One stable sort over the data set: ties stay in the order of image, then of the file.
        order = np.argsort(-det_scores, kind="stable")
        det_scores, chosen = det_scores[order], keep[order]
        matched = (category.det_match >= 0).take(chosen, axis=2)  # (A, T, D)
        counted = ~category.det_ignored.take(chosen, axis=2)
        for a in range(shape[2]):
            num_persons = int(np.count_nonzero(~category.gt_ignored[a, persons]))
            if not num_persons:
                continue
            for t in range(shape[0]):
                right, wrong = matched[a, t] & counted[a, t], ~matched[a, t] & counted[a, t]
                found = curve(right, wrong, num_persons, recalls)
                precision[t, :, c, a], at, recall[t, c, a] = found
                reached = at < len(det_scores)
                scores[t, :, c, a] = 0
                scores[t, reached, c, a] = det_scores[at[reached]]
    return Curves(recalls, precision, scores, recall)


def curve(
    right: Bools, wrong: Bools, num_persons: int, recalls: Floats
) -> tuple[Floats, Ints, float]:
    """Return precision at the recalls, where each is reached, and the highest recall."""
    found = np.flatnonzero(right)  # precision need only be known where recall rises
    tp = np.arange(1.0, len(found) + 1)
    fp = np.cumsum(wrong)[found]
    precision = tp / (fp + tp + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    step = np.searchsorted(tp / num_persons, recalls, side="left")
    sampled = np.append(precision, 0.0)[step]
    at = np.append(found, len(right))[step]
    at[recalls <= 0] = 0  # recall 0 is reached by the first detection, right or wrong
    return sampled, at, len(found) / num_persons


def average(
    values: Floats, settings: Settings, area: int = 0, oks: float | None = None
) -> float | None:
    """Return the mean over the thresholds, or at one of them; None where nothing is measured.

    values: precision or recall of Curves.
    """
    thresholds = np.asarray(settings.thresholds)
    chosen = values[(thresholds == oks) if oks is not None else slice(None)][..., area]
    chosen = chosen[chosen > -1]
    return float(np.mean(chosen)) if chosen.size else None


def coco_stats(curves: Curves, settings: Settings) -> dict[str, float | None]:
    """Return AP and AR by name: the ten of COCO, then those of areas that COCO lacks.

    None stands for COCO's -1; AP50 is None where 0.5 is not among the thresholds, APM where there
    is no area named medium. An area "tiny" gives AP_tiny and AR_tiny, "small" APS and ARS.
    """
    kinds = {"AP": curves.precision, "AR": curves.recall}
    areas = {area.suffix: number for number, area in enumerate(settings.areas)}
    stats: dict[str, float | None] = {}
    for kind, values in kinds.items():
        stats[kind] = average(values, settings)
        stats[f"{kind}50"] = average(values, settings, 0, 0.5)
        stats[f"{kind}75"] = average(values, settings, 0, 0.75)
        for suffix in ("M", "L"):
            area = areas.get(suffix)
            stats[kind + suffix] = None if area is None else average(values, settings, area)
    for kind, values in kinds.items():
        further = {suffix: area for suffix, area in areas.items() if suffix not in ("", "M", "L")}
        stats |= {kind + suffix: average(values, settings, a) for suffix, a in further.items()}
    return stats


def crowd_stats(
    matches: Sequence[Matches], results: Results, settings: Settings, gt: GroundTruth
) -> dict[str, float | None]:
    """Return CrowdPose's AP_easy, AP_medium, AP_hard: images by crowdIndex < 0.2, < 0.8, the rest.

    As xtcocotools does: rounded to four decimals, and the mean includes the -1 of categories
    without persons.
    """
    stats: dict[str, float | None] = {}
    index = np.full(len(gt.image_ids), np.nan) if gt.crowd_index is None else gt.crowd_index
    classes = {"easy": index < 0.2, "medium": (index >= 0.2) & (index < 0.8), "hard": index >= 0.8}
    for name, images in classes.items():
        curves = accumulate(matches, results, settings, images)
        value = round(float(np.mean(curves.precision[..., 0])), 4)
        stats[f"AP_{name}"] = None if value == -1 else value
    return stats
