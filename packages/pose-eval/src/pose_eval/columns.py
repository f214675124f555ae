"""Rows of JSON as arrays: the form in which ground truth and results are checked.

Two ways lead here, with the same columns at the end: `scan` reads a file of the usual form fast;
`rows_to_columns` takes Python objects and finds the words for whatever is wrong with them.
"""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.powers import words_of
from pose_eval.source import DUPLICATE, PADDING
from pose_eval.tables import Bools, Floats, Ints, ResultsError

SHOWN = 5  # how many bad rows an error lists

IDS = ("image_id", "category_id", "id")
INTS = ("iscrowd", "num_keypoints", "ignore")
FLOATS = ("score", "area")


@dataclass(frozen=True, eq=False)
class Columns:
    """One row for each object, M in all.

    ids: `image_id`, `category_id`, `id` (where the objects have them): integers, or any type. ints:
    `iscrowd`, `num_keypoints`, `ignore`. floats: `score`, `area`. keypoints (M, 3 K), shorter rows
    filled up with zeros. bbox (M, 4), NaN where there is none. has: which rows have a key. notes:
    by code, how many rows needed a reading that deserves a warning.
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
    if "score" not in required and not (
        np.isin(column["iscrowd"], (0, 1)).all() and (column["num_keypoints"] >= 0).all()
    ):
        return None
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


def rows_to_columns(
    rows: Sequence[Any],
    label: str,
    required: Sequence[str],
    optional: Sequence[str],
    joints: Mapping[Any, int],
    numbers: Sequence[int] | None = None,
) -> Columns:
    """Check Python rows and return their columns.

    label: what a row is called in messages, "results.json row". required, optional: the keys to
    read; others are not looked at. joints: by category id, its number of joints. numbers: what the
    rows are called, if not 0, 1, 2, ... Raises ResultsError that lists the first bad rows.
    """
    count = len(rows)
    width = 3 * max(joints.values(), default=0)
    reader = _RowReader(required, optional, joints)
    ids: dict[str, list[Any]] = {key: [None] * count for key in IDS if key in required}
    ints = {key: np.zeros(count, np.int64) for key in INTS}
    floats = {key: np.full(count, np.nan) for key in FLOATS}
    keypoints, bbox = np.zeros((count, width)), np.full((count, 4), np.nan)
    has = {key: np.zeros(count, np.bool_) for key in (*IDS, *INTS, *FLOATS, "keypoints", "bbox")}
    problems = []
    for number, row in enumerate(rows):
        try:
            values = reader.read(row)
        except _Problem as problem:
            called = number if numbers is None else numbers[number]
            problems.append(f"{label} {called}{_which(row)}: {problem}")
            continue
        for key, value in values.items():
            has[key][number] = True
            if key in ids:
                ids[key][number] = value
            elif key in ints:
                ints[key][number] = value
            elif key in floats:
                floats[key][number] = value
            elif key == "keypoints":
                keypoints[number, : len(value)] = value
            elif key == "bbox":
                bbox[number] = value
    raise_problems(problems)
    arrays = {key: id_array(values) for key, values in ids.items()}
    return Columns(arrays, ints, floats, keypoints, bbox, has, reader.notes)


def id_array(values: Sequence[Any]) -> NDArray[Any]:
    """Return ids as an array of integers or of strings; of objects where both occur."""
    kinds = {isinstance(value, str) for value in values}
    if kinds == {True}:
        return np.array(values, np.str_)
    return np.array(values, np.int64 if kinds <= {False} else object)


def lookup(ids: NDArray[Any], known: NDArray[Any]) -> Ints:
    """Return the index of each id in the sorted array `known`, -1 where it is not there."""
    if ids.dtype.kind == known.dtype.kind and ids.dtype.kind != "O":
        at = np.searchsorted(known, ids)
        at[at == len(known)] = 0
        return np.where(known[at] == ids, at, -1).astype(np.int64)
    index = {key: i for i, key in enumerate(known.tolist())}
    return np.array([index.get(key, -1) for key in ids.tolist()], np.int64)


def raise_problems(problems: Sequence[str]) -> None:
    """Raise a ResultsError that lists the first problems and counts the rest, if there are any."""
    if problems:
        rest = len(problems) - SHOWN
        more = [f"and {rest} more ({len(problems)} in all)"] if rest > 0 else []
        raise ResultsError("\n".join([*problems[:SHOWN], *more]))


class _Problem(Exception):
    """What is wrong with one row."""


@dataclass
class _RowReader:
    """Reads rows strictly; counts in `notes` what it read in spite of an odd form."""

    required: Sequence[str]
    optional: Sequence[str]
    joints: Mapping[Any, int]

    def __post_init__(self) -> None:
        self.notes: Counter[str] = Counter()

    def read(self, row: Any) -> dict[str, Any]:
        """Return the values of a row by key; raises _Problem."""
        if not isinstance(row, Mapping):
            raise _Problem(f"must be an object, got {_shown(row)}")
        if DUPLICATE in row:
            raise _Problem(f"has the key {row[DUPLICATE]!r} more than once")
        missing = [key for key in self.required if key not in row]
        if missing:
            raise _Problem(f"has no {', '.join(missing)}" + _instead(missing, row))
        values = {key: self._id(key, row[key]) for key in self.required if key in IDS}
        for key in (*self.required, *self.optional):
            if key not in row:
                continue
            if key in INTS:
                values[key] = _integer(key, row[key])
            elif key in FLOATS:
                values[key] = _number(key, row[key])
            elif key == "keypoints":
                values[key] = self._keypoints(row[key], values["category_id"])
            elif key == "bbox" and (key in self.required or not _is_empty(row[key])):
                values[key] = _numbers(key, row[key])
                if len(values[key]) != 4:
                    raise _Problem(f"bbox has {len(values[key])} numbers, not 4 (x, y, w, h)")
        return values

    def _id(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, float | np.floating) and value == value // 1:
            self.notes["float-ids"] += 1
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise _Problem(f"{key} must be an integer or a string, got {_shown(value)}")
        if not -(2**63) <= value < 2**63:
            raise _Problem(f"{key} has {len(str(value))} digits, more than an id can have")
        return int(value)

    def _keypoints(self, value: Any, category: Any) -> Any:
        values = _numbers("keypoints", value)
        joints = self.joints.get(category)
        if joints is None or len(values) == 3 * joints:
            return values if joints is not None else ()
        hint = ""
        if len(values) == 2 * joints:
            hint = "; they look like x, y without a third number"
        raise _Problem(
            f"keypoints has {len(values)} numbers, the ground truth has {joints} joints "
            f"({3 * joints} numbers){hint}"
        )


def _which(row: Any) -> str:
    """Return " (image 139)" or " (id 7, image 139)" for messages."""
    if not isinstance(row, Mapping):
        return ""
    parts = [f"id {row['id']}"] if "id" in row and "score" not in row else []
    parts += [f"image {row['image_id']}"] if "image_id" in row else []
    return f" ({', '.join(parts)})" if parts else ""


def _instead(missing: Sequence[str], row: Mapping[Any, Any]) -> str:
    """Return a hint where a key seems to be there under another name."""
    if "area" in missing:
        return "; --area bbox takes 0.53 w h of the bbox instead"
    others = {
        "score": ("scores", "confidence"),
        "image_id": ("image", "img_id"),
        "category_id": ("category", "label"),
        "keypoints": ("keypoint", "kpts", "pose"),
    }
    found = [(key, other) for key in missing for other in others.get(key, ()) if other in row]
    return "".join(f"; `{other}` should be called `{key}`" for key, other in found)


def _shown(value: Any) -> str:
    """Return a value for a message, as JSON writes it and not too long."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _is_empty(value: Any) -> bool:
    return isinstance(value, list | tuple) and not value


