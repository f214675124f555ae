"""The arrays that everything in this package reads: ground truth, results, matches, curves.

Image ids and category ids appear once each, sorted as np.unique sorts them; everywhere else an
image or a category is an index into those. Categories may differ in their number of joints:
`keypoints` has the largest number K, and a category with fewer joints uses the first of them (the
rest is zero).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class ResultsError(ValueError):
    """Results or ground truth that cannot be evaluated; the message says where and why."""


class SettingsError(ResultsError):
    """An argument of the evaluation that makes no sense, alone or for this ground truth."""


@dataclass(frozen=True, eq=False)
class Category:
    """What a category id stands for.

    joint_names: as in the ground truth, else "joint 0", "joint 1", ...; links: pairs of joint
    indices (from 0), for drawing.
    """

    id: Any
    name: str
    joint_names: tuple[str, ...]
    links: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotations of one file, in file order: I images, N persons, at most K joints.

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


@dataclass(frozen=True, eq=False)
class Results:
    """Detections in the order of their file: M rows.

    image, category (M,): indices into the ground truth. keypoints (M, K, 3): x, y, score. scores
    (M,). bbox (M, 4): x, y, w, h, or None where the area of a detection is the extent of its
    joints. row (M,): the number of the row in the file, from 0 (rows that were dropped leave
    gaps).
    """

    name: str
    image: Ints
    category: Ints
    keypoints: Floats
    scores: Floats
    bbox: Floats | None
    row: Ints


def take(results: Results, rows: NDArray[Any]) -> Results:
    """Return some rows of the results."""
    return replace(
        results,
        image=results.image[rows],
        category=results.category[rows],
        keypoints=results.keypoints[rows],
        scores=results.scores[rows],
        bbox=None if results.bbox is None else results.bbox[rows],
        row=results.row[rows],
    )


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
    neither as right nor as wrong. gt_ignored (A, G). det_area (D,): the area of a detection.
    """

    category: int
    detections: Ints
    det_start: Ints
    persons: Ints
    gt_start: Ints
    oks: Floats
    pair_start: Ints
    det_area: Floats
    det_match: NDArray[np.int32]
    gt_match: NDArray[np.int32]
    det_ignored: Bools
    gt_ignored: Bools


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
