"""How sure a number is: resample the images and look at the spread (B. Efron, 1979)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose_eval.categories import category_names
from pose_eval.report import Report
from pose_eval.summary import area_suffix
from pose_eval.tables import Floats, Matches

LEVEL = 0.95
CHUNK = 1 << 22  # numbers of weights held at a time


@dataclass(frozen=True)
class Interval:
    """A number, the interval that holds the share `LEVEL` of its replicates, and their spread."""

    value: float
    low: float
    high: float
    std: float


def bootstrap(report: Report, replicates: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Return the interval of every number of the report that has a value, by name (AP, AP/cat).

    Images are drawn with replacement, as many as there are; each replicate is evaluated exactly.
    The interval is the percentile one, of 95 %. Same seed, same numbers.
    """
    drawn = replicate_stats(report, replicates, seed)
    return {
        name: interval(value, drawn[name])
        for name, value in report.all_stats().items()
        if value is not None and name in drawn
    }


def interval(value: float, drawn: Floats) -> Interval:
    """Summarise the replicates of a number; those without persons (NaN) are left out."""
    low, high = limits(drawn, value)
    return Interval(value, low, high, float(np.nanstd(drawn)) if low < high else 0.0)


def limits(drawn: Floats, value: float) -> tuple[float, float]:
    """Return the ends of the percentile interval; the value itself if no replicate has one."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return value, value
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def replicate_stats(report: Report, replicates: int, seed: int) -> dict[str, Floats]:
    """Return the numbers of each replicate, (R,) by name; NaN where nobody was drawn.

    Two reports on the same ground truth get the same images in the same replicate.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    rng = np.random.default_rng(seed)
    num_images = len(report.gt.image_ids)
    step = max(1, CHUNK // max(1, num_images))
    parts = []
    for start in range(0, replicates, step):
        many = min(step, replicates - start)
        weights = rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=many)
        parts.append(_stats_of(report, weights.astype(np.int32)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _stats_of(report: Report, weights: NDArray[np.int32]) -> dict[str, Floats]:
    """Return the numbers by name for each row of weights (R, I)."""
    settings = report.settings
    shape = len(report.matches), len(settings.areas), len(settings.thresholds), len(weights)
    precision, recall = np.empty(shape), np.empty(shape)  # (C, A, T, R)
    for c, matches in enumerate(report.matches):
        _category(report, matches, weights, precision[c], recall[c])
    thresholds = np.asarray(settings.thresholds)
    stats = {}
    for kind, values in (("AP", precision), ("AR", recall)):
        for a, area in enumerate(settings.areas):
            stats[kind + area_suffix(area.name)] = _mean(values[:, a])
        for name, oks in (("50", 0.5), ("75", 0.75)):
            if (thresholds == oks).any():
                stats[kind + name] = _mean(values[:, 0, thresholds == oks])
        for c, category in enumerate(category_names(report.gt) if shape[0] > 1 else ()):
            stats[f"{kind}/{category}"] = _mean(values[c, 0])
    return stats


def _category(
    report: Report, matches: Matches, weights: NDArray[np.int32], precision: Floats, recall: Floats
) -> None:
    """Fill (A, T, R) mean precision and recall of one category."""
    from pose_eval.bootstrap_kernels import resampled, resampled_numpy

    compiled = hasattr(resampled, "py_func")
    measure = resampled if compiled else resampled_numpy
    num_images = len(report.gt.image_ids)
    image = np.repeat(np.arange(num_images, dtype=np.int32), np.diff(matches.det_start))
    person_image = np.repeat(np.arange(num_images), np.diff(matches.gt_start))
    order = np.argsort(-report.results.scores[matches.detections], kind="stable")
    for a in range(len(report.settings.areas)):
        persons = np.bincount(person_image[~matches.gt_ignored[a]], minlength=num_images)
        for t in range(len(report.settings.thresholds)):
            counted = order[~matches.det_ignored[a, t, order]]
            right = matches.det_match[a, t, counted] >= 0
            measure(
                image[counted],
                right,
                persons,
                weights,
                report.curves.recalls,
                precision[a, t],
                recall[a, t],
            )


def _mean(values: Floats) -> Floats:
    """Return the mean over all axes but the last, without NaN: categories that nobody is in."""
    flat = values.reshape(-1, values.shape[-1])
    known = ~np.isnan(flat)
    total = np.where(known, flat, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
