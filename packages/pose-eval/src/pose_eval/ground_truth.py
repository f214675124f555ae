"""Read and check a COCO annotation file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval import hints
from pose_eval.columns import Columns, id_array, lookup, raise_problems, rows_to_columns, scan
from pose_eval.powers import words_of
from pose_eval.source import (
    PADDING,
    first_byte,
    is_content,
    name_of,
    parse_json,
    parse_text,
    read_bytes,
)
from pose_eval.tables import Category, Floats, GroundTruth, ResultsError

FAST_FROM = 1 << 20  # bytes; smaller files are read before numba is even loaded


def read_ground_truth(
    source: Any, *, area_from: str = "ann", recount: bool = False, name: str = ""
) -> tuple[GroundTruth, list[str]]:
    """Return the ground truth in a source (see source.Source) and warnings about it.

    area_from: "ann", or "bbox" for 0.53 w h. recount: count labelled joints instead of trusting
    `num_keypoints`. name: for messages, instead of the file's. Raises ResultsError that names file,
    annotation and key.
    """
    name = name or name_of(source, "ground truth")
    required = ["image_id", "category_id", "id", "bbox", "keypoints"]
    required += ["area"] if area_from == "ann" else []
    content: Any = source
    columns: Columns | None = None
    if not is_content(source):
        data = read_bytes(source, name)
        scanned = _scan(data, required, name) if len(data) > FAST_FROM else None
        content, columns = scanned or (parse_json(data, name), None)
    _check_shape(content, name)
    all_categories = _categories(content["categories"], content["annotations"], name)
    joints = {c.id: len(c.joint_names) for c in all_categories}
    if columns is None:
        # Annotations of a category without any joints (boxes of cars, say) take no part.
        numbers = [
            n
            for n, row in enumerate(content["annotations"])
            if not (isinstance(row, Mapping) and _joints_of(joints, row.get("category_id")) == 0)
        ]
        columns = rows_to_columns(
            [content["annotations"][n] for n in numbers],
            f"{name} annotation",
            required,
            ("iscrowd", "num_keypoints", "ignore"),
            joints,
            numbers,
        )
    categories = tuple(c for c in all_categories if c.joint_names)
    gt, warnings = _build(name, content["images"], categories, columns, area_from, recount)
    if columns.notes["float-ids"]:
        warnings.append(hints.float_ids(name, columns.notes["float-ids"]))
    return gt, warnings + hints.of_ground_truth(gt)


def _scan(
    data: NDArray[np.uint8], required: Sequence[str], name: str
) -> tuple[dict[str, Any], Columns] | None:
    """Return the content without its annotations, and these as columns; None if json must do it."""
    try:
        from pose_eval import scan_kernels as kernels
    except ImportError:
        return None
    word = np.frombuffer(b"annotations", np.uint8)
    words = words_of(data)
    start = kernels.find_value(data, words, first_byte(data), word)
    if start < 0:
        return None
    first = re.search(rb'"keypoints"\s*:\s*\[([^\]]*)\]', data[start : start + 10**6].tobytes())
    numbers = first[1].count(b",") + 1 if first else 0
    if not numbers or numbers % 3:
        return None
    scanned = scan(data, start, numbers // 3, required)
    if scanned is None:
        return None
    columns, end = scanned
    rest = data[:start].tobytes() + b"[]" + data[end:-PADDING].tobytes()
    try:
        content = parse_text(rest.decode(), name)
        _check_shape(content, name)
        categories = _categories(content["categories"], [], name)
    except (ResultsError, UnicodeDecodeError):
        return None
    same = all(3 * len(c.joint_names) == numbers for c in categories)
    return (content, columns) if same and rest.count(b'"annotations"') == 1 else None


def _check_shape(content: Any, name: str) -> None:
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
    if "\0duplicate" in content:
        raise ResultsError(f"{name} has the key {content[chr(0) + 'duplicate']!r} more than once")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            kind = "no list" if key not in content else "something else than a list as"
            raise ResultsError(f"{name} has {kind} `{key}`; is it a COCO annotation file?")


def _joints_of(joints: Mapping[Any, int], category: Any) -> int | None:
    return joints.get(category) if isinstance(category, int | str) else None


def _categories(entries: list[Any], annotations: list[Any], name: str) -> list[Category]:
    """Return all categories by id; where one lists no joints, its annotations tell how many."""
    if not entries:
        raise ResultsError(f"{name} has no categories: its list `categories` is empty")
    categories: dict[Any, Category] = {}
    for number, entry in enumerate(entries):
        where = f"{name} category {number}"
        if not isinstance(entry, Mapping) or "id" not in entry:
            raise ResultsError(f"{where} must be an object with an id")
        key = entry["id"]
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise ResultsError(f"{where}: id must be an integer or a string, got {key!r}")
        if not isinstance(key, str) and not -(2**63) <= key < 2**63:
            raise ResultsError(f"{where}: id has more digits than an id can have")
        if key in categories:
            raise ResultsError(f"{where}: category id {key} occurs more than once")
        names = entry.get("keypoints", [])
        if not isinstance(names, list):
            raise ResultsError(f"{where} (id {key}): keypoints must be a list of joint names")
        if not names:
            names = [f"joint {k}" for k in range(_num_joints(key, annotations))]
        joint_names = tuple(str(joint) for joint in names)
        links = _links(entry.get("skeleton"), len(joint_names))
        categories[key] = Category(key, str(entry.get("name", key)), joint_names, links)
    if not any(c.joint_names for c in categories.values()):
        raise ResultsError(f"{name} has no category with keypoints")
    if len({isinstance(key, str) for key in categories}) > 1:
        raise ResultsError(f"{name}: category ids are integers and strings; use one kind")
    return [categories[key] for key in sorted(categories)]


def _num_joints(category: Any, annotations: list[Any]) -> int:
    for row in annotations:
        if isinstance(row, Mapping) and row.get("category_id") == category:
            keypoints = row.get("keypoints")
            if isinstance(keypoints, list) and keypoints:
                return len(keypoints) // 3
    return 0


def _links(skeleton: Any, num_joints: int) -> tuple[tuple[int, int], ...]:
    """Return COCO's pairs, which count from 1; those of joints that do not exist are left out."""
    pairs = skeleton if isinstance(skeleton, list) else []
    valid = set(range(1, num_joints + 1))
    return tuple(
        (pair[0] - 1, pair[1] - 1)
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and all(p in valid for p in pair)
    )


