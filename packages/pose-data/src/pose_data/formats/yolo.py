"""YOLO-pose, as Ultralytics documents it: data.yaml, and a text file of labels for each image.

A line is class, box (cx cy w h), then x y or x y v for each keypoint, as fractions of the image.
"""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.errors import DatasetError
from pose_data.fix import complete
from pose_data.formats.animals import Animal, Found, under_one_folder
from pose_data.images.headers import read_header
from pose_data.infer import infer_skeleton
from pose_data.skeleton import COCO

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def read_yolo(source: Path, names: list[str] | None = None, split: str | None = None) -> Found:
    """Read a data.yaml, or the folder that holds it; train, val and test unless one is named.

    Sizes are the images' own, upright where EXIF turns them. Raises DatasetError naming file and
    line.
    """
    source = source / "data.yaml" if source.is_dir() else source
    settings, notes = _settings(source), Counter[str]()
    shape = settings["kpt_shape"]
    classes = settings.get("names") or ["object"]
    classes = dict(enumerate(classes)) if isinstance(classes, list) else classes
    keypoints = names or _keypoint_names(settings, shape[0], notes)
    if len(keypoints) != shape[0]:
        raise DatasetError(f"{len(keypoints)} names of keypoints, kpt_shape of {source} is {shape}")
    flips = settings.get("flip_idx")
    skeleton, _ = infer_skeleton([{"name": "", "keypoints": keypoints}])
    if flips and list(skeleton.flip_indices) != list(flips):
        notes["flip_idx pairs other keypoints than their names do: write data.flip_pairs"] = 1
    pictures = _pictures(settings, source, split, notes)
    folder, file_names = under_one_folder(pictures)
    images, animals = [], []
    for place, (path, name) in enumerate(zip(pictures, file_names, strict=True)):
        header = read_header(path)
        size = (header.width, header.height)
        if header.orientation > 4:  # 5 to 8: a quarter turn; labels are of the image as it is seen
            size = size[::-1]
        images.append({"file_name": name, "width": size[0], "height": size[1]})
        for where, text in _lines(path):
            number, box, points = _label(text, where, shape, size)
            if number not in classes:
                raise DatasetError(f"{where}: class {number} is not among the names of {source}")
            named = dict(zip(keypoints, points, strict=True))
            animals.append(Animal(place, str(classes[number]), named, box))
    return Found(folder, images, animals, {}, {}, notes)


