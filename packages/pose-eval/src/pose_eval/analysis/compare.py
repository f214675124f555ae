"""Compare two results on the same ground truth, image by image."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pose_eval.analysis.bootstrap import limits, replicate_stats
from pose_eval.analysis.breakdown import person_oks
from pose_eval.coco.report import Report
from pose_eval.coco.tables import Floats, SettingsError


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
    same = len(a.gt.ids) == len(b.gt.ids) and np.array_equal(a.gt.image_ids, b.gt.image_ids)
    if not same or not np.array_equal(a.gt.ids, b.gt.ids):
        raise SettingsError(
            f"{a.results.name} and {b.results.name} were evaluated on different ground truth"
        )
    if a.settings != b.settings:
        raise SettingsError(
            f"{a.results.name} and {b.results.name} were evaluated under different settings"
        )
    drawn_a, drawn_b = (replicate_stats(report, replicates, seed) for report in (a, b))
    changes = {}
    stats_a, stats_b = a.all_stats(), b.all_stats()
    for name, value in stats_a.items():
        other = stats_b[name]
        if value is not None and other is not None and name in drawn_a:
            changes[name] = _change(value, other, drawn_b[name] - drawn_a[name])
    without = tuple(name for name in a.stats if name not in changes)
    return Comparison(
        a.results.name, b.results.name, replicates, seed, changes, without, _images(a, b)
    )


def _change(a: float, b: float, drawn: Floats) -> Change:
    drawn = drawn[~np.isnan(drawn)]
    low, high = limits(drawn, b - a)
    # One more on either side: the data themselves are a replicate, so p is never 0.
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1
    p = min(1.0, 2 * float(tail) / (len(drawn) + 1))
    return Change(a, b, b - a, low, high, p)


def _images(a: Report, b: Report) -> tuple[ImageChange, ...]:
    """Return the images with a change, the largest first; persons of all categories together."""
    num_images = len(a.gt.image_ids)
    total_a, total_b, persons = np.zeros(num_images), np.zeros(num_images), np.zeros(num_images)
    for category, matches in enumerate(a.matches):
        image = np.repeat(np.arange(num_images), np.diff(matches.gt_start))
        oks_a, oks_b = person_oks(a, category), person_oks(b, category)
        counts = ~np.isnan(oks_a)
        for total, oks in ((total_a, oks_a), (total_b, oks_b), (persons, np.ones(len(oks_a)))):
            total += np.bincount(image[counts], oks[counts], minlength=num_images)
    change = total_b - total_a
    order = np.argsort(-np.abs(change), kind="stable")
    return tuple(
        ImageChange(
            image_id=a.gt.image_ids[i].item(),
            file_name=a.gt.file_names[i],
            persons=int(persons[i]),
            a=float(total_a[i] / persons[i]),
            b=float(total_b[i] / persons[i]),
            change=float(change[i]),
        )
        for i in order
        if change[i] != 0
    )
