"""Repair the plain content of a COCO file: ids, counts, boxes, areas, doubles, names of files."""

import itertools
import re
from collections import Counter
from typing import Any

Rows = list[dict[str, Any]]
Key = int | str | None


def fixed(content: dict[str, Any], strip_prefix: str = "") -> tuple[dict[str, Any], Counter[str]]:
    """Return repaired content, and how often each thing was done; unknown keys are kept.

    Images of one file become one; ids that are missing, equal or text are numbered anew, and what
    refers to them follows. Of equal image ids the last counts, as for pycocotools.
    """
    done: Counter[str] = Counter()
    images, image_of = _images(content["images"], strip_prefix, done)
    listed = content.get("categories") or []
    used = {_key(row.get("category_id")) for row in content["annotations"]} - {None}
    if len(listed) == 1 and _key(listed[0].get("id")) is None and len(used) == 1:
        listed = [{**listed[0], "id": used.pop()}]
    categories = [_linked(row, done) for row in _numbered(listed, "category", done)]
    keys = [_key(row.get("id")) for row in listed]
    category_of = dict(zip(keys, (row["id"] for row in categories), strict=True))
    names = {row["id"]: row.get("keypoints") or [] for row in categories}
    with_keypoints = [number for number, listed in names.items() if listed]
    if len(with_keypoints) == 1:
        category_of[None] = with_keypoints[0]
    rows = []
    for row in content["annotations"]:
        image = image_of.get(_key(row.get("image_id")))
        category = category_of.get(_key(row.get("category_id")))
        if image is None:
            done["annotations of unknown images dropped"] += 1
            continue
        row = {**row, "image_id": image}
        if categories and category is None:
            done["annotations of unknown categories dropped"] += 1
            continue
        if categories:
            _note(done, "category ids set", row.get("category_id"), category)
            row["category_id"] = category
        done.update(complete(row, 3 * len(names.get(category, []))))
        rows.append(row)
    rows = _numbered(without_doubles(rows, done), "annotation", done)
    result = {**content, "images": images, "annotations": rows}
    return (result | {"categories": categories} if categories else result), done


def complete(row: dict[str, Any], width: int) -> list[str]:
    """Fill in what an annotation lacks, in place, and return what was done.

    width: 3K of its category, 0 where that names no keypoints. bbox is the extent of the labelled
    keypoints, a tenth wider on each side; area 0.53 * w * h, MMPose's stand-in for a mask's.
    """
    done = []
    if width and not row.get("keypoints"):
        row["keypoints"] = [0] * width
        done.append("missing keypoints written as not labelled")
    points = row.get("keypoints")
    if points is not None and not is_keypoints(points):
        return ["annotations left alone: keypoints are no x, y, v (see `pose-data check`)"]
    if points is not None:
        labelled = sum(v > 0 for v in points[2::3])
        number = row.get("num_keypoints")
        if type(number) is not int or number != labelled:
            done.append("num_keypoints counted")
            row["num_keypoints"] = labelled
        if not row.get("bbox"):
            row["bbox"] = _box_around(points)
            done.append("boxes derived from the keypoints")
    box = row.get("bbox")
    if row.get("area") is None and _are_numbers(box) and len(box) == 4:
        row["area"] = round(0.53 * box[2] * box[3], 3)
        done.append("areas derived from the box")
    if row.get("iscrowd") is None:
        row["iscrowd"] = 0
        done.append("iscrowd set to 0")
    return done


def is_keypoints(value: Any) -> bool:
    """Tell whether a value is a list of x, y, v."""
    return _are_numbers(value) and len(value) % 3 == 0


def without_doubles(rows: Rows, done: Counter[str]) -> Rows:
    """Return the annotations without those equal to an earlier one in image and keypoints."""
    seen = set()
    kept = []
    for row in rows:
        points = row.get("keypoints") or []
        is_labelled = is_keypoints(points) and any(v > 0 for v in points[2::3])
        place = points if is_labelled else (row.get("bbox"), row.get("segmentation"), points)
        key = (row["image_id"], row.get("category_id"), str(place))
        if key in seen:
            done["exact doubles dropped"] += 1
        else:
            kept.append(row)
        seen.add(key)
    return kept


