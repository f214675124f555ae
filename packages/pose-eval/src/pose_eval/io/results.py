"""Read and check results."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_eval.coco.tables import GroundTruth, Ints, Results, ResultsError, take
from pose_eval.io import hints
from pose_eval.io.arrays import arrays_to_columns, is_arrays
from pose_eval.io.columns import SHOWN, Columns, id_array, lookup, raise_problems, some
from pose_eval.io.lists import images_by_name
from pose_eval.io.plain import plain_file
from pose_eval.io.rows import rows_to_columns
from pose_eval.io.source import (
    Source,
    decoded,
    foreign_object,
    is_content,
    name_of,
    parse_text,
    read_bytes,
)

REQUIRED = ("image_id", "category_id", "keypoints", "score")
_PLURAL = {"image": "images", "category": "categories"}


def read_results(
    source: Source | Results,
    gt: GroundTruth,
    *,
    unknown_images: str = "error",
    unknown_categories: str = "error",
    match_images: str | None = None,
    joints: Sequence[int] | None = None,
    name: str = "",
    hint: bool = True,
) -> tuple[Results, list[str]]:
    """Return the detections in a source and warnings about them.

    source: as source.Source says, or a Results, or a mapping of arrays: image_id (M,), keypoints
    (M, K, 3), score (M,), category_id (M,) unless there is one category, bbox (M, 4) if wanted.
    unknown_images, unknown_categories: "error", or "drop" for rows that the ground truth does not
    know. match_images: "file_name" or "stem" where image_id is one of those. joints: the keypoints
    that are evaluated; rows may have more or fewer than the ground truth as long as they have
    these. name: for messages, instead of the file's. hint: warn of what is odd, too. Raises
    ResultsError that names file, row, image and key.
    """
    if isinstance(source, Results):
        return source, []
    name = name or name_of(source, "results")
    columns = _columns(source, name, gt, None if joints is None else max(joints) + 1)
    use_bbox, notes = _boxes(name, columns)
    warnings = [*hints.of_ids(name, columns.notes), *notes]
    ids = columns["image_id"]
    image = lookup(ids, gt.image_ids)
    if match_images is not None:
        image = images_by_name(ids, gt.file_names, match_images, gt.name)
    category = lookup(columns["category_id"], id_array([c.id for c in gt.categories]))
    keep = np.ones(len(columns), np.bool_)
    for what, index, policy in (
        ("image", image, unknown_images),
        ("category", category, unknown_categories),
    ):
        unknown = np.flatnonzero(index < 0)
        if len(unknown):
            text = _unknown(name, gt, columns, what, unknown, match_images)
            if policy != "drop":
                raise ResultsError(f"{text}; --unknown-{_PLURAL[what]} drop leaves such rows out")
            text = text.splitlines()[-1] + "; these rows are left out"
            warnings.append(hints.warning(f"unknown-{_PLURAL[what]}", text))
            keep[unknown] = False
    results = Results(
        name=name,
        image=image,
        category=category,
        keypoints=columns.poses(),
        scores=columns["score"],
        bbox=columns["bbox"] if use_bbox else None,
        row=np.arange(len(columns)),
    )
    results = results if keep.all() else take(results, keep)
    return results, warnings + (hints.of_results(results, gt) if hint else [])


def _columns(source: Any, name: str, gt: GroundTruth, least: int | None) -> Columns:
    """Return the rows of a source, all with as many keypoints as the ground truth has.

    least: of rows with another number, as in rows.rows_to_columns.
    """
    joints: dict[Any, int] = {c.id: len(c.joint_names) for c in gt.categories}
    if is_arrays(source):
        if len(joints) == 1 and source.get("category_id") is None:
            source = {**source, "category_id": np.full(source["keypoints"].shape[:1], *joints)}
        return arrays_to_columns(source, name, REQUIRED, ("bbox",), joints, least)
    content: Any = source
    if not is_content(source):
        # A file is read in pieces, and a second time where a piece is unusual.
        is_path = isinstance(source, str | os.PathLike) and str(source) != "-"
        is_file = is_path and os.path.isfile(source)
        file = Path(source) if is_file else read_bytes(source, name)
        plain = plain_file(file, joints, least, REQUIRED)
        if plain is not None:
            return plain
        content = parse_rows(read_bytes(file, name), name)
    if isinstance(content, Mapping):
        if other := foreign_object(content):
            raise ResultsError(f"{name} {other}")
        keys = ", ".join(str(key) for key in list(content)[:5]) or "no keys"
        swapped = "annotations" in content and "images" in content
        hint = "; is this the ground truth?" if swapped else ""
        raise ResultsError(f"{name} must be a list of results, got an object with {keys}{hint}")
    if not isinstance(content, list | tuple):
        raise ResultsError(f"{name} must be a list of results, got {type(content).__name__}")
    return rows_to_columns(content, f"{name} row", REQUIRED, ("bbox",), joints, least=least)


def parse_rows(data: bytes, name: str) -> Any:
    """Return the content of JSON, or the rows of JSON lines."""
    text = decoded(data, name)
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


def _boxes(name: str, columns: Columns) -> tuple[bool, list[str]]:
    """Tell whether areas come from `bbox`: row 0 decides for all, as in pycocotools."""
    has = columns.has["bbox"]
    if not has.any() or has.all():
        return bool(has.any()), []
    if has[0]:
        ids = columns["image_id"]
        raise_problems(
            [
                f"{name} row {row} (image {ids[row]}): has no bbox, but row 0 has one; the area of "
                "a detection is taken from the bbox of all rows or of none"
                for row in np.flatnonzero(~has)
            ]
        )
    text = (
        f"{name}: {np.count_nonzero(has)} rows have a bbox, but row 0 has none; the area of every "
        "detection is the extent of its keypoints, as in pycocotools"
    )
    return False, [hints.warning("bbox-in-some-rows", text)]


def _unknown(
    name: str, gt: GroundTruth, columns: Columns, what: str, rows: Ints, match_images: str | None
) -> str:
    """Return the first rows of unknown images or categories, and all such ids."""
    known = gt.image_ids.tolist() if what == "image" else [c.id for c in gt.categories]
    if what == "image" and match_images is not None:
        known = list(gt.file_names)
    ids, images = columns[f"{what}_id"], columns["image_id"]
    lines = [
        f"{name} row {row} (image {images[row]}): {what}_id {_quoted(ids[row])} is not in {gt.name}"
        for row in rows[:SHOWN]
    ]
    listed = some([_quoted(key) for key in Counter(ids[rows].tolist())], 20)
    text = f"{name}: unknown {what}_id in {len(rows)} of {len(columns)} rows: {listed}"
    if len(rows) == len(columns):
        text += f" ({gt.name} has {some([_quoted(key) for key in known], 5)})"
    if {isinstance(key, str) for key in ids[rows].tolist()} == {isinstance(known[0], str)}:
        return "\n".join([*lines, text])
    text += "; one file has strings as ids, the other integers"
    for how in ("file_name", "stem") if what == "image" else ():
        try:
            if (images_by_name(ids[rows], gt.file_names, how, gt.name) >= 0).any():
                text += f"; --match-images {how} looks them up by name"
                break
        except ResultsError:  # there are no names, or one is that of two images
            pass
    return "\n".join([*lines, text])


def _quoted(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else str(key)
