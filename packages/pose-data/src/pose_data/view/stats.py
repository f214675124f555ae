"""Statistics of a set of persons: keypoints, visibility, boxes, crowding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.persons import Persons
from pose_data.view import page
from pose_data.view.draw import SIDES, legend, sides
from pose_data.view.page import card

_COLOURS = ("#2f6fde", "#f0a13a", "#c9d0da")  # visible, occluded, not labelled
_SMALL, _LARGE = 32**2, 96**2  # COCO's limits of area


@dataclass(frozen=True)
class Stats:
    """counts (K, 3): how often each keypoint is visible, occluded and not labelled.

    sides (N, 2): width and height of boxes in pixels; per_image (I,) persons.
    """

    persons: Persons
    counts: NDArray[np.int64]
    sides: NDArray[np.float32]
    per_image: NDArray[np.int64]

    def text(self) -> str:
        """Return the numbers as a table."""
        count, names = max(len(self.persons), 1), self.persons.skeleton.keypoints
        room = max(18, *(len(name) + 1 for name in names))
        lines = [*self._overview(), ""]
        lines.append(f"{'keypoint':<{room}}visible occluded unlabelled   labelled")
        for name, (seen, hidden, none) in zip(names, self.counts.tolist(), strict=True):
            share = (seen + hidden) / count
            lines.append(f"{name:<{room}}{seen:>7} {hidden:>8} {none:>10} {share:>9.1%}")
        heads = f"{'min':>7} {'25 %':>8} {'median':>10} {'75 %':>9} {'max':>8}"
        lines += ["", f"{'box, pixels':<{room}}{heads}"]
        for name, values in (("height", self.sides[:, 1]), ("width", self.sides[:, 0])):
            a, b, c, d, e = (f"{value:.0f}" for value in _quarters(values))
            lines.append(f"{name:<{room}}{a:>7} {b:>8} {c:>10} {d:>9} {e:>8}")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """Return the numbers for programs; boxes: least, quarter, median, three quarters, most."""
        persons, heads = self.persons, ("visible", "occluded", "unlabelled")
        keypoints = zip(persons.skeleton.keypoints, self.counts.tolist(), strict=True)
        return {
            "annotations": str(persons.annotation_file),
            "images": len(persons.image_ids),
            "persons": len(persons),
            "areas": self._areas(),
            "crowds": self._regions()[0],
            "persons_without_labels": self._regions()[1],
            "images_without_persons": int((self.per_image == 0).sum()),
            "keypoints": {name: dict(zip(heads, row, strict=True)) for name, row in keypoints},
            "box_width": _quarters(self.sides[:, 0]),
            "box_height": _quarters(self.sides[:, 1]),
        }

    def html(self) -> str:
        """Return the numbers as one page with charts."""
        persons, skeleton, rows = self.persons, self.persons.skeleton, self.counts.tolist()
        names, count = skeleton.keypoints, max(len(persons), 1)
        shares = [f"{(row[0] + row[1]) / count:.0%}" for row in rows]
        numbered = [f"{name} {k}" for k, name in enumerate(names, 1)]
        words = zip(_COLOURS, ("visible", "occluded", "not labelled"), strict=True)
        bars = page.colour_key(list(words)) + page.stacked_bars(numbered, rows, _COLOURS, shares)
        colours = [SIDES[side] for side in sides(skeleton)]
        pose = page.points_in_box(names, self._places(), skeleton.links, colours)
        pose = page.colour_key(legend(skeleton)) + pose
        most = min(int(self.per_image.max(initial=0)), 30)
        parts = [
            card("Keypoints", "", bars),
            card("Mean place in the box", "ring: spread", pose),
            _sizes("Box height", self.sides[:, 1]),
            _sizes("Box width", self.sides[:, 0]),
            _counts("Labelled keypoints per person", (persons.visible > 0).sum(axis=1), len(names)),
            _counts("Persons per image", self.per_image, most),
        ]
        title = f"{persons.annotation_file.name}: what is in it"
        return page.html_page(title, "\n".join(self._overview()), [page.cards(parts)])

    def _overview(self) -> list[str]:
        areas, (crowds, unlabelled) = self._areas(), self._regions()
        return [
            self.persons.describe(),
            f"{crowds} crowds, {unlabelled} persons without labels, "
            f"{int((self.per_image == 0).sum())} images without labelled persons",
            f"area: {areas['small']} small (below 32 x 32), {areas['medium']} medium, "
            f"{areas['large']} large (from 96 x 96); small ones are not in COCO's AP(M) and AP(L)",
        ]

    def _areas(self) -> dict[str, int]:
        """Return how many persons are small, medium and large, as COCO counts them."""
        area = self.persons.area
        small, large = int((area < _SMALL).sum()), int((area >= _LARGE).sum())
        return {"small": small, "medium": len(area) - small - large, "large": large}

    def _regions(self) -> tuple[int, int]:
        """Return how many crowds there are, and persons without labels."""
        regions = self.persons.regions
        crowds = 0 if regions is None else int(regions.is_crowd.sum())
        return crowds, 0 if regions is None else int(regions.is_ignored.sum()) - crowds

    def _places(self) -> list[tuple[float, float, float]]:
        """Return mean x, y and spread of each keypoint as fractions of the box; -1 for none."""
        persons = self.persons
        where = (persons.keypoints - persons.bbox_xyxy[:, None, :2]) / self.sides[:, None]
        where = np.clip(where.astype(np.float64), -0.5, 1.5)  # (N, K, 2)
        is_labelled = persons.visible > 0
        weight = is_labelled[..., None] / np.maximum(is_labelled.sum(axis=0), 1)[:, None]
        mean = (where * weight).sum(axis=0)  # (K, 2)
        variance = (((where - mean) ** 2).sum(axis=2, keepdims=True) * weight).sum(axis=0)
        spread = np.where(is_labelled.any(axis=0), np.sqrt(variance[:, 0]), -1)  # (K,)
        return [(x, y, r) for (x, y), r in zip(mean.tolist(), spread.tolist(), strict=True)]


def _quarters(values: NDArray[np.float32]) -> list[float]:
    if not len(values):
        return [0.0] * 5
    return np.percentile(values, (0, 25, 50, 75, 100)).tolist()


def _sizes(title: str, values: NDArray[np.float32]) -> str:
    top = float(np.percentile(values, 99)) if len(values) else 1.0
    step = max(5.0, 5 * np.ceil(top / 24 / 5))
    edges = np.arange(0, top + 2 * step, step)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    chart = page.histogram(edges.tolist(), counts.tolist(), "pixels", _COLOURS[0])
    return card(title, "pixels; the last bar counts all that are larger", chart)


def _counts(title: str, values: NDArray[np.int64], top: int) -> str:
    counts = np.bincount(np.minimum(values, top), minlength=top + 1)
    return card(title, "", page.histogram(range(top + 2), counts.tolist(), "", _COLOURS[0]))


def statistics(persons: Persons) -> Stats:
    """Count keypoints, visibility, boxes and crowding of a set of persons."""
    visible, box = persons.visible, persons.bbox_xyxy
    counts = np.stack([(visible >= 2).sum(0), (visible == 1).sum(0), (visible <= 0).sum(0)], axis=1)
    per_image = np.bincount(persons.image_index, minlength=len(persons.image_ids))
    return Stats(persons, counts.astype(np.int64), box[:, 2:] - box[:, :2], per_image)
