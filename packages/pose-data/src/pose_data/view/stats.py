"""Count what a set of persons holds: joints, visibility, boxes, crowding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose_data.persons import Persons
from pose_data.view import svg
from pose_data.view.draw import SIDES, legend, sides
from pose_data.view.page import card, cards, colour_key, page

_COLOURS = ("#2f6fde", "#f0a13a", "#c9d0da")  # visible, occluded, not labelled
_SMALL, _LARGE = 32**2, 96**2  # COCO's limits of area


@dataclass(frozen=True)
class Stats:
    """joints (K, 3): how often visible, occluded and not labelled.

    sides (N, 2): width and height of boxes in pixels; per_image (I,) persons.
    """

    persons: Persons
    joints: NDArray[np.int64]
    sides: NDArray[np.float32]
    per_image: NDArray[np.int64]

    def text(self) -> str:
        """Return the numbers as a table."""
        count, names = max(len(self.persons), 1), self.persons.skeleton.keypoints
        room = max(18, *(len(name) + 1 for name in names))
        lines = [*self._overview(), ""]
        lines.append(f"{'keypoint':<{room}}visible occluded unlabelled   labelled")
        for name, (seen, hidden, none) in zip(names, self.joints.tolist(), strict=True):
            share = (seen + hidden) / count
            lines.append(f"{name:<{room}}{seen:>7} {hidden:>8} {none:>10} {share:>9.1%}")
        heads = f"{'min':>7} {'25 %':>8} {'median':>10} {'75 %':>9} {'max':>8}"
        lines += ["", f"{'box, pixels':<{room}}{heads}"]
        for name, values in (("height", self.sides[:, 1]), ("width", self.sides[:, 0])):
            quarters = np.percentile(values, (0, 25, 50, 75, 100)) if len(values) else [0] * 5
            a, b, c, d, e = (f"{value:.0f}" for value in quarters)
            lines.append(f"{name:<{room}}{a:>7} {b:>8} {c:>10} {d:>9} {e:>8}")
        return "\n".join(lines)

    def html(self) -> str:
        """Return the numbers as one page with charts."""
        persons, skeleton, rows = self.persons, self.persons.skeleton, self.joints.tolist()
        names, count = skeleton.keypoints, max(len(persons), 1)
        shares = [f"{(row[0] + row[1]) / count:.0%}" for row in rows]
        words = ("visible", "occluded", "not labelled")
        key = colour_key(list(zip(_COLOURS, words, strict=True)))
        numbered = [f"{name} {k}" for k, name in enumerate(names, 1)]
        joints = svg.stacked_bars(numbered, rows, _COLOURS, shares)
        colours = [SIDES[side] for side in sides(skeleton)]
        mean_pose = svg.points_in_box(names, self._places(), skeleton.links, colours)
        labelled = (persons.visible > 0).sum(axis=1)
        most = int(self.per_image.max(initial=0))
        parts = [
            card("Keypoints", "", key + joints),
            card("Mean place in the box", "ring: spread", colour_key(legend(skeleton)) + mean_pose),
            _histogram("Box height", self.sides[:, 1]),
            _histogram("Box width", self.sides[:, 0]),
            _counted("Labelled keypoints per person", labelled, len(names)),
            _counted("Persons per picture", self.per_image, min(most, 30)),
        ]
        title = f"{persons.annotation_file.name}: what is in it"
        return page(title, "\n".join(self._overview()), [cards(parts)])

    def _overview(self) -> list[str]:
        area, regions = self.persons.area, self.persons.regions
        small, large = int((area < _SMALL).sum()), int((area >= _LARGE).sum())
        crowds = unlabelled = 0
        if regions is not None:
            crowds = int(regions.is_crowd.sum())
            unlabelled = int((~regions.is_crowd & (regions.num_keypoints == 0)).sum())
        return [
            self.persons.describe(),
            f"{crowds} crowds, {unlabelled} persons without labels, "
            f"{int((self.per_image == 0).sum())} pictures without labelled persons",
            f"area: {small} small (below 32 x 32), {len(area) - small - large} medium, {large} "
            "large (from 96 x 96); small ones are not in COCO's AP(M) and AP(L)",
        ]

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


def _histogram(title: str, values: NDArray[np.float32]) -> str:
    top = float(np.percentile(values, 99)) if len(values) else 1.0
    step = max(5.0, 5 * np.ceil(top / 24 / 5))
    edges = np.arange(0, top + 2 * step, step)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    chart = svg.histogram(edges.tolist(), counts.tolist(), "pixels", _COLOURS[0])
    return card(title, "pixels; the last bar holds all that are larger", chart)


def _counted(title: str, values: NDArray[np.int64], top: int) -> str:
    counts = np.bincount(np.minimum(values, top), minlength=top + 1)
    return card(title, "", svg.histogram(range(top + 2), counts.tolist(), "", _COLOURS[0]))


def statistics(persons: Persons) -> Stats:
    """Count joints, visibility, boxes and crowding of a set of persons."""
    visible, box = persons.visible, persons.bbox_xyxy
    joints = np.stack([(visible >= 2).sum(0), (visible == 1).sum(0), (visible <= 0).sum(0)], axis=1)
    per_image = np.bincount(persons.image_index, minlength=len(persons.image_ids))
    return Stats(persons, joints.astype(np.int64), box[:, 2:] - box[:, :2], per_image)