def _integer(key: str, value: Any) -> int:
    if key == "ignore":  # of interest only for the warning that it is not looked at
        return int(bool(value))
    if key == "iscrowd" and isinstance(value, bool):
        return int(value)
    number = _number(key, value)
    most = 1 if key == "iscrowd" else 10**6
    if number != number // 1 or not 0 <= number <= most:
        allowed = "0 or 1" if key == "iscrowd" else "a whole number from 0 to a million"
        raise _Problem(f"{key} must be {allowed}, got {_shown(value)}")
    return int(number)


def _number(key: str, value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise _Problem(f"{key} must be a finite number, got one beyond 1e308") from None
        if math.isfinite(number):
            return number
    raise _Problem(f"{key} must be a finite number, got {_shown(value)}")


def _numbers(key: str, value: Any) -> Any:
    """Return a list of numbers as it is after checking each; an array flat."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        value = value.astype(np.float64).ravel()
        if np.isfinite(value).all():
            return value
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise _Problem(f"{key} must be a list of numbers, got {_shown(value)}")
    kinds = set(map(type, value))
    if kinds <= {int, float}:
        try:
            if math.isfinite(sum(map(abs, value))):
                return value
        except OverflowError:  # an integer beyond the range of doubles
            pass
    for at, number in enumerate(value):
        if isinstance(number, list | tuple):
            raise _Problem(f"{key} must be a flat list of numbers, but {key}[{at}] is a list")
        _number(f"{key}[{at}]", number)
    return [float(number) for number in value]
