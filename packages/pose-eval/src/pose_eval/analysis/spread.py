"""Sigmas from repeated annotations: how far apart people place the same keypoint."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Floats, Ints, one_line


@dataclass(frozen=True, eq=False)
class Spread:
    """The sigma of K keypoints.

    sigmas (K,): NaN where nobody has the keypoint twice. repeats (K,): annotations beyond the first
    of a person, over all persons. persons: those annotated more than once.
    """

    sigmas: Floats
    repeats: Ints
    persons: int
    __repr__ = one_line


def spread(keypoints: Floats, area: Floats, person: NDArray[Any]) -> Spread:
    """Return COCO's sigma of each keypoint: sigma^2 = E[d^2 / area], d from the true place.

    keypoints: (N, K, 3), x, y, v of N annotations; area: (N,), the mean over a person's annotations
    is used; person: (N,), the same for annotations of the same person. The place of a keypoint is
    the mean of its labelled annotations, hence one degree of freedom less for each person. Source:
    the definition on COCO's page on keypoint evaluation.
    """
    _, who = np.unique(person, return_inverse=True)
    many = int(who.max(initial=-1)) + 1
    labelled = keypoints[..., 2] > 0  # (N, K)
    count = np.zeros((many, keypoints.shape[1]))
    np.add.at(count, who, labelled)
    total = np.zeros((many, keypoints.shape[1], 2))
    np.add.at(total, who, keypoints[..., :2] * labelled[..., None])
    place = total / np.maximum(count, 1)[..., None]  # (persons, K, 2)
    size = np.bincount(who, area, many) / np.maximum(np.bincount(who, minlength=many), 1)
    squared = ((keypoints[..., :2] - place[who]) ** 2).sum(axis=-1) / size[who, None]  # (N, K)
    repeats = np.maximum(count - 1, 0).sum(axis=0)  # (K,)
    sums = np.where(labelled, squared, 0).sum(axis=0)
    variance = np.where(repeats > 0, sums / np.maximum(repeats, 1), np.nan)
    twice = int((np.bincount(who, minlength=many) > 1).sum())
    return Spread(np.sqrt(variance), repeats.astype(np.int64), twice)
