"""Columns of JSON records: ids, numbers, text. Wrong values are reported with their record."""

from array import array
from collections.abc import Callable, Iterable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.json import opens_list, read_pieces

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
LARGEST = 1e9  # of a coordinate, in pixels: far beyond any image, within any type
_FLOATS_HOLD = 2**53  # whole numbers exactly up to this


class Rows:
    """Some consecutive records of a list in a file, read column by column.

    what: names the records in messages ("gt.json annotation"); first: index of the first one in
    its list. A value that cannot be read is reported, which raises DatasetError where the findings
    are strict, and marks its record in is_bad (n,); of a record only the first is reported. null is
    the same as missing.
    """

    def __init__(self, records: list[Any], what: str, first: int, findings: Findings) -> None:
        self.records = [each if isinstance(each, dict) else {} for each in records]
        self.what, self.first, self.findings = what, first, findings
        self.is_bad = np.zeros(len(records), bool)
        self.has_odd_id = np.zeros(len(records), bool)  # 139.0, or "139" where that is read
        for i, each in enumerate(records):
            if not isinstance(each, dict):
                self.refuse(i, f"must be an object, got {type(each).__name__}")

    def __len__(self) -> int:
        return len(self.records)

    def name(self, i: int) -> str:
        """Name a record in messages: its index in the list, and its id."""
        own = self.records[i].get("id")
        return f"{self.what} {self.first + i}" + (f" (id {own})" if type(own) is int else "")

    def refuse(self, i: int, text: str, slug: str = "wrong-type") -> None:
        """Report a record that cannot be used."""
        if not self.is_bad[i]:
            self.is_bad[i] = True
            self.findings.add(slug, f"{self.name(i)}: {text}")

    def column(self, key: str, required: bool = False) -> tuple[list[Any], Bools]:
        """Return what each record has under a key, None for nothing, and which have nothing."""
        try:
            values = list(map(itemgetter(key), self.records))
        except KeyError:
            values = [record.get(key) for record in self.records]
        if None not in values:
            return values, np.zeros(len(values), bool)
        is_missing = np.array([value is None for value in values], bool)
        for i in np.flatnonzero(is_missing).tolist() if required else ():
            self.refuse(i, f"{key} is missing")
        return values, is_missing

    def integers(
        self, key: str, *, required: bool = True, text: bool = False
    ) -> tuple[Ints, Bools]:
        """Return integers (n,), 0 where missing, and which are missing; text: read "7" as 7."""
        values, is_missing = self.column(key, required)
        if set(map(type, values)) <= {int, type(None)}:
            try:
                filled = [value or 0 for value in values] if is_missing.any() else values
                return np.array(filled, np.int64), is_missing
            except OverflowError:
                pass
        found = np.zeros(len(values), np.int64)
        self._convert(key, values, partial(whole_number, text=text), "an integer", found)
        self.has_odd_id |= [not isinstance(value, int | None) for value in values]
        return found, is_missing

    def flags(self, key: str) -> tuple[Bools, Bools]:
        """Return which records have 1 or true, and where it is missing."""
        values, is_missing = self.column(key)
        if set(map(type, values)) <= {int} and set(values) <= {0, 1}:
            return np.array(values, bool), is_missing
        found = np.zeros(len(values), bool)
        self._convert(key, values, _flag, "0 or 1", found)
        return found, is_missing

    def scalars(
        self, key: str, *, least: float = -np.inf, required: bool = False
    ) -> tuple[Floats, Bools]:
        """Return numbers from `least` on (n,), NaN where missing, and which are missing."""
        values, is_missing = self.column(key, required)
        numbers = _numbers_from(values, least)
        if numbers is not None:
            return numbers, is_missing
        found = np.full((len(values), 1), np.nan)
        wanted = "a number" if least == -np.inf else f"a number from {least:g} on"
        self._convert(key, values, lambda value: _numbers_from([value], least), wanted, found)
        return found[:, 0], is_missing

    def texts(self, key: str) -> list[str]:
        """Return text, "" where it is missing."""
        found = [""] * len(self)
        values, _ = self.column(key, required=True)
        self._convert(key, values, lambda v: v if isinstance(v, str) else None, "text", found)
        return found

    def _convert(
        self, key: str, values: list[Any], convert: Callable[[Any], Any], wanted: str, found: Any
    ) -> None:
        """Set `found` value by value; what becomes None is refused, and what is missing stays."""
        for i, value in enumerate(values):
            converted = None if value is None else convert(value)
            if converted is not None:
                found[i] = converted
            elif value is not None:
                self.refuse(i, f"{key} must be {wanted}, got {value!r:.60}")

    def lists(self, key: str, width: int | None = None) -> tuple[Floats, Ints, Bools]:
        """Return concatenated lists of numbers, their lengths (n,), and which are missing.

        width: of each list, None for any. An empty list is a missing one; booleans are 0 and 1, as
        in numpy. Missing and refused ones have length 0.
        """
        values, is_missing = self.column(key)
        filled = [[] if v is None else v for v in values] if is_missing.any() else list(values)
        flat = flat_numbers(filled)
        has_width = flat is not None and (width is None or set(map(len, filled)) <= {0, width})
        if flat is None or not has_width or not (np.abs(flat) <= LARGEST).all():  # or NaN
            for i, value in enumerate(filled):
                if problem := wrong_numbers(value, width):
                    self.refuse(i, f"{key} {problem}")
                    filled[i] = []
            flat = flat_numbers(filled)
            assert flat is not None
        counts = np.array(list(map(len, filled)), np.int64)
        return flat, counts, (counts == 0) & ~self.is_bad


