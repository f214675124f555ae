"""Python objects as columns: each row is checked, and what is wrong with it is named.

`null` is the same as a missing key wherever a key may be missing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from pose_eval.io.columns import (
    IDS,
    KEYS,
    LISTS,
    MOST_JOINTS,
    NUMBERS,
    Columns,
    blank,
    id_array,
    raise_problems,
)
from pose_eval.io.plain import plain_columns
from pose_eval.io.source import DUPLICATE


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
    read; others are ignored. joints: by category id, its number of keypoints; by None that of
    a row without category. least: rows with another number of keypoints are read, too, if it is not
    below this one. numbers: what the rows are called, if not 0, 1, 2, ... Raises ResultsError that
    lists the first bad rows.
    """
    if not any(isinstance(row, Mapping) and DUPLICATE in row for row in rows):
        plain = plain_columns(rows, joints, required, optional, least)
        if plain is not None:
            return plain
    columns = {key: blank(key, len(rows), max(joints.values(), default=0)) for key in KEYS}
    has = {key: np.zeros(len(rows), np.bool_) for key in KEYS}
    notes: Counter[str] = Counter()
    problems = []
    for number, row in enumerate(rows):
        try:
            values = _values(row, required, optional, joints, notes)
            if "keypoints" in values:
                hint = "score" in required
                known = joints.get(values.get("category_id"))
                values["keypoints"] = _fitting(values["keypoints"], known, joints, least, hint)
        except Problem as problem:
            called = number if numbers is None else numbers[number]
            problems.append(f"{label} {called}{_which(row)}: {problem}")
            continue
        for key, value in values.items():
            has[key][number] = True
            if key == "keypoints":
                columns[key][number, : len(value)] = value
            else:
                columns[key][number] = value
    raise_problems(problems)
    has["num_keypoints"] &= columns["num_keypoints"] >= 0
    return Columns(columns | {key: id_array(columns[key].tolist()) for key in IDS}, has, notes)


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


def entry_id(entry: Any, notes: Counter[str]) -> Any:
    """Return the id of an image or category, None where it has none. Raises Problem."""
    if not isinstance(entry, Mapping):
        raise Problem("must be an object with an id")
    if DUPLICATE in entry:
        raise Problem(f"has the key {entry[DUPLICATE]!r} more than once")
    return None if entry.get("id") is None else read_id("id", entry["id"], notes)


def is_digits(key: Any) -> bool:
    """Tell whether an id is text that stands for an integer."""
    return isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 19


def in_kind(key: Any, integers: bool) -> Any:
    """Return a category id as an integer, or as text, where it can be one."""
    if integers:
        return int(key) if is_digits(key) else key
    return str(key) if isinstance(key, int) else key


def _values(
    row: Any,
    required: Sequence[str],
    optional: Sequence[str],
    joints: Mapping[Any, int],
    notes: Counter[str],
) -> dict[str, Any]:
    """Return the values of a row by key, those that it has; raises Problem."""
    if not isinstance(row, Mapping):
        raise Problem(f"must be an object, got {shown(row)}")
    if DUPLICATE in row:
        raise Problem(f"has the key {row[DUPLICATE]!r} more than once")
    missing = [key for key in required if key not in row]
    if missing:
        raise Problem(f"has no {', '.join(missing)}" + _instead(missing, row))
    values: dict[str, Any] = {}
    for key in KEYS:
        if key in required or (key in optional and not _is_missing(key, row.get(key))):
            values[key] = _value(key, row[key], notes)
    if "category_id" in values:
        integers = all(not isinstance(known, str) for known in joints)
        found = in_kind(values["category_id"], integers)
        notes["text-ids"] += found != values["category_id"]
        values["category_id"] = found
    return values


def _value(key: str, value: Any, notes: Counter[str]) -> Any:
    if key in IDS:
        return read_id(key, value, notes)
    if key in LISTS:
        numbers = _numbers(key, value)
        if key == "bbox" and len(numbers) != 4:
            raise Problem(f"bbox has {len(numbers)} numbers, not 4 (x, y, w, h)")
        return numbers
    if key in NUMBERS:
        return _number(key, value)
    if key == "ignore":  # read only for the warning that it has no effect
        return int(bool(value))
    if key == "iscrowd":
        if isinstance(value, Real) and value in (0, 1):
            return int(value)  # type: ignore[call-overload]
        raise Problem(f"iscrowd must be 0 or 1, got {shown(value)}")
    number = _number(key, value)
    if number != number // 1:
        raise Problem(f"{key} must be a whole number, got {shown(value)}")
    return int(max(-1, min(number, MOST_JOINTS)))


def _fitting(
    values: Any, joints: int | None, known: Mapping[Any, int], least: int | None, hint: bool
) -> Any:
    """Return the numbers of so many keypoints; raises Problem where there are others."""
    if joints is None:
        return ()  # of an unknown category, which is reported elsewhere
    count, rest = divmod(len(values), 3)
    if len(values) == 3 * joints or (least and not rest and count >= least):
        return values[: 3 * joints]
    raise Problem(
        f"keypoints has {len(values)} numbers, the ground truth has {joints} keypoints "
        f"({3 * joints} numbers){other_count(len(values), joints, known) if hint else ''}"
    )


def other_count(values: int, joints: int, known: Mapping[Any, int]) -> str:
    """Return a hint for results that have another number of keypoints than the ground truth."""
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
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _is_missing(key: str, value: Any) -> bool:
    empty = key in LISTS and isinstance(value, list | tuple | np.ndarray) and not len(value)
    return value is None or empty


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
