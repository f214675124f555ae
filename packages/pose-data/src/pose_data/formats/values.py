"""What the records of a COCO file have under a key of the user's: groups and weights of samples.

The file is read once more for them: tables and their caches have only what all files have.
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.annotations import number_missing
from pose_data.formats.json import Piece, collector_paused, read_pieces
from pose_data.formats.records import Floats, Ints, Rows, find_rows
from pose_data.persons import Persons
from pose_data.shares import Shares, Unit

_LISTS = ("images", "annotations")
_SHOWN = 20  # keys of each list that an error names


class Values(NamedTuple):
    """The values of a list's records: ids (n,), and text, numbers, booleans or None for nothing."""

    records: str  # images or annotations
    ids: Ints
    values: list[Any]


def with_shares(
    persons: Persons,
    *,
    balance: str | None = None,
    weight: str | None = None,
    unit: Unit = "persons",
) -> Persons:
    """Return the persons of one file with how often they come in an epoch; see `epoch_rows`.

    balance: a key of the file's images, else of its annotations, with dots for objects in objects
    (attributes.domain): records of equal value are a group, and groups come equally often. weight:
    such a key with numbers from 0 on, how often a sample comes relative to the others; with both,
    to those of its group. What lacks a key comes as often as without it. unit: what a sample is; an
    image with annotations of several values is refused.

    Raises DatasetError where no record has the key, or a value cannot be used.
    """
    if balance is None and weight is None:
        return persons
    path = persons.annotation_file
    count = len(_image_rows(persons, unit))
    groups, weights = np.zeros(count), np.ones(count)
    names: tuple[str, ...] = ("",)
    titles = {"balance": "", "weight": ""}
    if balance is not None:
        found = read_values(path, balance)
        texts = [None if value is None else _text(value) for value in found.values]
        names = tuple(sorted({text for text in texts if text is not None}))
        place = {None: np.nan} | {name: float(i) for i, name in enumerate(names)}
        numbers = np.array([place[text] for text in texts])
        groups = _of_samples(persons, found, numbers, unit, balance)
        titles["balance"] = f"{balance} of {found.records}"
    if weight is not None:
        found = read_values(path, weight)
        numbers = np.array([_weight(path, found, i, weight) for i in range(len(found.values))])
        weights = _of_samples(persons, found, numbers, unit, weight)
        titles["weight"] = f"{weight} of {found.records}"
    is_known = ~np.isnan(groups + weights)
    if not weights[is_known].any():
        keys = " and ".join(key for key in (balance, weight) if key is not None)
        least = " above 0" if weight is not None else ""
        raise DatasetError(f"{path}: none of the {unit} to train on has {keys}{least}")
    shares = Shares(
        unit=unit,
        groups=np.where(is_known, groups, -1).astype(np.int64),
        weights=np.where(is_known, weights, 1.0),
        names=names,
        **titles,
    )
    return replace(persons, shares=shares)


@collector_paused()
def read_values(path: Path, key: str) -> Values:
    """Read the values under a key from a file's images, else from its annotations.

    Raises DatasetError where neither have it, naming what they have, and where it is a list or an
    object.
    """
    findings = Findings(is_strict=True)
    found: dict[str, list[tuple[Any, Any, list[Any]]]] = {name: [] for name in _LISTS}
    for name, records, first in _pieces(path):
        rows = Rows(records, f"{path} {name[:-1]}", first, findings)
        values: list[Any] = []
        for i, record in enumerate(rows.records):
            value: Any = record
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, dict | list):
                nested = value if isinstance(value, dict) else {}
                hint = f"; did you mean {key}.{min(nested)}?" if nested else ""
                rows.refuse(i, f"{key} must be text or a number, got {value!r:.60}{hint}")
            values.append(value)
        found[name].append((*rows.integers("id", required=False), values))
    for name, pieces in found.items():
        values = [value for _, _, part in pieces for value in part]
        if any(value is not None for value in values):
            ids, lacks_id = (np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))
            return Values(name, number_missing(ids, lacks_id), values)
    known = _known_keys(path, key)
    raise DatasetError(f"{path}: no image and no annotation has the key {key!r}; {known}")


def _pieces(path: Path) -> Iterator[Piece]:
    """Yield the pieces of the images and annotations of a file."""
    for piece in read_pieces(path):
        if piece.key == "":
            raise DatasetError(
                f"{path} is a list, AI Challenger's original form, without keys to draw by; "
                "`pose-data convert --from aic` makes a COCO file of it"
            )
        if piece.key in _LISTS:
            yield piece


def _known_keys(path: Path, key: str) -> str:
    """Name the keys that there are, and the one that is most like `key`."""
    found: dict[str, dict[str, None]] = {name: {} for name in _LISTS}  # sets in order
    for name, records, _ in _pieces(path):
        for record in records:
            found[name] |= dict.fromkeys(_keys(record))
    every = [each for keys in found.values() for each in keys]
    close = [each for each in every if each.endswith(f".{key}")]
    close = close or difflib.get_close_matches(key, every, n=1)
    texts = [f"did you mean {close[0]}? "] if close else [""]
    for name, keys in found.items():
        more = ", ..." * (len(keys) > _SHOWN)
        texts.append(f"{name} have {', '.join(list(keys)[:_SHOWN]) or 'none'}{more}")
    return f"{texts[0]}{'; '.join(texts[1:])}"


def _keys(record: Any, path: str = "") -> Iterator[str]:
    """Yield the keys of a record that have text or numbers, those of objects in it with dots."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{key}.")
        elif value is not None and not isinstance(value, list):
            yield f"{path}{key}"


def _text(value: Any) -> str:
    """Name a group: 7, 7.0 and "7" are one."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _weight(path: Path, found: Values, i: int, key: str) -> float:
    """Return the weight of a record, NaN where it has none."""
    value = found.values[i]
    if value is None:
        return np.nan
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < np.inf:
        where = f"{path} {found.records[:-1]} id {found.ids[i]}"
        raise DatasetError(f"{where}: {key} must be a number from 0 on, got {value!r:.60}")
    return float(value)


def _image_rows(persons: Persons, unit: Unit) -> Ints:
    """Return the image of each sample (S,): of the persons, or the images with annotations."""
    assert persons.regions is not None
    return persons.image_index if unit == "persons" else np.unique(persons.regions.image_index)


def _of_samples(persons: Persons, found: Values, numbers: Floats, unit: Unit, key: str) -> Floats:
    """Return the numbers of records (n,) for the samples (S,); NaN where there is none."""
    regions, path = persons.regions, persons.annotation_file
    assert regions is not None
    of_images, of_persons = found.records == "images", unit == "persons"
    rows = find_rows(
        found.ids, persons.image_ids if of_images else persons.ids if of_persons else regions.ids
    )
    if (rows < 0).any():
        raise DatasetError(f"{path} changed while it was read")
    own = numbers[rows]
    if of_images:
        return own[_image_rows(persons, unit)]
    if of_persons:
        return own
    low = np.full(len(persons.image_ids), np.inf)
    high = -low
    np.fmin.at(low, regions.image_index, own)  # fmin leaves NaN out
    np.fmax.at(high, regions.image_index, own)
    if (mixed := np.flatnonzero(low < high)).size:
        raise DatasetError(
            f"{path}: {len(mixed)} images have annotations of different {key}, image id "
            f"{persons.image_ids[mixed[0]]} for one; whole images are drawn: name a key of images"
        )
    return np.where(low <= high, low, np.nan)[_image_rows(persons, unit)]