def write_yolo(content: dict[str, Any], out: Path, images: Path | None = None) -> Counter[str]:
    """Write labels/ and data.yaml into a new folder, and return how many lines, and what was left.

    images: their folder, for sizes that the file lacks. Raises DatasetError where categories differ
    in their number of keypoints.
    """
    notes: Counter[str] = Counter()
    chosen = [c for c in content.get("categories") or [] if c.get("keypoints")]
    if len({len(category["keypoints"]) for category in chosen}) != 1:
        raise DatasetError(
            f"{len(chosen)} categories with keypoints, not of one number: `pose-data filter` chooses"
        )
    classes = {category["id"]: place for place, category in enumerate(chosen)}
    count = len(chosen[0]["keypoints"])
    lines: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
    sizes = {image["id"]: _size(image, images) for image in content["images"]}
    for row in content["annotations"]:
        image, number = row.get("image_id"), classes.get(row.get("category_id"))
        if image not in lines or number is None or row.get("iscrowd"):
            notes["crowds, and annotations of other categories or images left out"] += 1
        elif line := _line(dict(row), count, sizes[image], notes):
            lines[image].append(f"{number} {line}\n")
    files = {}
    for image in content["images"]:
        name = Path(image["file_name"]).with_suffix(".txt")
        if name.is_absolute() or ".." in name.parts or name in files:
            problem = "is there twice, but for its suffix" if name in files else "leaves the folder"
            raise DatasetError(f"file_name {image['file_name']} {problem}; see `pose-data fix`")
        files[name] = "".join(lines[image["id"]])
    skeleton, _ = infer_skeleton(chosen)
    settings = {
        "train": "images",
        "val": "images",
        "kpt_shape": [count, 3],
        "flip_idx": list(skeleton.flip_indices),
        "names": [str(category.get("name")) for category in chosen],
        "kpt_names": {i: category["keypoints"] for i, category in enumerate(chosen)},
    }
    if not skeleton.flip_pairs:  # not known: Ultralytics then trains without flips
        del settings["flip_idx"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        data = Path(scratch) / "data"  # renamed when whole
        for name, text in files.items():
            (data / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
            (data / "labels" / name).write_text(text, encoding="utf-8")
        # JSON is YAML but for the keys of kpt_names, which must be numbers
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
        (data / "data.yaml").write_text(text.replace('"', ""), encoding="utf-8")
        data.rename(out)
    notes["lines of labels written"] = sum(map(len, lines.values()))
    return notes


def _settings(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise DatasetError(
            "reading data.yaml needs PyYAML: pip install 'pose-data[yolo]'"
        ) from None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DatasetError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    shape = content.get("kpt_shape") if isinstance(content, dict) else None
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3) or shape[0] < 1:
        raise DatasetError(f"{path}: kpt_shape must be [K, 2] or [K, 3], got {shape}")
    return content


def _keypoint_names(settings: dict[str, Any], count: int, notes: Counter[str]) -> list[str]:
    """Return the names that data.yaml gives, else COCO's, else such that they pair as flip_idx."""
    named, flips = settings.get("kpt_names"), list(settings.get("flip_idx") or range(count))
    if named:  # a list for each class; all classes share kpt_shape
        return list(next(iter(named.values())) if isinstance(named, dict) else named)
    if sorted(flips) != list(range(count)):
        raise DatasetError(f"flip_idx must hold the numbers 0 to {count - 1}, got {flips}")
    if count == 17 and flips in (list(range(count)), list(COCO.flip_indices)):
        notes["data.yaml has no kpt_names: taken for COCO's 17"] = 1
        return list(COCO.keypoints)
    notes["data.yaml has no kpt_names: give --names (which side is left is a guess)"] = 1
    return [
        f"kpt{i}" if i == j else f"left_kpt{i}" if i < j else f"right_kpt{j}"
        for i, j in enumerate(flips)
    ]


def _pictures(
    settings: dict[str, Any], source: Path, split: str | None, notes: Counter[str]
) -> list[Path]:
    """Return the images of the wanted parts, those of each in the order of their names."""
    roots = [source.parent / str(settings.get("path") or "."), source.parent]
    found: dict[Path, None] = {}
    for part in [split] if split else ["train", "val", "test"]:
        entries = settings.get(part) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            # Roboflow writes ../train/images for what lies beside data.yaml.
            tried = [root / name for root in roots for name in (entry, entry.removeprefix("../"))]
            place = next((path for path in tried if path.exists()), None)
            if place is None:
                notes[f"{part} left out: {entry} is not there"] += 1
            elif place.is_dir():
                below = sorted(place.rglob("*"))
                found |= dict.fromkeys(p for p in below if p.suffix.lower() in _SUFFIXES)
            else:  # a text file that lists them
                listed = place.read_text(encoding="utf-8").split("\n")
                found |= dict.fromkeys(place.parent / n.strip() for n in listed if n.strip())
    if not found:
        raise DatasetError(f"{source}: no images of {split or 'train, val or test'}")
    return list(found)


def _lines(picture: Path) -> list[tuple[str, str]]:
    """Return the lines of an image's labels, each with where it stands."""
    before, sep, after = str(picture).rpartition(f"{os.sep}images{os.sep}")
    path = Path(f"{before}{os.sep}labels{os.sep}{after}" if sep else picture).with_suffix(".txt")
    if not path.is_file():
        return []  # an image without objects
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [(f"{path} line {i + 1}", line) for i, line in enumerate(lines) if line.strip()]


def _label(
    text: str, where: str, shape: list[int], size: tuple[int, int]
) -> tuple[int, list[float], list[tuple[float, float, int]]]:
    """Return class, box and points (x, y, v) of a line, in pixels."""
    try:
        number, *values = (float(word) for word in text.split())
    except ValueError:
        raise DatasetError(f"{where} must hold numbers, got {text!r:.60}") from None
    wanted = 4 + shape[0] * shape[1]
    if len(values) != wanted:
        raise DatasetError(
            f"{where}: {len(values) + 1} numbers, kpt_shape {shape} wants {wanted + 1}"
        )
    (cx, cy), (w, h) = np.array(values[:4]).reshape(2, 2) * size
    table = np.array(values[4:]).reshape(shape)  # (K, 2 or 3)
    if not (np.abs([*values[:4], *table[:, :2].ravel()]) <= 2).all():  # NaN too
        raise DatasetError(f"{where}: coordinates must be fractions of the image")
    xy = table[:, :2] * size
    is_set = (xy.min(axis=1) >= 0) & (xy.max(axis=1) > 0)
    visible = table[:, 2] if shape[1] == 3 else np.where(is_set, 2, 0)
    if not np.isin(visible, (0, 1, 2)).all():
        raise DatasetError(f"{where}: visibility must be 0, 1 or 2")
    xy[visible == 0] = 0
    points = [(x, y, int(v)) for (x, y), v in zip(xy.tolist(), visible, strict=True)]
    return int(number), [float(v) for v in (cx - w / 2, cy - h / 2, w, h)], points


def _size(image: dict[str, Any], images: Path | None) -> tuple[float, float]:
    if image.get("width") and image.get("height"):
        return image["width"], image["height"]
    if images is None:
        raise DatasetError(f"{image['file_name']} has no width and height: give --images")
    header = read_header(images / image["file_name"])
    return header.width, header.height


def _line(row: dict[str, Any], count: int, size: Any, notes: Counter[str]) -> str:
    """Return box and keypoints as fractions; "" where nothing of the box is in the image."""
    complete(row, 3 * count)
    box = np.array(row["bbox"], float).reshape(2, 2)
    low, high = np.clip(box[0], 0, size), np.clip(box.sum(axis=0), 0, size)
    if not (low < high).all():
        notes["boxes outside of their image, or empty, left out"] += 1
        return ""
    points = np.array(row["keypoints"], float).reshape(count, 3)
    outside = (points[:, 2] > 0) & ((points[:, :2] < 0) | (points[:, :2] > size)).any(axis=1)
    notes["points outside of their image left out"] += int(outside.sum())
    points[outside | (points[:, 2] <= 0)] = 0  # Ultralytics refuses files with fractions beyond 1
    fractions = [*((low + high) / 2 / size), *((high - low) / size)]
    fractions += (points / [*size, 1]).ravel().tolist()
    return " ".join(f"{value:.6f}".rstrip("0").rstrip(".") for value in fractions)
