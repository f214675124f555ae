"""Ground truth or results that come as arrays: checked column by column."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Floats, Ints, ResultsError
from pose_eval.io.columns import FLOATS, IDS, INTS, Columns, fitted
from pose_eval.io.rows import LISTS, MOST_JOINTS, other_count

_WHOLE = {"iscrowd": "0 or 1", "num_keypoints": "a whole number", "ignore": "a whole number"}


def is_arrays(source: Any) -> bool:
    """Tell a mapping of arrays from a COCO object."""
    return isinstance(source, Mapping) and isinstance(source.get("keypoints"), np.ndarray)


def arrays_to_columns(
    arrays: Mapping[str, Any],
    name: str,
    required: Sequence[str],
    optional: Sequence[str],
    joints: Mapping[Any, int],
    least: int | None = None,
) -> Columns:
    """Check arrays of M rows and return their columns; arguments as in rows.rows_to_columns.

    keypoints (M, K, 3) or (M, 3 K), bbox (M, 4), all others (M,). Raises ResultsError that names
    the array, and the row.
    """
    notes: Counter[str] = Counter()
    has_key = {key: arrays.get(key) is not None for key in (*required, *optional)}
    keypoints = _poses(np.asarray(arrays["keypoints"]), name)  # (M, K, 3)
    count, found, width = len(keypoints), keypoints.shape[1], max(joints.values())
    for key in required:
        if not has_key[key]:
            raise ResultsError(f"{name} has no array {key}")
    if found != width and not (least and found >= least):
        hint = other_count(3 * found, width, joints) if "score" in required else ""
        raise ResultsError(
            f"{name}: keypoints has {found} joints, the ground truth has {width}{hint}"
        )
    has = {key: np.full(count, has_key.get(key, False)) for key in (*IDS, *INTS, *FLOATS, *LISTS)}

    def column(key: str, shape: tuple[int, ...]) -> NDArray[Any]:
        array = np.asarray(arrays[key])
        if len(array) != count:
            raise ResultsError(f"{name}: {key} has {len(array)} rows, keypoints has {count}")
        if array.shape != shape:
            raise ResultsError(f"{name}: {key} must be an array {shape}, got shape {array.shape}")
        return array

    ids: dict[str, NDArray[Any]] = {}
    for key in IDS:
        if has_key.get(key):
            ids[key] = ids_of(column(key, (count,)), f"{name}: {key}", notes)
        elif key in has_key:
            ids[key] = np.full(count, None, object)
    ints = {key: np.zeros(count, np.int64) for key in INTS}
    for key in INTS:
        if has_key.get(key):
            values = finite(column(key, (count,)), f"{name}: {key}")
            wrong = values != np.floor(values)
            wrong |= ~np.isin(values, (0, 1)) if key == "iscrowd" else wrong
            _first_wrong(wrong, f"{name}: {key}", f"must be {_WHOLE[key]}", values)
            ints[key] = values.clip(-1, MOST_JOINTS).astype(np.int64)
    floats = {key: np.full(count, np.nan) for key in FLOATS}
    for key in FLOATS:
        if has_key.get(key):
            floats[key] = finite(column(key, (count,)), f"{name}: {key}")
    bbox = np.full((count, 4), np.nan)
    if has_key.get("bbox"):
        bbox = finite(column("bbox", (count, 4)), f"{name}: bbox")
    has["num_keypoints"] &= ints["num_keypoints"] >= 0
    flat = fitted(np.ascontiguousarray(keypoints).reshape(count, 3 * found), width)
    return Columns(ids, ints, floats, flat, bbox, has, notes)


def ids_of(array: NDArray[Any], what: str, notes: Counter[str]) -> NDArray[Any]:
    """Return ids as int64 or text; whole numbers as floats are noted. Raises ResultsError."""
    if array.dtype.kind == "U":
        return array
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iuf":
        raise ResultsError(f"{what} must be integers, got an array of {array.dtype}")
    if array.dtype.kind == "f":
        good = np.isfinite(array) & (np.abs(array) < 2.0**63)
        good &= np.floor(np.where(good, array, 0.5)) == array
        _first_wrong(~good, what, "must be an integer", array)
        notes["float-ids"] += len(array)
    if array.dtype == np.uint64:
        _first_wrong(array >= 2**63, what, "has more digits than an id can have", array)
    return array.astype(np.int64)


def finite(array: NDArray[Any], what: str) -> Floats:
    """Return an array of numbers as doubles; raises ResultsError where one is not finite."""
    if array.dtype.kind not in "biuf" and array.size:
        raise ResultsError(f"{what} must be numbers, got an array of {array.dtype}")
    values = array.astype(np.float64)
    _first_wrong(~np.isfinite(values), what, "must be a finite number", array)
    return values


def _poses(array: NDArray[Any], name: str) -> Floats:
    shape = array.shape
    if array.ndim == 2 and shape[1] % 3 == 0:
        array = array.reshape(len(array), shape[1] // 3, 3)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ResultsError(f"{name}: keypoints must be an array (M, K, 3), got shape {shape}")
    return finite(array, f"{name}: keypoints")


def _first_wrong(
    wrong: NDArray[np.bool_], what: str, text: str, array: NDArray[Any] | None = None
) -> None:
    """Raise a ResultsError with the place of the first that is wrong, if any is."""
    places: Ints = np.argwhere(wrong)
    if not len(places):
        return
    at = tuple(places[0].tolist())
    got = "" if array is None else f", got {array[at]}"
    more = f" ({len(places)} such values)" if len(places) > 1 else ""
    raise ResultsError(f"{what}[{', '.join(map(str, at))}] {text}{got}{more}")
