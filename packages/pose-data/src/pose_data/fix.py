"""Repair the plain content of a COCO file: ids, counts, boxes, areas, doubles, names of files."""

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

from pose_data.errors import DatasetError
from pose_data.formats.json import read_json

Rows = list[dict[str, Any]]
Key = int | str | None


def read_plain(path: Path) -> dict[str, Any]:
    """Return the content of a COCO file as it is; raises DatasetError where its lists are none."""
    content = read_json(path)
    for key in ("images", "annotations", "categories"):
        rows = content.get(key) if isinstance(content, dict) else None
        if rows is None and key == "categories" and isinstance(content, dict):
            continue
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DatasetError(f"{path} needs a list of objects `{key}`: it is no COCO file")
    return content


def fixed(content: dict[str, Any], strip_prefix: str = "") -> tuple[dict[str, Any], Counter[str]]:
    """Return repaired content, and how often each thing was done; unknown keys are kept.

    Images of one file become one. Ids that are missing, text or equal are numbered anew, and what
    refers to them follows; of equal ids the last counts, as for pycocotools.
    """
    done: Counter[str] = Counter()
    images, image_of = _images(content["images"], strip_prefix, done)
    listed = content.get("categories") or []
    used = {id_key(row.get("category_id")) for row in content["annotations"]} - {None}
    if len(listed) == 1 and id_key(listed[0].get("id")) is None and len(used) == 1:
        listed = [{**listed[0], "id": used.pop()}]
    categories = [_with_right_links(row, done) for row in _numbered(listed, "category", done)]
    category_of = {
        id_key(old.get("id")): new["id"] for old, new in zip(listed, categories, strict=True)
    }
    names = {row["id"]: row["keypoints"] for row in categories if row.get("keypoints")}
    names = {number: listed for number, listed in names.items() if isinstance(listed, list)}
    category_of[None] = next(iter(names)) if len(names) == 1 else None
    rows, seen = [], set()
    for row in content["annotations"]:
        image = image_of.get(id_key(row.get("image_id")))
        category = category_of.get(id_key(row.get("category_id")))
        if image is None or (categories and category is None):
            done["annotations of unknown images or categories dropped"] += 1
            continue
        row = {**row, "image_id": image}
        if categories:
            _note(done, "category ids set", row.get("category_id"), category)
            row["category_id"] = category
        is_labelled = _complete(row, 3 * len(names.get(category, ())), done)
        region = () if is_labelled else (str(row.get("bbox")), str(row.get("segmentation")))
        same = (image, str(row.get("category_id")), str(row.get("keypoints")), *region)
        done["exact doubles dropped"] += same in seen
        if same not in seen:
            rows.append(row)
        seen.add(same)
    result = {**content, "images": images, "annotations": _numbered(rows, "annotation", done)}
    return (result | {"categories": categories} if categories else result), +done


def _complete(row: dict[str, Any], width: int, done: Counter[str]) -> bool:
    """Fill in what an annotation lacks, in place; tell whether it has labelled keypoints.

    width: 3K of its category, 0 where that names no keypoints. bbox becomes the extent of the
    labelled keypoints, a tenth wider on each side; area 0.53 * w * h, MMPose's stand-in.
    """
    if width and not row.get("keypoints"):
        row["keypoints"] = [0] * width
        done["missing keypoints written as not labelled"] += 1
    points, labelled = row.get("keypoints"), 0
    if points is not None and (not _are_numbers(points) or len(points) % 3):
        done["annotations left alone: keypoints are no x, y, v (see `pose-data check`)"] += 1
        return False
    if points is not None:
        labelled = sum(v > 0 for v in points[2::3])
        _note(done, "num_keypoints counted", row.get("num_keypoints"), labelled)
        row["num_keypoints"] = labelled
        if not any(row.get("bbox") or ()) and labelled:  # four zeros, as some tools write
            row["area"] = row.get("area") or None
        if not any(row.get("bbox") or ()):
            row["bbox"] = _box_around(points)
            done["boxes derived from the keypoints"] += 1
            done["of them without a size: one keypoint"] += labelled > 0 and not row["bbox"][2]
    box = row.get("bbox")
    if row.get("area") is None and _are_numbers(box) and len(box) == 4:
        row["area"] = round(0.53 * box[2] * box[3], 3)
        done["areas derived from the box"] += 1
    if row.get("iscrowd") is None:
        row["iscrowd"] = 0
        done["iscrowd set to 0"] += 1
    return labelled > 0


