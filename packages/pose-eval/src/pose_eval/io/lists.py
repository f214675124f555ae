"""The lists `images` and `categories` of a ground truth, and images that results name by file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Category, Floats, Ints, ResultsError, SettingsError
from pose_eval.io import hints
from pose_eval.io.columns import id_array, raise_problems
from pose_eval.io.rows import Problem, entry_id, in_kind, is_digits, read_id


class Images(NamedTuple):
    """Ids in sorted order (I,), file names, sizes (I, 2), 0 for unknown, CrowdPose's crowdIndex."""

    ids: NDArray[Any]
    file_names: tuple[str, ...]
    sizes: Floats
    crowd_index: Floats | None


def read_images(entries: Sequence[Any], name: str, notes: Counter[str]) -> tuple[Images, list[str]]:
    """Return the images of a COCO file and warnings about them; raises ResultsError."""
    problems, ids = [], []
    for number, entry in enumerate(entries):
        try:
            key = entry_id(entry, notes)
            if key is None:
                raise Problem("must be an object with an id")
            ids.append(key)
        except Problem as problem:
            problems.append(f"{name} image {number}: {problem}")
    raise_problems(problems)
    if len({isinstance(key, str) for key in ids}) > 1:
        raise ResultsError(f"{name}: image ids are integers and strings; use one kind")
    names = ["" if (each := e.get("file_name")) is None else str(each) for e in entries]
    sizes = np.column_stack([_numbers(entries, "width"), _numbers(entries, "height")])
    crowded = None
    if any("crowdIndex" in entry for entry in entries):
        crowded = _numbers(entries, "crowdIndex", np.nan)
    return sorted_images(name, Images(id_array(ids), tuple(names), sizes, crowded))


def sorted_images(name: str, images: Images) -> tuple[Images, list[str]]:
    """Return images by id; of an image that is listed twice the last entry, with a warning."""
    ids, file_names, sizes, crowd_index = images
    if not len(ids):
        raise ResultsError(f"{name} has no images: its list `images` is empty")
    found, last = np.unique(ids[::-1], return_index=True)
    last = len(ids) - 1 - last
    warnings = []
    if len(found) < len(ids):
        again = np.flatnonzero(~np.isin(np.arange(len(ids)), last))
        text = (
            f"{name}: {len(again)} images are listed more than once (first: id {ids[again[0]]}); "
            "the last entry counts, as in pycocotools"
        )
        warnings.append(hints.warning("images-twice", text))
    names = tuple(file_names[row] for row in last.tolist())
    crowded = None if crowd_index is None else crowd_index[last]
    return Images(found, names, sizes[last], crowded), warnings


def images_by_name(ids: NDArray[Any], file_names: Sequence[str], how: str, name: str) -> Ints:
    """Return the index of the image that each id (M,) names, -1 where there is none.

    how: file_name, as the ground truth writes it, or stem, without folders and suffix. Raises
    ResultsError where two images have that name.
    """
    known: dict[str, list[int]] = {}
    for index, file in enumerate(file_names):
        if file:
            known.setdefault(file if how == "file_name" else _stem(file), []).append(index)
    if not known:
        raise SettingsError(f"images cannot be matched by {how}: {name} has no file_name")
    asked, row = np.unique(ids.astype(np.str_), return_inverse=True)
    found = np.full(len(asked), -1, np.int64)
    for place, text in enumerate(asked.tolist()):
        at = known.get(text) or (known.get(_stem(text), []) if how == "stem" else [])
        if len(at) > 1:
            files = ", ".join(file_names[index] for index in at[:3])
            raise ResultsError(f'image_id "{text}" may be any of {files} in {name}')
        found[place] = at[0] if at else -1
    return found[row]


def _stem(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).stem


def _numbers(entries: Sequence[Any], key: str, missing: float = 0.0) -> Floats:
    """Return what each entry has under a key, as numbers."""
    values = [entry.get(key) for entry in entries]
    found = [value if isinstance(value, int | float) else missing for value in values]
    return np.array([v if abs(v) < 1e308 else missing for v in found], np.float64)


class Categories(NamedTuple):
    """Categories with keypoints, by id; joints: of each category id, 0 where one has none.

    only: the id of an annotation without category_id, None where several come into question; its
    keypoints are those under None. integers: whether ids are integers or text.
    """

    with_joints: tuple[Category, ...]
    joints: dict[Any, int]
    only: Any
    integers: bool


