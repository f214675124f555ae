"""Intervals of numbers and of their differences, by resampling the images (B. Efron, 1979)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.analysis.error_types import person_oks
from pose_eval.coco.report import Report
from pose_eval.coco.tables import Floats, Matches, SettingsError, one_line

LEVEL = 0.95
CHUNK = 1 << 22  # numbers of weights held at a time
EPS = np.spacing(1.0)


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
    shares = np.full(num_images, 1 / num_images)
    step = max(1, CHUNK // num_images)
    parts = [
        _stats_of(report, rng.multinomial(num_images, shares, size=min(step, replicates - start)))
        for start in range(0, replicates, step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _stats_of(report: Report, weights: NDArray[np.int64]) -> dict[str, Floats]:
    """Return the numbers by name for each row of weights (R, I)."""
    settings = report.settings
    shape = len(report.matches), len(settings.areas), len(settings.thresholds), len(weights)
    found = {"AP": np.empty(shape), "AR": np.empty(shape)}  # (C, A, T, R)
    for c, matches in enumerate(report.matches):
        for a in range(len(settings.areas)):
            _resample(report, matches, a, weights, *(values[c, a] for values in found.values()))
    thresholds = np.asarray(settings.thresholds)
    stats = {}
    for kind, values in found.items():
        for a, area in enumerate(settings.areas):
            stats[kind + area.suffix] = _mean(values[:, a])
        for name, oks in (("50", 0.5), ("75", 0.75)):
            if (thresholds == oks).any():
                stats[kind + name] = _mean(values[:, 0, thresholds == oks])
        for c, category in enumerate(report.gt.category_names() if shape[0] > 1 else ()):
            stats[f"{kind}/{category}"] = _mean(values[c, 0])
    return stats


def _resample(
    report: Report,
    matches: Matches,
    area: int,
    weights: NDArray[np.int64],
    precision: Floats,
    recall: Floats,
) -> None:
    """Write mean precision and highest recall of one area, (T, R); NaN where nobody was drawn.

    Drawing an image twice is the same as putting a copy of it beside it, so precision and recall
    are those of pycocotools on that larger set.
    """
    order = np.argsort(-report.results.scores[matches.detections], kind="stable")
    image = matches.det_image()[order]
    matched = matches.det_match[area][:, order] >= 0  # (T, D)
    counted = ~matches.det_ignored[area][:, order]
    person_image = matches.gt_image()[~matches.gt_ignored[area]]
    total = weights @ np.bincount(person_image, minlength=weights.shape[1])  # (R,)
    # Most detections match at no threshold; their weights are summed up once for all of them.
    ever = matched.any(axis=0)
    rest = counted[0] & ~ever
    events = [np.flatnonzero(ever & here) for here in counted]
    right = [here[at] for here, at in zip(matched, events, strict=True)]
    recalls = report.curves.recalls
    for r, persons_drawn in enumerate(total.tolist()):
        if not persons_drawn:
            precision[:, r] = recall[:, r] = np.nan
            continue
        weight = weights[r].take(image)  # (D,)
        wrong = (weight * rest).cumsum()
        for t, at in enumerate(events):
            here = weight.take(at)
            tp = (here * right[t]).cumsum()
            pure = tp / (here.cumsum() + wrong.take(at) + EPS)
            best = np.maximum.accumulate(pure[::-1])[::-1]
            step = (tp / persons_drawn).searchsorted(recalls)
            reached = step[: step.searchsorted(len(tp))]
            precision[t, r] = best[reached].sum() / len(recalls)
            recall[t, r] = tp[-1] / persons_drawn if len(tp) else 0.0


def _mean(values: Floats) -> Floats:
    """Return the mean over all axes but the last, without NaN: categories that nobody is in."""
    flat = values.reshape(-1, values.shape[-1])
    known = ~np.isnan(flat)
    total = np.where(known, flat, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


@dataclass(frozen=True)
class Change:
    """A number of two reports: delta = b - a, the interval of delta, and its p-value.

    p: two-sided, twice the share of replicates on the other side of 0 (at most 1); how likely a
    difference this large would be if both were equally good on all images there are.
    """

    a: float
    b: float
    delta: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class ImageChange:
    """An image whose persons are found better or worse: mean OKS, 0 for a missed person.

    change: the sum over its persons of OKS in b less that in a.
    """

    image_id: Any
    file_name: str
    persons: int
    a: float
    b: float
    change: float


@dataclass(frozen=True)
class Comparison:
    """What changed from results a to results b.

    changes: by name, of the numbers that both have. unmeasured: the names of the others. images:
    by falling size of their change, those without change left out.
    """

    name_a: str
    name_b: str
    replicates: int
    seed: int
    changes: dict[str, Change]
    unmeasured: tuple[str, ...]
    images: tuple[ImageChange, ...]
    __repr__ = one_line

    def section(self, most: int = 20) -> dict[str, Any]:
        """Return values that JSON can hold, with the images that changed most."""
        return {
            "a": self.name_a,
            "b": self.name_b,
            "replicates": self.replicates,
            "seed": self.seed,
            "changes": {name: asdict(change) for name, change in self.changes.items()},
            "images_changed": len(self.images),
            "images": [asdict(image) for image in self.images[:most]],
        }


def compare(a: Report, b: Report, *, replicates: int = 1000, seed: int = 0) -> Comparison:
    """Compare two reports on the same ground truth under the same settings.

    Both see the same images in each of the bootstrap replicates, so that the interval is that of
    the difference. Raises SettingsError where the reports do not belong together.
    """
    names = a.results.name, b.results.name
    if not (np.array_equal(a.gt.image_ids, b.gt.image_ids) and np.array_equal(a.gt.ids, b.gt.ids)):
        raise SettingsError(f"{names[0]} and {names[1]} were evaluated on different ground truth")
    if a.settings != b.settings:
        raise SettingsError(f"{names[0]} and {names[1]} were evaluated under different settings")
    drawn_a, drawn_b = (replicate_stats(report, replicates, seed) for report in (a, b))
    changes = {}
    stats_b = b.all_stats()
    for name, value in a.all_stats().items():
        other = stats_b[name]
        if value is not None and other is not None and name in drawn_a:
            drawn = drawn_b[name] - drawn_a[name]
            drawn, delta = drawn[~np.isnan(drawn)], other - value
            # One more on either side: the data themselves are a replicate, so p is never 0.
            tail = min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1
            p = min(1.0, 2 * float(tail) / (len(drawn) + 1))
            changes[name] = Change(value, other, delta, *limits(drawn, delta), p)
    without = tuple(name for name in a.stats if name not in changes)
    return Comparison(*names, replicates, seed, changes, without, _images(a, b))


def _images(a: Report, b: Report) -> tuple[ImageChange, ...]:
    """Return the images with a change, the largest first; persons of all categories together."""
    num_images = len(a.gt.image_ids)
    total_a, total_b, persons = np.zeros((3, num_images))
    for category, matches in enumerate(a.matches):
        image, counts = matches.gt_image()[matches.counts()], matches.counts()
        for total, report in ((total_a, a), (total_b, b)):
            oks = person_oks(report, category)[counts]
            total += np.bincount(image, oks, minlength=num_images)
        persons += np.bincount(image, minlength=num_images)
    change = total_b - total_a
    order = np.argsort(-np.abs(change), kind="stable")
    return tuple(
        ImageChange(
            a.gt.image_ids[i].item(),
            a.gt.file_names[i],
            persons=int(persons[i]),
            a=float(total_a[i] / persons[i]),
            b=float(total_b[i] / persons[i]),
            change=float(change[i]),
        )
        for i in order
        if change[i] != 0
    )