def _images(rows: Rows, prefix: str, done: Counter[str]) -> tuple[Rows, dict[Key, int]]:
    """Return one image for each file, and the new number of every old id."""
    kept: dict[str, dict[str, Any]] = {}  # by file name, else by id
    whose: dict[Key, str] = {}
    for place, row in enumerate(rows):
        name, key = row.get("file_name"), id_key(row.get("id"))
        if isinstance(name, str):
            plain, front = (text.replace("\\", "/") for text in (name, prefix))
            if front and plain.startswith(front):
                plain = plain.removeprefix(front).lstrip("/")
            _note(done, "file names rewritten", name, plain)
            row = {**row, "file_name": plain}
        who = str(row.get("file_name") or (f"image {place}" if key is None else f"id {key}"))
        done["images merged with another of the same file"] += who in kept
        kept[who] = row | kept.get(who, {})
        whose[key] = who
    images = _numbered(list(kept.values()), "image", done)
    number = {who: image["id"] for who, image in zip(kept, images, strict=True)}
    return images, {key: number[who] for key, who in whose.items() if key is not None}


def _numbered(rows: Rows, what: str, done: Counter[str]) -> Rows:
    """Return rows with integer ids; missing, text and all but the last of equal ones are new."""
    keys = [id_key(row.get("id")) for row in rows]
    last = {key: place for place, key in enumerate(keys)}
    free = itertools.count(max([0, *(key for key in keys if isinstance(key, int))]) + 1)
    numbered = []
    for place, (row, key) in enumerate(zip(rows, keys, strict=True)):
        number = key if isinstance(key, int) and last[key] == place else next(free)
        _note(done, f"{what} ids numbered anew", row.get("id"), number)
        numbered.append({**row, "id": number})
    return numbered


def id_key(value: Any) -> Key:
    """Return an id as it is compared: 12, 12.0 and "12" are the same; None where it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**62 else str(value)
    return value if isinstance(value, str) and value else None


def _with_right_links(category: dict[str, Any], done: Counter[str]) -> dict[str, Any]:
    """Return a category whose `skeleton` holds pairs of its keypoints only, numbered from 1."""
    links, names = category.get("skeleton"), category.get("keypoints")
    count = len(names) if isinstance(names, list) else 0
    if links is None:
        return category
    listed = links if isinstance(links, list) else [None]
    good = [pair for pair in listed if _are_numbers(pair) and len(set(pair)) == len(pair) == 2]
    if any(0 in pair for pair in good) and not any(count in pair for pair in good):
        good = [[first + 1, second + 1] for first, second in good]
        done["skeleton links counted from 1 instead of 0"] += len(good)
    good = [pair for pair in good if all(n in range(1, count + 1) for n in pair)]
    done["wrong skeleton links dropped"] += len(listed) - len(good)
    return {**category, "skeleton": good}


def _box_around(points: list[float]) -> list[float]:
    """Return x, y, w, h; no side below a tenth of the other: straight animals have boxes too."""
    labelled = [points[i : i + 2] for i in range(0, len(points), 3) if points[i + 2] > 0]
    low, high = ([f(axis) for axis in zip(*labelled, strict=True)] or [0, 0] for f in (min, max))
    extent = [b - a for a, b in zip(low, high, strict=True)]
    side = [max(1.2 * length, 0.1 * max(extent)) for length in extent]
    corner = [(a + b - s) / 2 for a, b, s in zip(low, high, side, strict=True)]
    return [round(value, 3) for value in (*corner, *side)]


def _are_numbers(value: Any) -> TypeGuard[list[float]]:
    return isinstance(value, list) and all(isinstance(v, int | float) for v in value)


def _note(done: Counter[str], what: str, before: Any, after: Any) -> None:
    done[what] += type(before) is not type(after) or before != after
