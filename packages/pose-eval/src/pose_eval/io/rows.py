"""Python objects as columns: each row is checked, and what is wrong with it is named.

`null` is the same as a missing key wherever a key may be missing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from pose_eval.io.columns import FLOATS, IDS, INTS, Columns, id_array, raise_problems
from pose_eval.io.source import DUPLICATE

LISTS = ("keypoints", "bbox")  # an empty one is a missing one
MOST_JOINTS = 10**6  # of num_keypoints; what lies above is not told apart


class Problem(Exception):
    """What is wrong with one row."""


def rows_to_columns(
    rows: Sequence[Any],
    label: str,
    required: Sequence[str],
    optional: Sequence[str],
    joints: Mapping[Any, int],
    *,
    least: int | None = None,
    numbers: Sequence[int] | None = None,
) -> Columns:
    """Check Python rows and return their columns.

    label: what a row is called in messages, "results.json row". required, optional: the keys to
    read; others are not looked at. joints: by category id, its number of joints; by None that of a
    row without category. least: rows with another number of joints are read, too, if it is not
    below this one. numbers: what the rows are called, if not 0, 1, 2, ... Raises ResultsError that
    lists the first bad rows.
    """
    count = len(rows)
    width = 3 * max(joints.values(), default=0)
    reader = _RowReader(required, optional, joints, least)
    used = (*required, *optional)
    ids: dict[str, list[Any]] = {key: [None] * count for key in IDS if key in used}
    ints = {key: np.zeros(count, np.int64) for key in INTS}
    floats = {key: np.full(count, np.nan) for key in FLOATS}
    keypoints, bbox = np.zeros((count, width)), np.full((count, 4), np.nan)
    has = {key: np.zeros(count, np.bool_) for key in (*IDS, *INTS, *FLOATS, *LISTS)}
    problems = []
    for number, row in enumerate(rows):
        try:
            values = reader.read(row)
        except Problem as problem:
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


def read_id(key: str, value: Any, notes: Counter[str]) -> Any:
    """Return an id as an integer or text; 139.0 is 139, and noted. Raises Problem."""
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating) and value == value // 1:
        notes["float-ids"] += 1
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise Problem(f"{key} must be an integer or a string, got {shown(value)}")
    if not -(2**63) <= value < 2**63:
        raise Problem(f"{key} has {len(str(value))} digits, more than an id can have")
    return int(value)


def is_digits(key: Any) -> bool:
    """Tell whether an id is text that stands for an integer."""
    return isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 19


def in_kind(key: Any, integers: bool) -> Any:
    """Return a category id as an integer, or as text, where it can be one."""
    if integers:
        return int(key) if is_digits(key) else key
    return str(key) if isinstance(key, int) else key


@dataclass
class _RowReader:
    """Reads rows strictly; counts in `notes` what it read in spite of an odd form."""

    required: Sequence[str]
    optional: Sequence[str]
    joints: Mapping[Any, int]
    least: int | None

    def __post_init__(self) -> None:
        self.notes: Counter[str] = Counter()
        self.integers = all(not isinstance(key, str) for key in self.joints)
        used = {*self.required, *self.optional}  # keypoints are checked by their category
        self.order = [key for key in (*IDS, *INTS, *FLOATS, *LISTS) if key in used]

    def read(self, row: Any) -> dict[str, Any]:
        """Return the values of a row by key, those that it has; raises Problem."""
        if not isinstance(row, Mapping):
            raise Problem(f"must be an object, got {shown(row)}")
        if DUPLICATE in row:
            raise Problem(f"has the key {row[DUPLICATE]!r} more than once")
        missing = [key for key in self.required if key not in row]
        if missing:
            raise Problem(f"has no {', '.join(missing)}" + _instead(missing, row))
        values: dict[str, Any] = {}
        for key in self.order:
            if key in self.required or not _is_missing(key, row.get(key)):
                values[key] = self._value(key, row[key], values.get("category_id"))
        if values.get("num_keypoints", 0) < 0:
            del values["num_keypoints"]
        return values

    def _value(self, key: str, value: Any, category: Any) -> Any:
        if key in IDS:
            return self._id(key, value)
        if key in INTS:
            return _integer(key, value)
        if key in FLOATS:
            return _number(key, value)
        if key == "keypoints":
            return self._keypoints(value, category)
        numbers = _numbers(key, value)
        if len(numbers) != 4:
            raise Problem(f"bbox has {len(numbers)} numbers, not 4 (x, y, w, h)")
        return numbers

    def _id(self, key: str, value: Any) -> Any:
        found = read_id(key, value, self.notes)
        if key == "category_id":
            other = in_kind(found, self.integers)
            self.notes["text-ids"] += other is not found and other != found
            return other
        return found

    def _keypoints(self, value: Any, category: Any) -> Any:
        values = _numbers("keypoints", value)
        joints = self.joints.get(category)
        if joints is None:
            return ()  # of a category that is unknown, which is said elsewhere
        count, rest = divmod(len(values), 3)
        if len(values) == 3 * joints or (self.least and not rest and count >= self.least):
            return values[: 3 * joints]
        hint = other_count(len(values), joints, self.joints) if "score" in self.order else ""
        raise Problem(
            f"keypoints has {len(values)} numbers, the ground truth has {joints} joints "
            f"({3 * joints} numbers){hint}"
        )


def other_count(values: int, joints: int, known: Mapping[Any, int]) -> str:
    """Return a hint for results that have another number of joints than the ground truth."""
    if values == 2 * joints:
        return "; they look like x, y without a third number"
    if values % 3 or not values or len(set(known) - {None}) > 1:
        return ""
    least = min(values // 3, joints)
    return f"; --joints 0-{least - 1} evaluates the first {least} of both"


def _which(row: Any) -> str:
    """Return " (image 139)" or " (id 7, image 139)" for messages."""
    if not isinstance(row, Mapping):
        return ""
    ids = {"id": row.get("id"), "image": row.get("image_id")}
    parts = [f"{key} {value}" for key, value in ids.items() if value is not None]
    parts = parts[-1:] if "score" in row else parts
    return f" ({', '.join(parts)})" if parts else ""


def _instead(missing: Sequence[str], row: Mapping[Any, Any]) -> str:
    """Return a hint where a key seems to be there under another name."""
    others = {
        "score": ("scores", "confidence"),
        "image_id": ("image", "img_id"),
        "category_id": ("category", "label"),
        "keypoints": ("keypoint", "kpts", "pose"),
    }
    found = [(key, other) for key in missing for other in others.get(key, ()) if other in row]
    return "".join(f"; `{other}` should be called `{key}`" for key, other in found)


def shown(value: Any) -> str:
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


def _is_missing(key: str, value: Any) -> bool:
    empty = key in LISTS and isinstance(value, list | tuple | np.ndarray) and not len(value)
    return value is None or empty


def _integer(key: str, value: Any) -> int:
    if key == "ignore":  # of interest only for the warning that it is not looked at
        return int(bool(value))
    if key == "iscrowd":
        if isinstance(value, Real) and value in (0, 1):
            return int(value)  # type: ignore[call-overload]
        raise Problem(f"iscrowd must be 0 or 1, got {shown(value)}")
    number = _number(key, value)
    if number != number // 1:
        raise Problem(f"{key} must be a whole number, got {shown(value)}")
    return int(min(number, MOST_JOINTS))


def _number(key: str, value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise Problem(f"{key} must be a finite number, got one beyond 1e308") from None
        if math.isfinite(number):
            return number
    raise Problem(f"{key} must be a finite number, got {shown(value)}")


def _numbers(key: str, value: Any) -> Any:
    """Return a list of numbers as it is after checking each; true and false are 1 and 0."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = value.ravel().tolist()
    if not isinstance(value, list | tuple):
        raise Problem(f"{key} must be a list of numbers, got {shown(value)}")
    kinds = set(map(type, value))
    if kinds <= {int, float, bool}:
        try:
            if math.isfinite(sum(map(abs, value))):
                return value
        except OverflowError:  # an integer beyond the range of doubles
            pass
    for at, number in enumerate(value):
        if isinstance(number, list | tuple):
            raise Problem(f"{key} must be a flat list of numbers, but {key}[{at}] is a list")
        if not isinstance(number, bool):
            _number(f"{key}[{at}]", number)
    return [float(number) for number in value]
