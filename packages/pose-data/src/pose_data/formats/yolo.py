"""YOLO-pose, as Ultralytics documents it: data.yaml, and a text file of labels for each image.

A line is class, box (cx cy w h), then x y or x y v for each keypoint, as fractions of the image.
"""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.errors import DatasetError, reading
from pose_data.fix import repair
from pose_data.formats.animals import Animal, Found, image_size
from pose_data.images.missing import inside, leads_outside
from pose_data.sides import side_pairs
from pose_data.skeleton import COCO, flip_indices
from pose_data.writing import new_folder

Data = dict[str, Any]  # the content of a data.yaml
MOST_CHARACTERS = 1_000_000  # of a data.yaml
_SHAPES = ([int, int, 2], [int, int, 3])
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def read_yolo(
    source: Path, top: Path, names: list[str] | None = None, split: str | None = None
) -> Found:
    """Read train, val and test of a data.yaml, or one of them; raises DatasetError.

    top: the folder that the images must be in.
    """
    settings, found = _settings(source), Found()
    with reading(source):
        shape, classes = settings["kpt_shape"], settings.get("names") or ["object"]
        classes = classes if isinstance(classes, dict) else dict(enumerate(classes))
        flips = list(settings.get("flip_idx") or [])
        keypoints = names or _keypoint_names(settings, shape[0], flips, found.notes)
        if len(set(keypoints)) != shape[0] or len(keypoints) != shape[0]:
            raise DatasetError(f"kpt_shape is {shape}, keypoints are {', '.join(keypoints)}")
        if flips and flip_indices(len(keypoints), side_pairs(keypoints)[0]) != flips:
            found.notes["flip_idx that pairs otherwise than the names: set data.flip_pairs"] = 1
        paths = _image_files(settings, source, top, split, found.notes)
    for path in paths:
        size, animals = image_size(path), []
        before, sep, after = str(path).rpartition(f"{os.sep}images{os.sep}")
        labels = Path(f"{before}{os.sep}labels{os.sep}{after}" if sep else path).with_suffix(".txt")
        is_there = labels.exists() or labels.is_symlink()  # a folder, or to nothing: reading fails
        text = labels.read_text(encoding="utf-8", errors="replace") if is_there else ""
        for number, line in enumerate(text.splitlines(), 1):
            with reading(f"{labels} line {number}"):
                if line.strip():
                    animals.append(_animal(line, classes, keypoints, shape, size))
        found.images.append((str(path), size, animals))
    return found


def write_yolo(content: dict[str, Any], out: Path, images: Path | None = None) -> Counter[str]:
    """Write labels/ and data.yaml into a new folder; returns counts of what was written and left.

    images: their folder, for sizes that the file lacks. Raises DatasetError where categories differ
    in their number of keypoints.
    """
    content, notes = repair(content)
    with reading("categories"):
        chosen = [c for c in content.get("categories") or [] if c.get("keypoints")]
        counts = {len(category["keypoints"]) for category in chosen}
        if len(counts) != 1:
            text = f"keypoints of {len(counts)} lengths: choose with `pose-data filter`"
            raise DatasetError(text)
        flips = flip_indices(counts.pop(), side_pairs(chosen[0]["keypoints"])[0])
    classes = {category["id"]: place for place, category in enumerate(chosen)}
    rows_of = defaultdict(list)
    for row in content["annotations"]:
        rows_of[row["image_id"]].append(row)
    files: dict[Path, str] = {}  # inside of `out`
    for image in content["images"]:
        with reading(f"image {image.get('file_name')}"):
            file = Path(image["file_name"])
            name = "labels" / file.with_suffix(".txt")
            if file.anchor or ".." in name.parts:
                raise DatasetError("its name leaves the folder: `pose-data fix --strip-prefix`")
            os.fsencode(name)  # raises for half a character, which JSON allows
            if name in files:
                raise DatasetError("another image has the same name but for the suffix")
            path = (images or Path()) / file
            size = image_size(path, image.get("width"), image.get("height"))
            files[name] = "".join(_line(row, classes, size, notes) for row in rows_of[image["id"]])
    settings = {
        "train": "images",
        "val": "images",
        "kpt_shape": [len(flips), 3],
        # Without pairs nothing is known of mirror images: Ultralytics then trains without flips.
        **({"flip_idx": flips} if flips != sorted(flips) else {}),
        "names": [str(category.get("name")) for category in chosen],
        "kpt_names": [category["keypoints"] for category in chosen],
    }
    files[Path("data.yaml")] = "".join(f"{k}: {json.dumps(v)}\n" for k, v in settings.items())
    with new_folder(out) as folder:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return notes


def _settings(path: Path) -> Data:
    """Return a data.yaml with a right kpt_shape; raises DatasetError."""
    try:
        import yaml
    except ImportError:
        raise DatasetError("YOLO's data.yaml needs PyYAML: pip install 'pose-data[yolo]'") from None
    try:
        text = path.read_text(encoding="utf-8-sig")
        if len(text) > MOST_CHARACTERS:  # the parser is slow
            raise DatasetError(f"{path} has {len(text):,} characters: not a data.yaml")
        content = yaml.safe_load(text)
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise DatasetError(f"cannot read {path} as YAML: {str(error).splitlines()[0]}") from error
    shape = content.get("kpt_shape") if isinstance(content, dict) else None
    if not isinstance(shape, list) or [*map(type, shape), *shape[1:]] not in _SHAPES:
        raise DatasetError(f"{path}: kpt_shape must be [K, 2] or [K, 3], got {shape}")
    return content