def read_categories(
    entries: Any, rows: Sequence[Any], name: str, notes: Counter[str]
) -> tuple[Categories, list[str]]:
    """Return the categories of a ground truth and warnings about them.

    entries: the list, or nothing: then there is one category for each category_id of the
    annotations (rows). A category that names no keypoints has as many as its annotations; without
    such, it has none and takes no part. Raises ResultsError.
    """
    used = _used(rows)
    warnings: list[str] = []
    if entries is None or entries == []:
        keys = [key for key in used if key is not None]
        whole = bool(keys) and _integers(keys, used, name)
        entries = [{"id": key} for key in dict.fromkeys(in_kind(key, whole) for key in keys)]
        text = f"{name} has no categories: one for each category_id of its annotations"
        warnings.append(hints.warning("derived-values", text))
    if not isinstance(entries, list) or not entries:
        raise ResultsError(f"{name} has no list `categories`, and no category_id to make it of")
    wheres = [f"{name} category {number}" for number in range(len(entries))]
    ids = _ids(entries, wheres, used, notes)
    if None in [entry.get("id") for entry in entries]:
        text = f"{name}: the category has no id: {ids[0]}, as its annotations have it"
        warnings.append(hints.warning("derived-values", text))
    integers = _integers(ids, used, name)
    notes["text-ids"] += sum(integers and isinstance(key, str) for key in ids)
    ids = [in_kind(key, integers) for key in ids]
    counted: dict[Any, int] = {}
    for key, count in used.items():
        key = in_kind(ids[0] if key is None and len(ids) == 1 else key, integers)
        counted[key] = counted.get(key) or count
    found: dict[Any, Category] = {}
    named = []
    for key, entry, where in zip(ids, entries, wheres, strict=True):
        if key in found:
            raise ResultsError(f"{where}: category id {key} occurs more than once")
        found[key], own = _category(key, entry, where, counted.get(key, 0))
        warnings += own
        named += [key] if entry.get("keypoints") else []
    joints = {key: len(category.joint_names) for key, category in found.items()}
    with_joints = tuple(found[key] for key in sorted(found) if joints[key])
    if not with_joints:
        raise ResultsError(f"{name} has no category with keypoints")
    candidates = named or [category.id for category in with_joints]
    only = candidates[0] if len(candidates) == 1 else None
    if only is not None:
        joints[None] = joints[only]
    return Categories(with_joints, joints, only, integers), warnings


def _used(rows: Sequence[Any]) -> dict[Any, int]:
    """Return the category ids of annotations, and the keypoints of the first with some."""
    found: dict[Any, int] = {}
    for row in rows:
        key = row.get("category_id") if isinstance(row, Mapping) else True
        if type(key) is int and found.get(key):
            continue
        try:
            key = None if key is None else read_id("category_id", key, Counter())
        except Problem:
            continue  # reported with the row
        keypoints = row.get("keypoints")
        count = len(keypoints) // 3 if isinstance(keypoints, list | tuple | np.ndarray) else 0
        found[key] = found.get(key) or count
    return found


def _ids(
    entries: Sequence[Any], wheres: Sequence[str], used: Mapping[Any, int], notes: Counter[str]
) -> list[Any]:
    """Return the ids of the categories; a single one may have that of its annotations."""
    ids = []
    for entry, where in zip(entries, wheres, strict=True):
        try:
            ids.append(entry_id(entry, notes) if isinstance(entry, Mapping) else None)
        except Problem as problem:
            raise ResultsError(f"{where}: {problem}") from None
    if None not in ids:
        return ids
    own = [key for key in used if key is not None]
    if len(ids) > 1 or len(own) > 1 or not isinstance(entries[0], Mapping):
        raise ResultsError(f"{wheres[ids.index(None)]} must be an object with an id")
    return own or [1]


def _integers(ids: Sequence[Any], used: Mapping[Any, int], name: str) -> bool:
    """Tell whether category ids are integers; "1" is one if any other id, or annotation, is."""
    texts = [key for key in ids if isinstance(key, str)]
    digits = all(map(is_digits, texts))
    if len(texts) < len(ids) and not digits:
        raise ResultsError(f"{name}: category ids are integers and strings; use one kind")
    return digits and (len(texts) < len(ids) or any(isinstance(key, int) for key in used))


def _category(
    key: Any, entry: Mapping[Any, Any], where: str, counted: int
) -> tuple[Category, list[str]]:
    """Return a category and warnings; counted: the keypoints that its annotations have."""
    warnings = []
    names = [] if entry.get("keypoints") is None else entry["keypoints"]
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        raise ResultsError(f"{where} (id {key}): keypoints must be a list of keypoint names")
    if not names and counted:
        names = [f"joint {k}" for k in range(counted)]
        text = f"{where} names no joints: as many as its annotations have, {counted}"
        warnings.append(hints.warning("derived-values", text))
    # COCO's pairs count from 1.
    skeleton = entry.get("skeleton")
    pairs = skeleton if isinstance(skeleton, list | tuple) else [skeleton]
    pairs = [] if skeleton is None or not names else pairs
    links = tuple(
        (pair[0] - 1, pair[1] - 1)
        for pair in pairs
        if isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(type(joint) is int and 0 < joint <= len(names) for joint in pair)
    )
    if len(links) < len(pairs):
        lost = len(pairs) - len(links)
        text = f"{where}: {lost} of its skeleton are left out, which join no two keypoints"
        warnings.append(hints.warning("wrong-skeleton", text))
    title = entry.get("name")
    return Category(key, str(key if title is None else title), tuple(names), links), warnings
