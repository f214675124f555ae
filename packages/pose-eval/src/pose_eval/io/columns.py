"""Rows as arrays: the form in which ground truth and results are checked.

Three ways lead here, with the same columns at the end: plain.py reads rows of the usual form fast;
rows.py takes any and finds the words for whatever is wrong with them; arrays.py takes arrays.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Bools, Floats, Ints, ResultsError

SHOWN = 5  # how many bad rows an error lists

IDS = ("image_id", "category_id", "id")  # integers or text
WHOLE = ("iscrowd", "num_keypoints", "ignore")
NUMBERS = ("score", "area")
LISTS = ("keypoints", "bbox")  # an empty one is a missing one
KEYS = (*IDS, *WHOLE, *NUMBERS, *LISTS)
MOST_JOINTS = 10**6  # of num_keypoints; what lies above is not told apart


@dataclass(frozen=True, eq=False)
class Columns:
    """One row for each object, M in all, a column for each of KEYS that was asked for.

    values: those of IDS as integers or text, objects where both occur, or None for missing; of
    WHOLE, 0 for missing; of NUMBERS, NaN for missing; `keypoints` (M, 3 K), shorter rows filled up
    with zeros; `bbox` (M, 4), NaN for missing. has: which rows have a key. notes: by code, how many
    rows needed a reading that deserves a warning.
    """

    values: dict[str, NDArray[Any]]
    has: dict[str, Bools]
    notes: Counter[str]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self["keypoints"])

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return a column."""
        return self.values[key]

    def poses(self) -> Floats:
        """Return the keypoints as (M, K, 3)."""
        return self["keypoints"].reshape(len(self), self["keypoints"].shape[1] // 3, 3)


def blank(key: str, count: int, num_joints: int) -> NDArray[Any]:
    """Return the column of a key that no row has."""
    if key in IDS:
        return np.full(count, None, object)
    if key in WHOLE:
        return np.zeros(count, np.int64)
    if key == "keypoints":
        return np.zeros((count, 3 * num_joints))
    return np.full((count, 4) if key == "bbox" else count, np.nan)


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several columns, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        {key: np.concatenate([part[key] for part in parts]) for key in parts[0].values},
        {key: np.concatenate([part.has[key] for part in parts]) for key in parts[0].has},
        sum((part.notes for part in parts), Counter()),
    )


def id_array(values: Sequence[Any]) -> NDArray[Any]:
    """Return ids as an array of integers or of strings; of objects where both or None occur."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return np.array(values, np.str_)
    return np.array(values, np.int64 if kinds <= {int} else object)


def lookup(ids: NDArray[Any], known: NDArray[Any]) -> Ints:
    """Return the index of each id in the sorted array `known`, -1 where it is not there."""
    if ids.dtype.kind == known.dtype.kind and ids.dtype.kind != "O":
        at = np.searchsorted(known, ids)
        at[at == len(known)] = 0
        return np.where(known[at] == ids, at, -1).astype(np.int64)
    index = {key: i for i, key in enumerate(known.tolist())}
    return np.array([index.get(key, -1) for key in ids.tolist()], np.int64)


def fitted(keypoints: Floats, num_joints: int) -> Floats:
    """Return keypoints (M, 3 K) of so many: the first ones, or filled up with zeros."""
    width = 3 * num_joints
    if keypoints.shape[1] == width:
        return keypoints
    found = np.zeros((len(keypoints), width))
    found[:, : keypoints.shape[1]] = keypoints[:, :width]
    return found


def some(texts: Sequence[str], limit: int) -> str:
    """Return the first texts between commas, and how many there are."""
    more = f", ... ({len(texts)} in all)" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def raise_problems(problems: Sequence[str]) -> None:
    """Raise a ResultsError that lists the first problems and counts the rest, if there are any."""
    if problems:
        rest = len(problems) - SHOWN
        more = [f"and {rest} more ({len(problems)} in all)"] if rest > 0 else []
        raise ResultsError("\n".join([*problems[:SHOWN], *more]))
