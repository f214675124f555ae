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

    heights, widths (N,) of boxes in pixels; labelled (N,) keypoints of each person; per_image (I,)
    persons; places (K, 3): mean x, y in the box and spread, fractions, -1 where never labelled.
    """

    persons: Persons
    joints: NDArray[np.int64]
    widths: NDArray[np.float32]
    heights: NDArray[np.float32]
    labelled: NDArray[np.int64]
    per_image: NDArray[np.int64]
    places: NDArray[np.float64]
    num_crowds: int
    num_unlabelled: int

    def text(self) -> str:
        """Return the numbers as a table."""
        count, names = max(len(self.persons), 1), self.persons.skeleton.keypoints
        room = max(18, *(len(name) + 1 for name in names))
        sizes = [("height", self.heights), ("width", self.widths)]
        lines = [
            self.persons.describe(),
            *self._overview(),
            "",
            f"{'keypoint':<{room}}visible occluded unlabelled   labelled",
        ]
        for name, (seen, hidden, none) in zip(names, self.joints.tolist(), strict=True):
            share = (seen + hidden) / count
            lines.append(f"{name:<{room}}{seen:>7} {hidden:>8} {none:>10} {share:>9.1%}")
        lines += [
            "",
            f"{'box, pixels':<{room}}{'min':>7} {'25 %':>8} {'median':>10} {'75 %':>9} {'max':>8}",
        ]
        for name, values in sizes:
            quarters = np.percentile(values, (0, 25, 50, 75, 100)) if len(values) else [0] * 5
            a, b, c, d, e = (f"{value:.0f}" for value in quarters)
            lines.append(f"{name:<{room}}{a:>7} {b:>8} {c:>10} {d:>9} {e:>8}")
        return "\n".join(lines)

    def html(self) -> str:
        """Return the numbers as one page with charts."""
        names = self.persons.skeleton.keypoints
        count = max(len(self.persons), 1)
        shares = [f"{(row[0] + row[1]) / count:.0%}" for row in self.joints.tolist()]
        words = ("visible", "occluded", "not labelled")
        key = colour_key(list(zip(_COLOURS, words, strict=True)))
        numbered = [f"{name} {k}" for k, name in enumerate(names, 1)]
        joints = svg.stacked_bars(numbered, self.joints.tolist(), _COLOURS, shares)
        skeleton = self.persons.skeleton
        mean_pose = svg.points_in_box(
            names,
            [tuple(p) for p in self.places.tolist()],
            skeleton.links,
            [SIDES[side] for side in sides(skeleton)],
        )
        parts = [
            card("Keypoints", "", key + joints),
            card("Mean place in the box", "ring: spread", colour_key(legend(skeleton)) + mean_pose),
            self._histogram("Box height", self.heights, "pixels"),
            self._histogram("Box width", self.widths, "pixels"),
            self._counted("Labelled keypoints per person", self.labelled, len(names)),
            self._counted("Persons per picture", self.per_image, None),
        ]
        file = self.persons.annotation_file.name
        lead = "\n".join([self.persons.describe(), *self._overview()])
        return page(f"{file}: what is in it", lead, [cards(parts)])

    def _overview(self) -> list[str]:
        area = self.persons.area
        small, large = int((area < _SMALL).sum()), int((area >= _LARGE).sum())
        empty = int((self.per_image == 0).sum())
        return [
            f"{self.num_crowds} crowds, {self.num_unlabelled} persons without labels, "
            f"{empty} pictures without labelled persons",
            f"area: {small} small (below 32 x 32), {len(area) - small - large} medium, {large} "
            "large (from 96 x 96); small ones are not in COCO's AP(M) and AP(L)",
        ]

    def _histogram(self, title: str, values: NDArray[np.float32], unit: str) -> str:
        top = float(np.percentile(values, 99)) if len(values) else 1.0
        step = max(5.0, 5 * np.ceil(top / 24 / 5))
        edges = np.arange(0, top + 2 * step, step)
        counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
        text = f"{unit}; the last bar holds all that are larger"
        return card(title, text, svg.histogram(edges.tolist(), counts.tolist(), unit, _COLOURS[0]))

    def _counted(self, title: str, values: NDArray[np.int64], most: int | None) -> str:
        top = most if most is not None else min(int(values.max(initial=0)), 30)
        counts = np.bincount(np.minimum(values, top), minlength=top + 1)
        edges = [float(value) for value in range(top + 2)]
        return card(title, "", svg.histogram(edges, counts.tolist(), "", _COLOURS[0]))


def statistics(persons: Persons) -> Stats:
    """Count joints, visibility, boxes and crowding of a set of persons."""
    visible, box = persons.visible, persons.bbox_xyxy
    joints = np.stack([(visible >= 2).sum(0), (visible == 1).sum(0), (visible <= 0).sum(0)], axis=1)
    sides = box[:, 2:] - box[:, :2]  # (N, 2)
    regions = persons.regions
    return Stats(
        persons=persons,
        joints=joints.astype(np.int64),
        widths=sides[:, 0],
        heights=sides[:, 1],
        labelled=(visible > 0).sum(axis=1),
        per_image=np.bincount(persons.image_index, minlength=len(persons.image_ids)),
        places=_mean_places(persons, sides),
        num_crowds=0 if regions is None else int(regions.is_crowd.sum()),
        num_unlabelled=0
        if regions is None
        else int((~regions.is_crowd & (regions.num_keypoints == 0)).sum()),
    )


def _mean_places(persons: Persons, sides: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return mean x, y and spread of each keypoint as fractions of the box (K, 3); -1 for none."""
    where = (persons.keypoints - persons.bbox_xyxy[:, None, :2]) / sides[:, None]  # (N, K, 2)
    where = np.clip(where.astype(np.float64), -0.5, 1.5)
    is_labelled = persons.visible > 0
    weight = is_labelled[..., None] / np.maximum(is_labelled.sum(axis=0), 1)[:, None]  # (N, K, 1)
    mean = (where * weight).sum(axis=0)  # (K, 2)
    spread = np.sqrt((((where - mean) ** 2).sum(axis=2, keepdims=True) * weight).sum(axis=0))
    spread[~is_labelled.any(axis=0)] = -1
    return np.concatenate([mean, spread], axis=1)