def read_list(
    path: Path, what: str, findings: Findings, read: Callable[[Rows], Columns]
) -> Columns:
    """Read a file that is a list of records; raises DatasetError for another.

    what: names a record in messages; read: makes columns of some rows.
    """
    if not opens_list(path):
        raise DatasetError(f"{path} must be a list of {what}s")
    name = f"{path} {what}"
    pieces = read_pieces(path)
    return concatenate([read(Rows(each.value, name, each.first, findings)) for each in pieces])


def _numbers_from(values: list[Any], least: float) -> Floats | None:
    """Return numbers from `least` on; None where one is something else, a boolean or NaN."""
    numbers = None if bool in set(map(type, values)) else flat_numbers([values])
    if numbers is None or not ((numbers >= least) & (np.abs(numbers) <= LARGEST**2)).all():
        return None
    return numbers


def _flag(value: Any) -> bool | None:
    return value == 1 if isinstance(value, int | float) and value in (0, 1) else None


def whole_number(value: object, *, text: bool = False) -> int | None:
    """Return an id or a count as an integer; None for anything else, also for booleans."""
    if text and isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value[:20])
    if isinstance(value, float):
        return int(value) if abs(value) < _FLOATS_HOLD and value == int(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    return None


def flat_numbers(lists: Iterable[Any]) -> Floats | None:
    """Concatenate lists of numbers; None where one is not a list of numbers alone."""
    numbers = array("d")  # takes numbers only, and is faster than numpy over nested lists
    try:
        for values in lists:
            numbers.fromlist(values)
    except (TypeError, OverflowError):
        return None
    return np.frombuffer(numbers, np.float64).copy()


def wrong_numbers(value: object, width: int | None) -> str | None:
    """Return what is wrong with a list of `width` coordinates; None for nothing."""
    wanted = "a list of numbers" if width is None else f"{width} numbers"
    numbers = flat_numbers([value])
    if numbers is None:
        return f"must be {wanted}, got {value!r:.60}"
    if width is not None and len(numbers) not in (0, width):
        return f"must be {wanted}, got {len(numbers)}"
    if not np.isfinite(numbers).all():
        return "holds NaN or infinity"
    if (np.abs(numbers) > LARGEST).any():
        return f"holds a value beyond {LARGEST:g}"
    return None


def concatenate(pieces: list[Columns]) -> Columns:
    """Concatenate columns, and empty the list of pieces to free their memory."""
    whole = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    pieces.clear()
    return whole


def find_rows(ids: Ints, wanted: Ints) -> Ints:
    """Return the row of each wanted id in ids, the last of equal ones, -1 where there is none."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids, kind="stable")
    rows = order[np.searchsorted(ids, wanted, side="right", sorter=order) - 1]
    return np.where(ids[rows] == wanted, rows, -1)


def first_rows(ids: Ints) -> Ints:
    """Return for each id (n,) the row of the first that is equal."""
    _, first, row = np.unique(ids, return_index=True, return_inverse=True)
    return first[row]


def best_rows(image: Ints, score: Floats, per_image: int) -> Ints:
    """Return the rows of each image's best scores, image by image; the first wins a tie."""
    order = np.lexsort((-score, image))  # stable
    rank = np.arange(len(order)) - np.searchsorted(image[order], image[order])
    return order[rank < per_image]


def first_few(values: NDArray[Any]) -> str:
    """Return the first few values for a message."""
    return ", ".join(map(str, values[:5].tolist())) + ", ..." * (len(values) > 5)
