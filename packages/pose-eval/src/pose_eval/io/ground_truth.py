"""Read and check ground truth: a COCO annotation file, its content, or arrays.

What is missing in an annotation is derived, what belongs nowhere is left out.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, ResultsError, take
from pose_eval.io import hints
from pose_eval.io.arrays import arrays_to_columns, finite, ids_of, is_arrays
from pose_eval.io.columns import Columns, id_array, lookup, raise_problems, some
from pose_eval.io.lists import Categories, Images, read_categories, read_images, sorted_images
from pose_eval.io.plain import plain_content, plain_ground_truth
from pose_eval.io.rows import in_kind, rows_to_columns
from pose_eval.io.source import (
    DUPLICATE,
    Source,
    foreign_object,
    is_content,
    name_of,
    parse_json,
    read_bytes,
)

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


_DERIVED = {
    "id": "numbered above the largest",
    "category_id": "the only category with keypoints",
    "keypoints": "persons without labels",
    "bbox": "the extent of the labelled keypoints, a tenth wider on each side",
    "area": "0.53 w h of the bbox",
    "num_keypoints": "the labelled keypoints are counted",
}


def build(
    name: str,
    images: Images,
    categories: Categories,
    columns: Columns,
    numbers: Ints,
    area_from: str,
    recount: bool,
) -> tuple[GroundTruth, list[str]]:
    """Return the table and the warnings about how its annotations were read.

    numbers: what the rows of the columns are called. Raises ResultsError that names them.
    """

    def where(row: Any) -> str:
        own = f"id {columns['id'][row]}, " if columns.has["id"][row] else ""
        return f"{name} annotation {numbers[row]} ({own}image {columns['image_id'][row]})"

    image, category, warnings = _indices(name, columns, images, categories, where)
    known = (image >= 0) & (category >= 0)
    ids = _ids(name, columns, where)
    stored, keypoints = columns.has["num_keypoints"], columns.poses()
    counted = (keypoints[..., 2] > 0).sum(axis=1)
    num_keypoints = np.where(stored & (not recount), columns["num_keypoints"], counted)
    bbox = _boxes(columns["bbox"], columns.has["bbox"], keypoints)
    gt = GroundTruth(
        name=name,
        categories=categories.with_joints,
        image_ids=images.ids,
        file_names=images.file_names,
        image_sizes=images.sizes,
        crowd_index=images.crowd_index,
        ids=ids,
        image=image,
        category=category,
        keypoints=keypoints,
        bbox=bbox,
        area=_areas(columns, bbox, area_from, where),
        crowd=columns["iscrowd"] != 0,
        num_keypoints=num_keypoints.astype(np.int64),
    )
    gt = gt if known.all() else take(gt, known)  # without a copy of the usual file
    unasked = {"area"} if area_from == "bbox" else set()
    unasked |= {"num_keypoints"} if recount else set()
    for key in [key for key in _DERIVED if key not in unasked]:
        lacking = numbers[known & ~columns.has[key]]
        if len(lacking):
            text = f"{name}: {len(lacking)} annotations have no {key}"
            text = f"{text} (first: annotation {lacking[0]}): {_DERIVED[key]}"
            warnings.append(hints.warning("derived-values", text))
    differs = stored & ((num_keypoints == 0) != (counted == 0))
    return gt, [*warnings, *hints.of_flags(gt, differs[known], columns["ignore"][known] != 0)]


def _indices(
    name: str,
    columns: Columns,
    images: Images,
    categories: Categories,
    where: Callable[[Any], str],
) -> tuple[Ints, Ints, list[str]]:
    """Return image and category of each row as indices, -1 if not listed, and warnings of those."""
    own = columns["category_id"]
    lacking = np.flatnonzero(~columns.has["category_id"])
    if len(lacking):
        if categories.only is None:
            count = len(categories.with_joints)
            text = f"has no category_id, and there are {count} categories with keypoints"
            raise_problems([f"{where(row)}: {text}" for row in lacking])
        own = own.copy()
        own[lacking] = categories.only
        own = id_array(own.tolist())
    found, warnings = [], []
    with_joints = id_array([c.id for c in categories.with_joints])
    for key, values, known, listed, every in (
        ("image_id", columns["image_id"], images.ids, "images", images.ids),
        ("category_id", own, with_joints, "categories", categories.joints),
    ):
        is_text = known.dtype.kind == "U"
        if len(values) and values.dtype.kind != known.dtype.kind:
            kind = "a string" if is_text else "an integer"
            raise_problems(
                [
                    f"{where(row)}: {key} must be {kind}, as ids in `{listed}` are, got {value!r}"
                    for row, value in enumerate(values.tolist())
                    if isinstance(value, str) != is_text
                ]
            )
        found.append(lookup(values, known))
        lost = np.flatnonzero(found[-1] < 0)
        if not len(lost):
            continue
        theirs = some(list(dict.fromkeys(str(each) for each in columns[key][lost].tolist())), 5)
        text = f"{name}: {key} of {len(lost)} annotations is not in `{listed}` ({theirs})"
        if len(lost) == len(values):
            listing = some([str(each) for each in every if each is not None], 5)
            raise ResultsError(f"{text}, which are all; `{listed}` has {listing}")
        warnings.append(hints.warning("left-out", f"{text}; they are left out, as in pycocotools"))
    return found[0], found[1], warnings


def _ids(name: str, columns: Columns, where: Callable[[Any], str]) -> NDArray[Any]:
    """Return the ids of the annotations, those without one numbered; raises for equal ids."""
    ids, lacking = columns["id"], np.flatnonzero(~columns.has["id"])
    if len(lacking):
        first = max([0, *(key for key in ids.tolist() if isinstance(key, int))]) + 1
        if first + len(lacking) > 2**63:
            raise ResultsError(f"{where(lacking[0])}: has no id, and none is left above {first}")
        ids = ids.copy()
        ids[lacking] = list(range(first, first + len(lacking)))
        ids = id_array(ids.tolist())
    if ids.dtype == object:
        raise ResultsError(f"{name}: annotation ids are integers and strings; use one kind")
    kinds, index, counts = np.unique(ids, return_index=True, return_counts=True)
    raise_problems(
        [
            f"{where(index[at])}: annotation id {kinds[at]} occurs {counts[at]} times; "
            "`pose-data fix` numbers the annotations anew"
            for at in np.flatnonzero(counts > 1)
        ]
    )
    return ids


def _boxes(bbox: Floats, has: Bools, keypoints: Floats) -> Floats:
    """Return the boxes, (N, 4), from the labelled keypoints where there is none."""
    if has.all():
        return bbox
    labelled = keypoints[~has, :, 2:] > 0  # (n, K, 1)
    some_labelled = labelled.any(axis=1)  # (n, 1)
    low = np.where(labelled, keypoints[~has, :, :2], np.inf).min(axis=1, initial=np.inf)
    high = np.where(labelled, keypoints[~has, :, :2], -np.inf).max(axis=1, initial=-np.inf)
    low, high = np.where(some_labelled, low, 0), np.where(some_labelled, high, 0)
    found = bbox.copy()
    extent = high - low
    side = np.maximum(1.2 * extent, 0.1 * extent.max(axis=1, keepdims=True))  # lines have boxes too
    found[~has] = np.concatenate([low - (side - extent) / 2, side], axis=1)
    return found


@np.errstate(over="ignore")  # of boxes beyond 1e150
def _areas(columns: Columns, bbox: Floats, area_from: str, where: Callable[[Any], str]) -> Floats:
    """Return the area of each annotation, 0.53 w h where there is none; raises for negative."""
    derived = np.maximum(bbox[:, 2] * bbox[:, 3] * 0.53, 0)  # a negative box has none
    if area_from == "bbox":
        return derived
    area = np.where(columns.has["area"], columns["area"], derived)
    bad = np.flatnonzero(area < 0)
    raise_problems([f"{where(r)}: area must not be negative, got {area[r]:g}" for r in bad])
    return area
