"""Turn lists of JSON records into columns of numbers, and name the record that is wrong.

`where` says what the records are ("gt.json annotation"), `first` the place of the first one in its
list.
"""

from array import array
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pose_data.errors import DatasetError

Records = list[dict[str, Any]]
Columns = dict[str, NDArray[Any]]
LARGEST = 1e9  # of a coordinate, in pixels: far beyond any picture, within any type


def objects(values: list[Any], where: str, first: int) -> Records:
    """Return the list, all of whose items must be objects."""
    if set(map(type, values)) - {dict}:
        bad = next(i for i, value in enumerate(values) if not isinstance(value, dict))
        kind = type(values[bad]).__name__
        raise DatasetError(f"{where} {first + bad} must be an object, got {kind}")
    return values


def column(records: Records, key: str) -> list[Any]:
    """Return what each record has under `key`, None where nothing."""
    try:
        return list(map(itemgetter(key), records))
    except KeyError:
        return [record.get(key) for record in records]


def integers(
    records: Records, key: str, where: str, first: int, default: int | None = None
) -> NDArray[np.int64]:
    """Return the integers under `key` (n,); a missing one is an error where there is no default."""
    values = column(records, key)
    if None in values:
        if default is None:
            raise DatasetError(f"{where} {first + values.index(None)} has no {key}")
        values = [default if value is None else value for value in values]
    array = _array(values)
    if array is not None and array.ndim == 1:
        if array.dtype.kind in "ib":
            return array.astype(np.int64)
        # 1.0 for 1, as some tools write; up to what floats hold exactly.
        if array.dtype.kind == "f" and ((np.abs(array) < 2**53) & (array == np.trunc(array))).all():
            return array.astype(np.int64)
    is_good = [_is_whole(value) for value in values]
    bad = is_good.index(False)
    raise DatasetError(f"{where} {first + bad}: {key} must be an integer, got {values[bad]!r:.60}")


def _is_whole(value: object) -> bool:
    if isinstance(value, float):
        return abs(value) < 2**53 and value == int(value)
    return isinstance(value, int) and -(2**63) <= value < 2**63


def numbers(records: Records, key: str, width: int, where: str, first: int) -> NDArray[np.float64]:
    """Return `width` numbers of each record (n, width), NaN where it has none."""
    values = column(records, key)
    if None in values:
        fill = [np.nan] * width
        filled = [fill if value is None else value for value in values]
    else:
        filled = values
    found = flat_numbers(filled)
    if found is not None and set(map(len, filled)) <= {width}:
        table = found.reshape(-1, width)  # (n, width)
        is_bad = np.flatnonzero(~(np.abs(table) <= LARGEST).all(axis=1))
        if all(values[i] is None for i in is_bad):
            return table
    for i, value in enumerate(values):
        if value is not None:
            check_numbers(value, width, key, f"{where} {first + i}")
    raise AssertionError(f"{where}: every {key} is right, together they are not")


def flat_numbers(lists: Iterable[Any]) -> NDArray[np.float64] | None:
    """Put lists of numbers behind one another; None where one is not a list of numbers alone."""
    numbers = array("d")  # takes numbers only, and is faster than numpy over nested lists
    try:
        for values in lists:
            numbers.fromlist(values)
    except (TypeError, OverflowError):
        return None
    return np.frombuffer(numbers, np.float64).copy()


def check_numbers(value: object, width: int, key: str, where: str) -> None:
    """Raise DatasetError where a value is not `width` finite numbers."""
    array = _array(value)
    if array is None or array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise DatasetError(f"{where}: {key} must be {width} numbers, got {value!r:.60}")
    if array.shape != (width,):
        raise DatasetError(f"{where}: {key} must be {width} numbers, got {array.size}")
    if not np.isfinite(array).all():
        raise DatasetError(f"{where}: {key} holds NaN or infinity")
    if not _are_small(array):
        raise DatasetError(f"{where}: {key} holds a value beyond {LARGEST:g}")


def _are_small(array: NDArray[Any]) -> bool:
    return bool((np.abs(array) <= LARGEST).all())


def scalars(records: Records, key: str, where: str, first: int) -> NDArray[np.float64]:
    """Return one number of each record (n,), NaN where it has none."""
    values = column(records, key)
    array = _array([np.nan if value is None else value for value in values])
    if array is not None and array.ndim == 1 and array.dtype.kind in "iuf":
        found = array.astype(np.float64)
        is_bad = np.flatnonzero(~(np.abs(found) <= LARGEST**2))
        if all(values[i] is None for i in is_bad):
            return found
    for i, value in enumerate(values):
        is_number = isinstance(value, int | float) and abs(value) <= LARGEST**2
        if value is not None and not is_number:
            raise DatasetError(f"{where} {first + i}: {key} must be a number, got {value!r:.60}")
    raise AssertionError(f"{where}: every {key} is right, together they are not")