def _images(entries: list[Any], name: str) -> tuple[NDArray[Any], list[Any]]:
    """Return the image ids in sorted order and the entries in that order."""
    problems = []
    seen: dict[Any, int] = {}
    for number, entry in enumerate(entries):
        key = entry.get("id") if isinstance(entry, Mapping) else None
        if isinstance(key, float) and key == key // 1:
            key = int(key)
        if isinstance(key, bool) or not isinstance(key, int | str):
            problems.append(f"{name} image {number} must be an object with an id")
        elif not isinstance(key, str) and not -(2**63) <= key < 2**63:
            problems.append(f"{name} image {number}: id has more digits than an id can have")
        elif key in seen:
            problems.append(
                f"{name} image {number}: image id {key} occurs more than once "
                f"(first in image {seen[key]})"
            )
        else:
            seen[key] = number
    raise_problems(problems)
    if not entries:
        raise ResultsError(f"{name} has no images: its list `images` is empty")
    if len({isinstance(key, str) for key in seen}) > 1:
        raise ResultsError(f"{name}: image ids are integers and strings; use one kind")
    ids = id_array(sorted(seen))
    return ids, [entries[seen[key]] for key in ids.tolist()]


def _build(
    name: str,
    image_entries: list[Any],
    categories: tuple[Category, ...],
    columns: Columns,
    area_from: str,
    recount: bool,
) -> tuple[GroundTruth, list[str]]:
    """Return the table and the warnings about readings that pycocotools does without a word."""
    image_ids, entries = _images(image_entries, name)
    image = lookup(columns.ids["image_id"], image_ids)
    category = lookup(columns.ids["category_id"], id_array([c.id for c in categories]))
    _check_rows(name, columns, image, category)
    keypoints = columns.poses()
    counted = (keypoints[..., 2] > 0).sum(axis=1)
    stored = columns.has["num_keypoints"]
    num_keypoints = np.where(stored & (not recount), columns.ints["num_keypoints"], counted)
    wh = columns.bbox[:, 2:]
    area = columns.floats["area"] if area_from == "ann" else wh[:, 0] * wh[:, 1] * 0.53
    gt = GroundTruth(
        name=name,
        categories=categories,
        image_ids=image_ids,
        file_names=tuple(str(e.get("file_name", "")) for e in entries),
        image_sizes=_sizes(entries),
        crowd_index=_crowd_index(entries),
        ids=columns.ids["id"],
        image=image,
        category=category,
        keypoints=keypoints,
        bbox=columns.bbox,
        area=np.ascontiguousarray(area),
        crowd=columns.ints["iscrowd"] != 0,
        num_keypoints=num_keypoints.astype(np.int64),
    )
    differs = stored & ~gt.crowd & ((num_keypoints == 0) != (counted == 0))
    overwritten = (columns.ints["ignore"] != 0) & ~gt.crowd & (num_keypoints > 0)
    return gt, hints.of_flags(gt, differs, overwritten)


def _check_rows(name: str, columns: Columns, image: Any, category: Any) -> None:
    """Raise ResultsError for annotations of unknown images or categories, bad areas, equal ids."""
    ids, image_ids = columns.ids["id"], columns.ids["image_id"]

    def where(row: Any) -> str:
        return f"{name} annotation {row} (id {ids[row]}, image {image_ids[row]})"

    found = [f"{where(r)}: this image is not in `images`" for r in np.flatnonzero(image < 0)]
    category_ids = columns.ids["category_id"]
    for row in np.flatnonzero(category < 0):
        found.append(f"{where(row)}: category_id {category_ids[row]} is not in `categories`")
    for row in np.flatnonzero(columns.floats["area"] < 0):
        area = columns.floats["area"][row]
        found.append(f"{where(row)}: area must not be negative, got {area:g}")
    for row in np.flatnonzero((columns.bbox[:, 2:] < 0).any(axis=1)):
        box = columns.bbox[row].tolist()
        found.append(f"{where(row)}: bbox must be x, y, w, h with w and h not negative, got {box}")
    if ids.dtype == object:
        raise ResultsError(f"{name}: annotation ids are integers and strings; use one kind")
    kinds, index, counts = np.unique(ids, return_index=True, return_counts=True)
    for at in np.flatnonzero(counts > 1):
        found.append(f"{where(index[at])}: annotation id {kinds[at]} occurs {counts[at]} times")
    raise_problems(found)


def _sizes(entries: list[Any]) -> Floats:
    """Return width and height of each image, 0 where they are missing or no numbers."""
    sizes = [(e.get("width", 0), e.get("height", 0)) for e in entries]
    if {type(side) for size in sizes for side in size} <= {int, float}:
        return np.array(sizes, np.float64)
    return np.array([[_number(side) for side in size] for size in sizes])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _crowd_index(entries: list[Any]) -> Floats | None:
    """Return CrowdPose's crowdIndex of each image, None where no image has one."""
    if not any("crowdIndex" in entry for entry in entries):
        return None
    return np.array([_number(e["crowdIndex"]) if "crowdIndex" in e else np.nan for e in entries])
