"""Read and check a results file."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval import hints
from pose_eval.columns import (
    SHOWN,
    Columns,
    count_byte,
    id_array,
    lookup,
    raise_problems,
    rows_to_columns,
    scan,
)
from pose_eval.ground_truth import FAST_FROM
from pose_eval.source import (
    PADDING,
    first_byte,
    is_content,
    name_of,
    parse_text,
    read_bytes,
    text_of,
)
from pose_eval.tables import GroundTruth, Ints, Results, ResultsError

REQUIRED = ("image_id", "category_id", "keypoints", "score")


def read_results(
    source: Any,
    gt: GroundTruth,
    *,
    unknown_images: str = "error",
    unknown_categories: str = "error",
    name: str = "",
    hint: bool = True,
) -> tuple[Results, list[str]]:
    """Return the detections in a source and warnings about them.

    source: as source.Source says, or a Results, or a mapping of arrays: image_id (M,), keypoints
    (M, K, 3), score (M,), category_id (M,) unless there is one category, bbox (M, 4) if wanted.
    unknown_images, unknown_categories: "error", or "drop" for rows that the ground truth does not
    know. name: for messages, instead of the file's. hint: look for what is odd, too. Raises
    ResultsError that names file, row, image and key.
    """
    if isinstance(source, Results):
        return source, []
    name = name or name_of(source, "results")
    columns = _columns(source, name, gt)
    warnings = []
    if columns.notes["float-ids"]:
        warnings.append(hints.float_ids(name, columns.notes["float-ids"]))
    image = lookup(columns.ids["image_id"], gt.image_ids)
    category = lookup(columns.ids["category_id"], id_array([c.id for c in gt.categories]))
    use_bbox, notes = _boxes(name, columns)
    warnings += notes
    keep = np.ones(len(columns), np.bool_)
    for what, index, policy in (
        ("image", image, unknown_images),
        ("category", category, unknown_categories),
    ):
        unknown = np.flatnonzero(index < 0)
        if len(unknown):
            text = _unknown(name, gt, columns, what, unknown)
            if policy != "drop":
                raise ResultsError(f"{text}; --unknown-{_PLURAL[what]} drop leaves such rows out")
            text = text.splitlines()[-1] + "; these rows are left out"
            warnings.append(hints.warning(f"unknown-{_PLURAL[what]}", text))
            keep[unknown] = False
    rows = np.flatnonzero(keep)
    everything = len(rows) == len(columns)
    keypoints = columns.poses()
    results = Results(
        name=name,
        image=image[rows],
        category=category[rows],
        keypoints=keypoints if everything else keypoints[rows],
        scores=columns.floats["score"][rows],
        bbox=columns.bbox[rows] if use_bbox else None,
        row=rows,
    )
    return results, warnings + (hints.of_results(results, gt) if hint else [])


def _columns(source: Any, name: str, gt: GroundTruth) -> Columns:
    joints = {c.id: len(c.joint_names) for c in gt.categories}
    if isinstance(source, Mapping) and isinstance(source.get("keypoints"), np.ndarray):
        source = _rows_of_arrays(source, name, gt)
    content: Any = source
    if not is_content(source):
        data = read_bytes(source, name)
        if len(data) > FAST_FROM and len(set(joints.values())) == 1:
            scanned = _scan(data, next(iter(joints.values())))
            if scanned is not None:
                return scanned
        content = parse_rows(data, name)
    if isinstance(content, Mapping):
        keys = ", ".join(str(key) for key in list(content)[:5]) or "no keys"
        swapped = "annotations" in content and "images" in content
        hint = "; is this the ground truth?" if swapped else ""
        raise ResultsError(f"{name} must be a list of results, got an object with {keys}{hint}")
    if not isinstance(content, list | tuple):
        raise ResultsError(f"{name} must be a list of results, got {type(content).__name__}")
    return rows_to_columns(content, f"{name} row", REQUIRED, ("bbox",), joints)


def _scan(data: NDArray[np.uint8], num_joints: int) -> Columns | None:
    scanned = scan(data, first_byte(data), num_joints, REQUIRED)
    if scanned is None or data[scanned[1] : -PADDING].tobytes().strip(b" \t\r\n"):
        return None
    columns, end = scanned
    if data[first_byte(data)] == ord("{"):  # JSON lines: a line break between rows, and only there
        last = end - PADDING + len(data[end - PADDING : end].tobytes().rstrip(b" \t\r\n"))
        if count_byte(data[:last], ord("\n")) != len(columns) - 1:
            return None
    return columns


def parse_rows(data: NDArray[np.uint8], name: str) -> Any:
    """Return the content of JSON, or the rows of JSON lines."""
    text = text_of(data, name)
    if not text.lstrip().startswith("{"):
        return parse_text(text, name)
    lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    try:
        first = json.loads(lines[0][1])
    except (ValueError, RecursionError):
        return parse_text(text, name)
    if isinstance(first, dict) and "image_id" in first:
        return [parse_text(line, f"{name} line {n}") for n, line in lines]
    return parse_text(text, name)


def _rows_of_arrays(arrays: Mapping[str, Any], name: str, gt: GroundTruth) -> list[Any]:
    """Return arrays as rows, so that the same checks find the same words."""
    keypoints = np.asarray(arrays["keypoints"])
    if keypoints.ndim not in (2, 3):
        shape = keypoints.shape
        raise ResultsError(f"{name}: keypoints must be an array (M, K, 3), got shape {shape}")
    count = len(keypoints)
    columns = {"keypoints": keypoints.reshape(count, -1)}
    for key in ("image_id", "category_id", "score", "bbox"):
        value = arrays.get(key)
        if value is None and key == "category_id" and len(gt.categories) == 1:
            value = np.full(count, gt.categories[0].id)
        if value is None and key == "bbox":
            continue
        if value is None:
            raise ResultsError(f"{name} has no array {key}")
        if len(value) != count:
            raise ResultsError(f"{name}: {key} has {len(value)} rows, keypoints has {count}")
        columns[key] = value if key == "bbox" else np.asarray(value).tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _boxes(name: str, columns: Columns) -> tuple[bool, list[str]]:
    """Tell whether areas come from `bbox`: row 0 decides for all, as in pycocotools."""
    has = columns.has["bbox"]
    if not has.any() or has.all():
        return bool(has.any()), []
    without = np.flatnonzero(~has)
    if has[0]:
        ids = columns.ids["image_id"]
        raise_problems(
            [
                f"{name} row {row} (image {ids[row]}): has no bbox, but row 0 has one; the area of "
                "a detection is taken from the bbox of all rows or of none"
                for row in without
            ]
        )
    text = (
        f"{name}: {len(has) - len(without)} rows have a bbox, but row 0 has none; the area of "
        "every detection is the extent of its joints, as in pycocotools"
    )
    return False, [hints.warning("bbox-in-some-rows", text)]


_PLURAL = {"image": "images", "category": "categories"}


def _unknown(name: str, gt: GroundTruth, columns: Columns, what: str, rows: Ints) -> str:
    """Return the first rows of unknown images or categories, and all such ids."""
    ids = columns.ids[f"{what}_id"]
    images = columns.ids["image_id"]
    lines = [
        f"{name} row {row} (image {images[row]}): {what}_id {_quoted(ids[row])} is not in {gt.name}"
        for row in rows[:SHOWN]
    ]
    known = gt.image_ids.tolist() if what == "image" else [c.id for c in gt.categories]
    listed = _some([_quoted(key) for key in Counter(ids[rows].tolist())], 20)
    text = f"{name}: unknown {what}_id in {len(rows)} of {len(columns)} rows: {listed}"
    if len(rows) == len(columns):
        text += f" ({gt.name} has {_some([_quoted(key) for key in known], 5)})"
    if {isinstance(key, str) for key in ids[rows].tolist()} != {isinstance(known[0], str)}:
        text += "; one file has strings as ids, the other integers"
    return "\n".join([*lines, text])


def _quoted(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else str(key)


def _some(texts: Sequence[str], limit: int) -> str:
    more = f", ... ({len(texts)} in all)" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
