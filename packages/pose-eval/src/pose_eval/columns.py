"""Rows as arrays: the form in which ground truth and results are checked.

Three ways lead here, with the same columns at the end: `scan` reads a file of the usual form fast;
rows.py takes Python objects and finds the words for whatever is wrong with them; arrays.py takes
arrays.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.powers import words_of
from pose_eval.source import PADDING
from pose_eval.tables import Bools, Floats, Ints, ResultsError

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


def scan(
    data: NDArray[np.uint8], start: int, num_joints: int, required: Sequence[str]
) -> tuple[Columns, int] | None:
    """Read the list of rows at data[start] and return it with the position behind it.

    None where numba is missing, or where anything is out of the ordinary: a required key that is
    missing, ids that are no integers, null, a number of keypoints other than 3 * num_joints, ...
    """
    try:
        from pose_eval import scan_kernels as kernels
    except ImportError:
        return None
    if sys.byteorder != "little":
        return None
    rows = _estimate(data, start, num_joints)
    while True:
        present = np.zeros(rows, np.int64)
        ints = np.zeros((rows, len(kernels.INTS)), np.int64)
        floats = np.empty((rows, len(kernels.FLOATS)))
        keypoints = np.empty((rows, 3 * num_joints))
        bbox = np.empty((rows, 4))
        to = ints, *(array.view(np.uint64) for array in (floats, keypoints, bbox))
        lines = bool(data[start] == ord("{"))
        words = words_of(data)
        end, count = kernels.scan_rows(data, words, start, lines, kernels.KEY_TABLES, present, to)
        if end >= 0 or count < rows:
            break
        rows *= 4
    has = {k: (present[:count] >> bit & 1).astype(bool) for bit, k in enumerate(kernels.KEYS)}
    if end < 0 or not all(has[key].all() for key in required):
        return None
    floats, bbox = floats[:count], bbox[:count]
    bbox[~has["bbox"]] = np.nan
    for i, key in enumerate(kernels.FLOATS):
        if key not in required:
            floats[:, i] = np.nan  # nobody looks at it, so it may be anything
    column = {key: ints[:count, i] for i, key in enumerate(kernels.INTS)}
    if "score" not in required and not np.isin(column["iscrowd"], (0, 1)).all():
        return None
    has["num_keypoints"] &= column["num_keypoints"] >= 0
    columns = Columns(
        ids={key: column[key] for key in IDS if key in required},
        ints={key: column[key] for key in INTS},
        floats={key: floats[:, i] for i, key in enumerate(kernels.FLOATS)},
        keypoints=keypoints[:count],
        bbox=bbox,
        has=has,
        notes=Counter(),
    )
    return columns, int(end)


def joints_of_first(data: NDArray[np.uint8], start: int) -> int:
    """Return the number of joints in the first row at data[start], 0 where it is not plain."""
    first = re.search(rb'"keypoints"\s*:\s*\[([^\]]*)\]', data[start : start + 10**6].tobytes())
    numbers = first[1].count(b",") + 1 if first else 0
    return 0 if numbers % 3 else numbers // 3


def count_byte(data: NDArray[np.uint8], byte: int) -> int:
    """Count a byte, a piece at a time so that no large array of comparisons is made."""
    pieces = range(0, len(data), 1 << 20)
    return sum(int(np.count_nonzero(data[i : i + (1 << 20)] == byte)) for i in pieces)


def _estimate(data: NDArray[np.uint8], start: int, num_joints: int) -> int:
    """Return a number of rows that is hardly ever too small, from the first of them.

    Memory is not touched, hence not used, before a row is written to it.
    """
    size = len(data) - PADDING - start
    sample = data[start : start + (1 << 20)]
    braces = int(np.count_nonzero(sample == ord("{")))
    likely = braces * size / max(1, min(size, len(sample)))
    most = size // (6 * num_joints + 1)  # a row has 3 K numbers of a digit and a comma
    return int(min(1.3 * likely + 1000, most + 1))


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
