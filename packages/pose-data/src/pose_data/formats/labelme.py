"""LabelMe: a JSON file for each image; points by label, `group_id` joins those of one animal."""

import os
from collections import Counter
from pathlib import Path, PureWindowsPath
from typing import Any

from pose_data.errors import DatasetError, reading
from pose_data.formats.animals import Animal, Found, image_size, join_parts
from pose_data.formats.json import read_json
from pose_data.images.missing import leads_outside

_HIDDEN = ("occluded", "hidden", "invisible", "difficult")  # flags; X-AnyLabeling's difficult too


def read_labelme(files: list[Path], top: Path, images: Path | None = None) -> Found:
    """Read a file for each image; raises DatasetError where an animal has a label twice.

    top: the folder that images must be in; images: where those lie that are not where the file
    says. Rectangles give boxes, and their label the category. Other shapes are counted, left out.
    """
    found = Found()
    for path in files:
        content = read_json(path)
        with reading(path):
            file = _image_file(
                path, str(content.get("imagePath") or f"{path.stem}.jpg"), top, images
            )
            size = image_size(file, content.get("imageWidth"), content.get("imageHeight"))
            parts = [part for shape in content["shapes"] for part in _part(shape, found.notes)]
            found.images.append((str(file), size, join_parts(parts)))
    return found


def _image_file(path: Path, given: str, top: Path, images: Path | None) -> Path:
    """Return where the image of a file is; an absolute path of another machine: beside the file."""
    windows = PureWindowsPath(given)  # takes / and \
    file = path.parent / windows.as_posix()
    is_outside = leads_outside(top, os.path.abspath(file))
    if images is not None and (is_outside or not os.path.isfile(file)):
        return images / windows.name
    if windows.anchor and (is_outside or not os.path.isfile(file)):
        return path.parent / windows.name
    if is_outside:
        raise DatasetError(f"imagePath {given!r:.200} leads out of {top}: say --images FOLDER")
    return file


def _part(shape: dict[str, Any], notes: Counter[str]) -> list[Animal]:
    """Return a point or rectangle as part of an animal; nothing for other shapes."""
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type") or ("point" if len(points) == 1 else "polygon")
    label, flags = str(shape["label"]), shape | (shape.get("flags") or {})
    group = None if shape.get("group_id") is None else f"group {shape['group_id']}"
    if kind == "point" and len(points) == 1:
        visible = 1 if any(flags.get(word) is True for word in _HIDDEN) else 2
        return [Animal("", {label: (*points[0], visible)}, group=group)]
    if kind == "rectangle" and len(points) > 1:
        xs, ys = zip(*points, strict=True)
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        return [Animal(label, {}, box, group)]
    notes[f"shapes left out: {kind}"] += 1
    return []
