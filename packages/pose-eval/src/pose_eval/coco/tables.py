"""The arrays that everything in this package reads: ground truth, results, matches, curves.

Image ids and category ids appear once each, sorted as np.unique sorts them; everywhere else an
image or a category is an index into those. Categories may differ in their number of keypoints:
`keypoints` has the largest number K, and a category with fewer uses the first of them (the rest is
zero).
"""

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class ResultsError(ValueError):
    """Results or ground truth that cannot be evaluated; the message says where and why."""


class SettingsError(ResultsError):
    """An argument of the evaluation that makes no sense, alone or for this ground truth."""


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the nearest known word, "" if none is near."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def one_line(table: Any) -> str:
    """Return a dataclass as repr shows it: arrays by their shape, what is long by its length."""

    def short(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"<{value.dtype} {value.shape}>"
        long = isinstance(value, tuple | list | dict) and len(repr(value)) > 60
        return f"<{len(value)} values>" if long else repr(value)

    values = ", ".join(f"{f.name}={short(getattr(table, f.name))}" for f in fields(table))
    return f"{type(table).__name__}({values})"


@dataclass(frozen=True, eq=False)
class Category:
    """What a category id stands for.

    joint_names: as in the ground truth, else "joint 0", "joint 1", ...; links: pairs of keypoint
    indices (from 0), for drawing.
    """

    id: Any
    name: str
    joint_names: tuple[str, ...]
    links: tuple[tuple[int, int], ...]
    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotations of one file, in file order: I images, N persons, at most K keypoints.

    name: of the file, for messages. image_ids (I,): integers or strings, sorted. image_sizes (I,
    2): width, height, 0 where the file has none. crowd_index (I,): CrowdPose's, or None; NaN where
    missing. ids (N,): integers or strings. image, category (N,): indices. keypoints (N, K, 3): x,
    y, v. bbox (N, 4): x, y, w, h, NaN where missing. area (N,): the area that OKS and the area
    ranges use. crowd (N,). num_keypoints (N,): the number that decides whether the person counts
    (0: ignored).
    """

    name: str
    categories: tuple[Category, ...]
    image_ids: NDArray[Any]
    file_names: tuple[str, ...]
    image_sizes: Floats
    crowd_index: Floats | None
    ids: NDArray[Any]
    image: Ints
    category: Ints
    keypoints: Floats
    bbox: Floats
    area: Floats
    crowd: Bools
    num_keypoints: Ints
    __repr__ = one_line

    def counts(self) -> Bools:
        """Tell who is to be found, (N,): persons with labelled keypoints, no crowds."""
        return ~self.crowd & (self.num_keypoints > 0)

    def category_names(self) -> tuple[str, ...]:
        """Return what to call each category: its name, with the id where two have the same."""
        times = Counter(c.name for c in self.categories)
        called = (c.name if times[c.name] == 1 else f"{c.name} ({c.id})" for c in self.categories)
        return tuple(called)


@dataclass(frozen=True, eq=False)
class Results:
    """Detections in the order of their file: M rows.

    image, category (M,): indices into the ground truth. keypoints (M, K, 3): x, y, score. scores
    (M,). bbox (M, 4): x, y, w, h, or None where the area of a detection is the extent of its
    keypoints. row (M,): the number of the row in the file, from 0 (rows that were dropped leave
    gaps).
    """

    name: str
    image: Ints
    category: Ints
    keypoints: Floats
    scores: Floats
    bbox: Floats | None
    row: Ints
    __repr__ = one_line


Table = TypeVar("Table", GroundTruth, Results)
_BY_ROW = {"ids", "image", "category", "keypoints", "bbox", "area", "crowd", "num_keypoints"}
_BY_ROW |= {"scores", "row"}


def take(table: Table, rows: NDArray[Any]) -> Table:
    """Return some persons of the ground truth, or some rows of the results."""
    columns = {f.name: getattr(table, f.name) for f in fields(table) if f.name in _BY_ROW}
    return replace(table, **{key: v[rows] for key, v in columns.items() if v is not None})


@dataclass(frozen=True, eq=False)
class Matches:
    """Who was matched to whom in one category: D detections and G persons in I images.

    detections (D,): indices into Results of those that take part (the first max_dets of each
    image), image by image, by descending score; those of image i are
    detections[det_start[i] : det_start[i + 1]]. persons (G,), gt_start (I + 1,): the same for
    indices into GroundTruth, in file order within an image.

    oks (P,): of each detection with each person of its image; those of image i are
    oks[pair_start[i] : pair_start[i + 1]].reshape(detections of i, persons of i).

    With A areas (in the order of the settings, "all" first) and T thresholds:
    det_match (A, T, D): position in `persons`, -1 for none. gt_match (A, T, G): position in
    `detections`, -1 for none (of several on one crowd, the last). det_ignored (A, T, D): counts
    neither as right nor as wrong. gt_ignored (A, G).
    """

    category: int
    detections: Ints
    det_start: Ints
    persons: Ints
    gt_start: Ints
    oks: Floats
    pair_start: Ints
    det_match: NDArray[np.int32]
    gt_match: NDArray[np.int32]
    det_ignored: Bools
    gt_ignored: Bools
    __repr__ = one_line

    def counts(self) -> Bools:
        """Tell which persons are to be found, (G,), whatever their area."""
        return ~self.gt_ignored[0]

    def det_image(self) -> Ints:
        """Return the image of each detection, (D,)."""
        return np.repeat(np.arange(len(self.det_start) - 1), np.diff(self.det_start))

    def gt_image(self) -> Ints:
        """Return the image of each person, (G,)."""
        return np.repeat(np.arange(len(self.gt_start) - 1), np.diff(self.gt_start))

    def of_image(self, image: int) -> tuple[slice, slice, Floats]:
        """Return the detections and persons of an image, and their OKS (detections, persons)."""
        dets = slice(int(self.det_start[image]), int(self.det_start[image + 1]))
        gts = slice(int(self.gt_start[image]), int(self.gt_start[image + 1]))
        oks = self.oks[self.pair_start[image] : self.pair_start[image + 1]]
        return dets, gts, oks.reshape(dets.stop - dets.start, gts.stop - gts.start)


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision at 101 recalls; -1 where a category and area have no person to find.

    recalls (R,). precision, scores (T, R, C, A): scores is the detection score where that recall
    is reached. recall (T, C, A): the highest. The axes are those of pycocotools without its last
    (max_dets).
    """

    recalls: Floats
    precision: Floats
    scores: Floats
    recall: Floats
    __repr__ = one_line

    def of(self, category: int) -> "Curves":
        """Return the curves of one category (an index) alone."""
        one = slice(category, category + 1)
        return replace(
            self,
            precision=self.precision[:, :, one],
            scores=self.scores[:, :, one],
            recall=self.recall[:, one],
        )
