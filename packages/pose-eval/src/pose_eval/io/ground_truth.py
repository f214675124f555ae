"""Read and check ground truth: a COCO annotation file, its content, or arrays."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pose_eval.coco.tables import GroundTruth, Ints, ResultsError
from pose_eval.io import hints
from pose_eval.io.annotations import build
from pose_eval.io.arrays import arrays_to_columns, finite, ids_of, is_arrays
from pose_eval.io.categories import Categories, read_categories
from pose_eval.io.columns import Columns
from pose_eval.io.foreign import foreign_object
from pose_eval.io.images import Images, read_images, sorted_images
from pose_eval.io.plain import plain_content, plain_ground_truth
from pose_eval.io.rows import in_kind, rows_to_columns
from pose_eval.io.source import DUPLICATE, Source, is_content, name_of, parse_json, read_bytes

OPTIONAL = ("id", "category_id", "bbox", "keypoints", "iscrowd", "num_keypoints", "ignore")


def read_ground_truth(
    source: Source, *, area_from: str = "ann", recount: bool = False, name: str = ""
) -> tuple[GroundTruth, list[str]]:
    """Return the ground truth in a source and warnings about it.

    source: as source.Source says, or a mapping of arrays: `images` (I,) ids, `categories` as in a
    COCO file, and of the annotations `keypoints` (N, K, 3), image_id, category_id, id, area,
    iscrowd, num_keypoints (N,), bbox (N, 4); also `name`, `file_names` (I,), `image_sizes` (I, 2).
    area_from: "ann", or "bbox" for 0.53 w h. recount: count labelled keypoints instead of trusting
    `num_keypoints`. name: for messages, instead of the file's. Raises ResultsError that names file,
    annotation and key.
    """
    notes: Counter[str] = Counter()
    optional = (*OPTIONAL, "area") if area_from == "ann" else OPTIONAL
    if isinstance(source, Mapping) and is_arrays(source):
        name = name or str(source.get("name") or "ground truth")
        images, warnings = _images_of_arrays(source, name, notes)
        rows: Sequence[Any] = _a_row_of_each_category(source, name)
        categories, more = read_categories(source.get("categories"), rows, name, notes)
        columns = arrays_to_columns(source, name, ("image_id",), optional, categories.joints)
        numbers = np.arange(len(columns))
    else:
        name = name or name_of(source, "ground truth")
        content, read = _content(source, name, optional)
        images, warnings = read_images(content["images"], name, notes)
        rows = content["annotations"]
        categories, more = read_categories(content.get("categories"), rows, name, notes)
        if read is None:
            columns, numbers = _columns(rows, name, optional, categories)
        else:
            columns, numbers = read, np.arange(len(read))
    more += hints.of_ids(name, notes + columns.notes)
    gt, found = build(name, images, categories, columns, numbers, area_from, recount)
    return gt, [*warnings, *more, *found, *hints.of_ground_truth(gt)]


def _content(
    source: Any, name: str, optional: Sequence[str]
) -> tuple[Mapping[str, Any], Columns | None]:
    """Return the content of a source, and its annotations where they are of the usual form."""
    content, columns = source, None
    if not is_content(source):
        data = read_bytes(source, name)
        content, columns = plain_ground_truth(data, ("image_id",), optional) or (None, None)
        content = plain_content(data) if content is None else content
        content = parse_json(data, name) if content is None else content
    if isinstance(content, list):
        raise ResultsError(
            f"{name} is a list, which looks like results; the ground truth must be a COCO object "
            "with images, annotations and categories (are the two files swapped?)"
        )
    if not isinstance(content, Mapping):
        raise ResultsError(
            f"{name} must be a COCO object with images, annotations and categories, "
            f"got {type(content).__name__}"
        )
    if DUPLICATE in content:
        raise ResultsError(f"{name} has the key {content[DUPLICATE]!r} more than once")
    if other := foreign_object(content):
        raise ResultsError(f"{name} {other}")
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            kind = "no list" if key not in content else "something else than a list as"
            raise ResultsError(f"{name} has {kind} `{key}`; is it a COCO annotation file?")
    return content, columns


def _columns(
    rows: Sequence[Any], name: str, optional: Sequence[str], categories: Categories
) -> tuple[Columns, Ints]:
    """Return annotations as columns, and their numbers in the file.

    Those of a category without any keypoints (boxes of cars, say) take no part.
    """

    def takes_part(row: Any) -> bool:
        key = row.get("category_id") if isinstance(row, Mapping) else None
        is_id = isinstance(key, int | float | str)
        return not is_id or categories.joints.get(in_kind(key, categories.integers)) != 0

    numbers: Sequence[int] = range(len(rows))
    if 0 in categories.joints.values():
        numbers = [number for number in numbers if takes_part(rows[number])]
        rows = [rows[number] for number in numbers]
    label, joints = f"{name} annotation", categories.joints
    columns = rows_to_columns(rows, label, ("image_id",), optional, joints, numbers=numbers)
    return columns, np.array(numbers, np.int64)


def _images_of_arrays(
    arrays: Mapping[str, Any], name: str, notes: Counter[str]
) -> tuple[Images, list[str]]:
    if arrays.get("images") is None:
        raise ResultsError(f"{name} has no array images")
    given = np.asarray(arrays["images"])
    if given.ndim != 1:
        raise ResultsError(f"{name}: images must be an array of ids (I,), got shape {given.shape}")
    ids = ids_of(given, f"{name}: images", notes)
    names, sizes = arrays.get("file_names"), arrays.get("image_sizes")
    found = np.zeros((len(ids), 2)) if sizes is None else np.asarray(sizes)
    found = finite(found, f"{name}: image_sizes")
    named = ("",) * len(ids) if names is None else tuple(map(str, names))
    if len(named) != len(ids) or found.shape != (len(ids), 2):
        raise ResultsError(
            f"{name}: file_names and image_sizes must have a row for each of the {len(ids)} images"
        )
    return sorted_images(name, Images(ids, named, found, None))


def _a_row_of_each_category(arrays: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return rows that tell which categories there are, and how many keypoints all of them have."""
    keypoints = arrays["keypoints"]
    numbers = keypoints.shape[1] * (3 if keypoints.ndim == 3 else 1) if keypoints.ndim > 1 else 0
    key = arrays.get("category_id")
    ids: list[Any] = [None]
    if key is not None:
        ids = np.unique(ids_of(np.asarray(key), f"{name}: category_id", Counter())).tolist()
    return [{"category_id": each, "keypoints": [0] * numbers} for each in ids]
