"""Ground truth or results that come as arrays: checked column by column."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Bools, Floats, ResultsError
from pose_eval.io.columns import IDS, KEYS, MOST_JOINTS, WHOLE, Columns, blank, fitted
from pose_eval.io.rows import other_count


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
    given = {key for key in (*required, *optional) if arrays.get(key) is not None}
    keypoints = _poses(np.asarray(arrays["keypoints"]), name)  # (M, K, 3)
    count, found, width = len(keypoints), keypoints.shape[1], max(joints.values())
    for key in required:
        if key not in given:
            raise ResultsError(f"{name} has no array {key}")
    if found != width and not (least and found >= least):
        hint = other_count(3 * found, width, joints) if "score" in required else ""
        raise ResultsError(
            f"{name}: keypoints has {found} keypoints, the ground truth has {width}{hint}"
        )
    values = {key: blank(key, count, 0) for key in KEYS}
    flat = np.ascontiguousarray(keypoints).reshape(count, 3 * found)
    values["keypoints"] = fitted(flat, width)
    for key in sorted(given - {"keypoints"}, key=KEYS.index):
        array, what = np.asarray(arrays[key]), f"{name}: {key}"
        if len(array) != count:
            raise ResultsError(f"{what} has {len(array)} rows, keypoints has {count}")
        shape = values[key].shape
        if array.shape != shape:
            raise ResultsError(f"{what} must be an array {shape}, got shape {array.shape}")
        if key in IDS:
            values[key] = ids_of(array, what, notes)
        elif key in WHOLE:
            values[key] = _whole(key, array, what)
        else:
            values[key] = finite(array, what)
    has = {key: np.full(count, key in given) for key in KEYS}
    has["num_keypoints"] &= values["num_keypoints"] >= 0
    return Columns(values, has, notes)


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
        _raise_first(~good, array, what, "must be an integer")
        notes["float-ids"] += len(array)
    if array.dtype == np.uint64:
        _raise_first(array >= 2**63, array, what, "has more digits than an id can have")
    return array.astype(np.int64)


def finite(array: NDArray[Any], what: str) -> Floats:
    """Return an array of numbers as doubles; raises ResultsError where one is not finite."""
    if array.dtype.kind not in "biuf" and array.size:
        raise ResultsError(f"{what} must be numbers, got an array of {array.dtype}")
    values = array.astype(np.float64)
    _raise_first(~np.isfinite(values), array, what, "must be a finite number")
    return values


def _whole(key: str, array: NDArray[Any], what: str) -> NDArray[np.int64]:
    values = finite(array, what)
    if key == "iscrowd":
        _raise_first(~np.isin(values, (0, 1)), values, what, "must be 0 or 1")
    _raise_first(values != np.floor(values), values, what, "must be a whole number")
    return values.clip(-1, MOST_JOINTS).astype(np.int64)


def _poses(array: NDArray[Any], name: str) -> Floats:
    shape = array.shape
    if array.ndim == 2 and shape[1] % 3 == 0:
        array = array.reshape(len(array), shape[1] // 3, 3)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ResultsError(f"{name}: keypoints must be an array (M, K, 3), got shape {shape}")
    return finite(array, f"{name}: keypoints")


def _raise_first(wrong: Bools, array: NDArray[Any], what: str, text: str) -> None:
    """Raise a ResultsError with the place of the first that is wrong, if any is."""
    places = np.argwhere(wrong).tolist()
    if places:
        where = ", ".join(map(str, places[0]))
        more = f" ({len(places)} such values)" if len(places) > 1 else ""
        raise ResultsError(f"{what}[{where}] {text}, got {array[tuple(places[0])]}{more}")
