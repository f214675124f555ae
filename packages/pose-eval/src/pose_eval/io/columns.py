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

IDS = ("image_id", "category_id", "id")
INTS = ("iscrowd", "num_keypoints", "ignore")
FLOATS = ("score", "area")


@dataclass(frozen=True, eq=False)
class Columns:
    """One row for each object, M in all.

    ids: `image_id`, `category_id`, `id` (where the objects have them): integers or text; objects
    where both occur, or None for missing. ints: `iscrowd`, `num_keypoints`, `ignore`. floats:
    `score`, `area`. keypoints (M, 3 K), shorter rows filled up with zeros. bbox (M, 4), NaN where
    there is none. has: which rows have a key. notes: by code, how many rows needed a reading that
    deserves a warning.
    """

    ids: dict[str, NDArray[Any]]
    ints: dict[str, Ints]
    floats: dict[str, Floats]
    keypoints: Floats
    bbox: Floats
    has: dict[str, Bools]
    notes: dict[str, int]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keypoints)

    def poses(self) -> Floats:
        """Return the keypoints as (M, K, 3)."""
        return self.keypoints.reshape(len(self), self.keypoints.shape[1] // 3, 3)


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several columns, one after the other."""
    if len(parts) == 1:
        return parts[0]

    def tables(name: str) -> dict[str, NDArray[Any]]:
        each = [getattr(part, name) for part in parts]
        return {key: np.concatenate([table[key] for table in each]) for key in each[0]}

    return Columns(
        ids=tables("ids"),
        ints=tables("ints"),
        floats=tables("floats"),
        keypoints=np.concatenate([part.keypoints for part in parts]),
        bbox=np.concatenate([part.bbox for part in parts]),
        has=tables("has"),
        notes=sum((Counter(part.notes) for part in parts), Counter()),
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
    """Return keypoints (M, 3 K) of so many joints: the first ones, or filled up with zeros."""
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