def _keypoint_names(data: Data, count: int, flips: list[int], notes: Counter[str]) -> list[str]:
    """Return the names that data.yaml gives, else COCO's, else such that they pair as flip_idx."""
    if named := data.get("kpt_names"):  # a list for each class, all of one length
        named = list(named.values()) if isinstance(named, dict) else named
        return list(named if isinstance(named[0], str) else named[0])
    if flips and sorted(flips) != list(range(count)):
        raise DatasetError(f"flip_idx must hold the numbers 0 to {count - 1}, got {flips}")
    if count == 17 and flips in ([], list(COCO.flip_indices)):
        notes["data.yaml without kpt_names: taken for COCO's 17"] = 1
        return list(COCO.keypoints)
    notes["data.yaml without kpt_names: give --names (which side is left is a guess)"] = 1
    pairs = enumerate(flips or range(count))
    return [f"{'' if i == j else 'left_' if i < j else 'right_'}kpt{min(i, j)}" for i, j in pairs]


def _image_files(
    data: Data, source: Path, top: Path, split: str | None, notes: Counter[str]
) -> list[Path]:
    """Return the images of the wanted parts, those of each in the order of their names."""
    roots = [source.parent / str(data.get("path") or "."), source.parent, top]
    found: list[Path] = []
    for part in [split] if split else ["train", "val", "test"]:
        entries = data.get(part) or []
        for entry in map(str, entries if isinstance(entries, list) else [entries]):
            # Roboflow writes ../train/images for what lies beside data.yaml.
            tried = [root / name for root in roots for name in (entry, entry.removeprefix("../"))]
            there = [path for path in tried if os.path.exists(path)]
            inside_top = (p for p in there if not leads_outside(top, os.path.abspath(p)))
            place = next(inside_top, None)
            if place is None and there:
                text = f"{part}: {there[0]} leads out of {top}: say --images FOLDER"
                raise DatasetError(text)
            if place is None:
                notes[f"folders left out: {part}: {entry} is not there"] += 1
            elif place.is_dir():
                found += [p for p in sorted(place.rglob("*")) if p.suffix.lower() in _SUFFIXES]
            else:  # a text file that lists them
                lines = map(str.strip, place.read_text("utf-8").splitlines())
                files = [os.path.abspath(place.parent / line) for line in lines if line]
                found += [inside(top, file) for file in files]
    if not found:
        raise DatasetError(f"no images of {split or 'train, val or test'}")
    return list(dict.fromkeys(found))


def _animal(
    line: str, classes: dict[int, Any], names: list[str], shape: list[int], size: tuple[int, int]
) -> Animal:
    """Return the animal of a line, in pixels."""
    number, *values = (float(word) for word in line.split())
    wanted = 4 + shape[0] * shape[1]
    if len(values) != wanted:
        raise DatasetError(f"{len(values) + 1} numbers, kpt_shape {shape} wants {wanted + 1}")
    if number not in classes:
        raise DatasetError(f"class {number:g} is not in the names of data.yaml")
    center, side = np.array(values[:4]).reshape(2, 2) * size
    table = np.array(values[4:]).reshape(shape)  # (K, 2 or 3)
    if not (np.abs([*values[:4], *table[:, :2].ravel()]) <= 2).all():  # NaN too
        raise DatasetError("coordinates must be fractions of the image")
    is_set = (table.min(axis=1) >= 0) & (table.max(axis=1) > 0)
    visible = table[:, 2] if shape[1] == 3 else np.where(is_set, 2, 0)
    if not np.isin(visible, (0, 1, 2)).all():
        raise DatasetError("visibility must be 0, 1 or 2")
    xy = np.where(visible[:, None] > 0, table[:, :2] * size, 0).tolist()
    points = {name: (x, y, int(v)) for name, (x, y), v in zip(names, xy, visible, strict=True)}
    box = [*(center - side / 2).tolist(), *side.tolist()]
    return Animal(str(classes[int(number)]), points, box)


def _line(
    row: dict[str, Any], classes: dict[int, int], size: tuple[int, int], notes: Counter[str]
) -> str:
    """Return class, box and keypoints as fractions; "" for what is left out."""
    if row["category_id"] not in classes or row["iscrowd"]:
        notes["crowds, and annotations of other categories left out"] += 1
        return ""
    box = np.array(row["bbox"], float).reshape(2, 2)
    low, high = np.clip(box[0], 0, size), np.clip(box.sum(axis=0), 0, size)
    if not (low < high).all():
        notes["boxes outside of their image, or empty, left out"] += 1
        return ""
    points = np.array(row["keypoints"], float).reshape(-1, 3)
    outside = (points[:, 2] > 0) & ((points[:, :2] < 0) | (points[:, :2] > size)).any(axis=1)
    notes["points outside of their image left out"] += int(outside.sum())
    points[outside | (points[:, 2] <= 0)] = 0  # Ultralytics refuses files with fractions beyond 1
    fractions = [*((low + high) / 2 / size), *((high - low) / size), *(points / [*size, 1]).ravel()]
    notes["objects written"] += 1
    return " ".join([str(classes[row["category_id"]]), *(f"{v:.6g}" for v in fractions)]) + "\n"