def _images(rows: Rows, prefix: str, done: Counter[str]) -> tuple[Rows, dict[Key, int]]:
    """Return one image for each file, and the new number of every old id."""
    kept: dict[object, dict[str, Any]] = {}  # by file name, else by id
    whose: dict[Key, object] = {}
    for place, row in enumerate(rows):
        name, key = row.get("file_name"), _key(row.get("id"))
        if isinstance(name, str):
            plain, prefix = name.replace("\\", "/"), prefix.replace("\\", "/")
            if prefix and plain.startswith(prefix):
                plain = plain.removeprefix(prefix).lstrip("/")
            _note(done, "file names rewritten", name, plain)
            row, name = {**row, "file_name": plain}, plain
        who = name or (place if key is None else ("id", key))
        if who in kept:
            done["images merged with another of the same file"] += 1
        kept[who] = row | kept.get(who, {})
        whose[key] = who
    images = _numbered(list(kept.values()), "image", done)
    number = {who: image["id"] for who, image in zip(kept, images, strict=True)}
    whose.pop(None, None)
    return images, {key: number[who] for key, who in whose.items()}


def _numbered(rows: Rows, what: str, done: Counter[str]) -> Rows:
    """Return rows with integer ids; missing, text and all but the last of equal ones are new."""
    keys = [_key(row.get("id")) for row in rows]
    last = {key: place for place, key in enumerate(keys)}
    free = itertools.count(max([0, *(key for key in keys if isinstance(key, int))]) + 1)
    numbered = []
    for place, (row, key) in enumerate(zip(rows, keys, strict=True)):
        is_good = isinstance(key, int) and last[key] == place
        number = key if is_good else next(free)
        _note(done, f"{what} ids numbered anew", row.get("id"), number)
        numbered.append({**row, "id": number})
    return numbered


def _key(value: Any) -> Key:
    """Return an id as it is compared: 12, 12.0 and "12" are the same; None where it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**62 else str(value)
    return value if isinstance(value, str) and value else None


def _linked(category: dict[str, Any], done: Counter[str]) -> dict[str, Any]:
    """Return a category whose `skeleton` holds pairs of its keypoints only, numbered from 1."""
    links, count = category.get("skeleton"), len(category.get("keypoints") or [])
    if links is None:
        return category
    listed = links if isinstance(links, list) else [None]
    good = [p for p in listed if _are_numbers(p) and len(p) == 2 and p[0] != p[1]]
    if any(0 in pair for pair in good) and not any(count in pair for pair in good):
        good = [[first + 1, second + 1] for first, second in good]
        done["skeleton links counted from 1 instead of 0"] += len(good)
    good = [pair for pair in good if all(n in range(1, count + 1) for n in pair)]
    if len(good) < len(listed):
        done["wrong skeleton links dropped"] += len(listed) - len(good)
    return {**category, "skeleton": good}


def _box_around(points: list[float]) -> list[float]:
    """Return x, y, w, h; no side below a tenth of the other: straight animals have boxes too."""
    labelled = [points[i : i + 2] for i in range(0, len(points), 3) if points[i + 2] > 0]
    if not labelled:
        return [0, 0, 0, 0]
    low = [min(xy[axis] for xy in labelled) for axis in (0, 1)]
    high = [max(xy[axis] for xy in labelled) for axis in (0, 1)]
    extent = [b - a for a, b in zip(low, high, strict=True)]
    side = [max(1.2 * length, 0.1 * max(extent)) for length in extent]
    corner = [(a + b - s) / 2 for a, b, s in zip(low, high, side, strict=True)]
    return [round(value, 3) for value in (*corner, *side)]


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, int | float) for v in value)


def _note(done: Counter[str], what: str, before: Any, after: Any) -> None:
    if type(before) is not type(after) or before != after:
        done[what] += 1