def strings(records: Records, key: str, where: str, first: int) -> list[str]:
    """Return the text under `key` of each record."""
    values = column(records, key)
    if set(map(type, values)) - {str}:
        bad = next(i for i, value in enumerate(values) if not isinstance(value, str))
        if values[bad] is None:
            raise DatasetError(f"{where} {first + bad} has no {key}")
        raise DatasetError(f"{where} {first + bad}: {key} must be text, got {values[bad]!r:.60}")
    return values


def segmentations(
    records: Records,
    wanted: NDArray[np.bool_],
    bbox_xywh: NDArray[np.float64],
    where: str,
    first: int,
) -> Columns:
    """Collect the segmentations of the wanted records as ragged columns, one count per record.

    A missing one becomes the box. Columns: polygon_count (n,), point_count (polygons,), points
    (P, 2), rle_count (n,) bytes, rle_bytes, rle_size (n, 2) as (h, w), boxed (n,) bool.
    """
    count = len(records)
    polygon_count, rle_count = np.zeros(count, np.int64), np.zeros(count, np.int64)
    rle_size, boxed = np.zeros((count, 2), np.int64), np.zeros(count, bool)
    coordinates: list[list[float]] = []
    point_count: list[int] = []
    packed: list[bytes] = []
    for i in np.flatnonzero(wanted).tolist():
        value = records[i].get("segmentation")
        if isinstance(value, dict):
            data, rle_size[i] = _packed_rle(value, f"{where} {first + i}")
            packed.append(data)
            rle_count[i] = len(data)
            continue
        if not value:
            boxed[i] = True
            value = _box_polygon(bbox_xywh[i])
        before = len(coordinates)
        for polygon in _polygons(value, f"{where} {first + i}"):
            if (size := len(polygon)) >= 6:
                coordinates.append(polygon)
                point_count.append(size // 2)
        polygon_count[i] = len(coordinates) - before
    points = flat_numbers(coordinates)
    if points is None or not _are_small(points):
        raise _bad_polygon(records, wanted, where, first)
    return {
        "polygon_count": polygon_count,
        "point_count": np.array(point_count, np.int64),
        "points": points.reshape(-1, 2),
        "rle_count": rle_count,
        "rle_bytes": np.frombuffer(b"".join(packed), np.uint8),
        "rle_size": rle_size,
        "boxed": boxed,
    }


def _polygons(value: Any, where: str) -> list[list[float]]:
    """Return the polygons of a segmentation; fewer than three points enclose nothing."""
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise DatasetError(
            f"{where}: segmentation must be a list of polygons or an RLE object, got {value!r:.60}"
        )
    if any(len(polygon) % 2 for polygon in value):
        raise DatasetError(f"{where}: a polygon has an odd number of values")
    return value  # pycocotools takes two points for a box: whoever reads on leaves those out


def _packed_rle(value: dict[str, Any], where: str) -> tuple[bytes, tuple[int, int]]:
    """Return the compressed counts of an RLE object and its (h, w)."""
    size, counts = value.get("size"), value.get("counts")
    check_numbers(size, 2, "size of the segmentation", where)
    height, width = int(size[0]), int(size[1])  # type: ignore[index]
    if isinstance(counts, str):
        return counts.encode(), (height, width)
    if not isinstance(counts, list) or set(map(type, counts)) != {int} or min(counts) < 0:
        raise DatasetError(f"{where}: counts of the segmentation must be text or whole numbers")
    if sum(counts) != height * width:
        raise DatasetError(
            f"{where}: counts of the segmentation add up to {sum(counts)}, its size "
            f"{height} x {width} to {height * width}"
        )
    return rle.frPyObjects(value, height, width)["counts"], (height, width)


def _box_polygon(bbox_xywh: NDArray[np.float64]) -> list[list[float]]:
    x, y, w, h = bbox_xywh.tolist()
    return [[x, y, x + w, y, x + w, y + h, x, y + h]] if w > 0 and h > 0 else []  # NaN: none


def _bad_polygon(
    records: Records, wanted: NDArray[np.bool_], where: str, first: int
) -> DatasetError:
    for i in np.flatnonzero(wanted):
        value = records[i].get("segmentation")
        for polygon in value if isinstance(value, list) else []:
            try:
                check_numbers(polygon, len(polygon), "a polygon", f"{where} {first + i}")
            except DatasetError as error:
                return error
    return DatasetError(f"{where} {first}: a segmentation does not hold numbers")


def _array(values: object) -> NDArray[Any] | None:
    """Return the values as numpy sees them; None where they are ragged or too large."""
    try:
        return np.array(values)
    except (ValueError, OverflowError):
        return None


def joined(pieces: list[Columns]) -> Columns:
    """Put columns behind one another, and forget the pieces."""
    whole = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    pieces.clear()
    return whole
