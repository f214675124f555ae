"""Repair the plain content of a COCO file: ids, counts, boxes, areas, duplicates, file names."""

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from pose_data.errors import DatasetError
from pose_data.formats.json import read_json
from pose_data.regions import boxes_around

Rows = list[dict[str, Any]]
Key = int | str | None


def read_plain(path: Path) -> dict[str, Any]:
    """Return the content of a COCO file as it is; raises DatasetError for what is not one."""
    content = read_json(path)
    found = content if isinstance(content, dict) else {}
    for key in ("images", "annotations", "categories"):
        rows = found.get(key)
        if rows is None and key == "categories":
            continue
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DatasetError(f"{path} needs a list of objects `{key}`: not a COCO file")
    return found


def repair(content: dict[str, Any], strip_prefix: str = "") -> tuple[dict[str, Any], Counter[str]]:
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
    pairs = zip(listed, categories, strict=True)
    category_of = {id_key(old.get("id")): new["id"] for old, new in pairs}
    has_names = [row for row in categories if row.get("keypoints")]
    names = {c["id"]: c["keypoints"] for c in has_names if isinstance(c["keypoints"], list)}
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
        done["exact duplicates dropped"] += same in seen
        if same not in seen:
            rows.append(row)
        seen.add(same)
    result = {**content, "images": images, "annotations": _numbered(rows, "annotation", done)}
    return (result | {"categories": categories} if categories else result), +done


def _complete(row: dict[str, Any], width: int, done: Counter[str]) -> bool:
    """Fill in what an annotation lacks, in place; tell whether it has labelled keypoints.

    width: 3K of its category, 0 where that names no keypoints. area: MMPose's stand-in.
    """
    if width and not row.get("keypoints"):
        row["keypoints"] = [0] * width
        done["missing keypoints written as not labelled"] += 1
    points, labelled = row.get("keypoints"), 0
    if points is not None and (not _are_numbers(points) or len(points) % 3):
        done["annotations left alone: keypoints are not x, y, v (see `pose-data check`)"] += 1
        return False
    if points is not None:
        labelled = sum(v > 0 for v in points[2::3])
        _note(done, "num_keypoints counted", row.get("num_keypoints"), labelled)
        row["num_keypoints"] = labelled
        box = row.get("bbox") or [0]
        if _are_numbers(box) and not any(box):  # missing, or four zeros, as some tools write
            if labelled:
                row["area"] = row.get("area") or None
            around = boxes_around(np.array(points, float).reshape(1, -1, 3))[0]
            row["bbox"] = [round(value, 3) for value in around.tolist()]
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
    """Return an id as it is compared: 12, 12.0 and "12" are the same; None for no id."""
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


def _are_numbers(value: Any) -> TypeGuard[list[float]]:
    return isinstance(value, list) and all(isinstance(v, int | float) for v in value)


def _note(done: Counter[str], what: str, before: Any, after: Any) -> None:
    done[what] += type(before) is not type(after) or before != after
