"""Compare two results on the same ground truth, image by image."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pose_eval.analysis.bootstrap import limits, replicate_stats
from pose_eval.analysis.breakdown import person_oks
from pose_eval.coco.report import Report
from pose_eval.coco.tables import Floats, SettingsError, one_line


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
            changes[name] = _change(value, other, drawn_b[name] - drawn_a[name])
    without = tuple(name for name in a.stats if name not in changes)
    return Comparison(*names, replicates, seed, changes, without, _images(a, b))


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
