"""Annotations as a table: what is missing is derived, what belongs nowhere is left out."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, ResultsError, take
from pose_eval.io import hints
from pose_eval.io.categories import Categories
from pose_eval.io.columns import Columns, id_array, lookup, raise_problems, some
from pose_eval.io.images import Images

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

    image, category = _indices(columns, images, categories, where)
    ids = _ids(name, columns, where)
    stored, keypoints = columns.has["num_keypoints"], columns.poses()
    counted = (keypoints[..., 2] > 0).sum(axis=1)
    num_keypoints = np.where(stored & (not recount), columns["num_keypoints"], counted)
    bbox = _boxes(columns["bbox"], columns.has["bbox"], keypoints)
    known, warnings = _known(name, columns, images, categories, image, category)
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
    columns: Columns, images: Images, categories: Categories, where: Callable[[Any], str]
) -> tuple[Ints, Ints]:
    """Return image and category of each row as indices, -1 for those that are not listed."""
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
    found = []
    for key, values, known, listed in (
        ("image_id", columns["image_id"], images.ids, "images"),
        ("category_id", own, id_array([c.id for c in categories.with_joints]), "categories"),
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
    return found[0], found[1]


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


def _known(
    name: str, columns: Columns, images: Images, categories: Categories, image: Ints, category: Ints
) -> tuple[Bools, list[str]]:
    """Return which rows have an image and a category that are listed, and warnings."""
    warnings = []
    for key, index, listed, known in (
        ("image_id", image, "images", images.ids.tolist()),
        ("category_id", category, "categories", list(categories.joints)),
    ):
        lost = np.flatnonzero(index < 0)
        if not len(lost):
            continue
        theirs = some(list(dict.fromkeys(str(each) for each in columns[key][lost].tolist())), 5)
        text = f"{name}: {key} of {len(lost)} annotations is not in `{listed}` ({theirs})"
        if len(lost) == len(index):
            own = some([str(each) for each in known if each is not None], 5)
            raise ResultsError(f"{text}, which are all; `{listed}` has {own}")
        warnings.append(hints.warning("left-out", f"{text}; they are left out, as in pycocotools"))
    return (image >= 0) & (category >= 0), warnings
