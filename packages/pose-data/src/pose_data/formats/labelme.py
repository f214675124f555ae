"""LabelMe: a JSON file for each image; points by label, `group_id` joins those of one animal."""

from collections import Counter
from pathlib import Path, PureWindowsPath
from typing import Any

from pose_data.errors import DatasetError
from pose_data.formats.animals import Found, Mark, group_marks, image_size
from pose_data.formats.foreign import kind_of
from pose_data.formats.json import read_json

_HIDDEN = ("occluded", "hidden", "invisible", "difficult")  # flags; X-AnyLabeling's difficult too


def read_labelme(sources: list[Path]) -> Found:
    """Read files, or all of folders; raises DatasetError where an animal has a label twice.

    Rectangles give boxes, and their label the category. Other shapes are counted and left out.
    """
    found = Found()
    for path in [p for s in sources for p in (sorted(s.rglob("*.json")) if s.is_dir() else [s])]:
        if kind_of(path) != "labelme":
            found.notes["files left out: not LabelMe's"] += 1
            continue
        content = read_json(path)
        picture = _picture(path, str(content.get("imagePath") or path.with_suffix(".jpg").name))
        size = image_size(picture, content.get("imageWidth"), content.get("imageHeight"))
        shapes = enumerate(content["shapes"])
        marks = [_mark(shape, f"{path} shape {i}", found.notes) for i, shape in shapes]
        found.add(str(picture), size, group_marks([mark for mark in marks if mark], str(path)))
    if not found.images:
        raise DatasetError(f"{sources[0]}: no LabelMe files")
    return found


def _picture(path: Path, given: str) -> Path:
    """Return where the image of a file is; an absolute path of another machine: beside the file."""
    windows = PureWindowsPath(given)  # takes / and \
    picture = path.parent / windows.as_posix()
    return path.parent / windows.name if windows.anchor and not picture.is_file() else picture


def _mark(shape: Any, where: str, notes: Counter[str]) -> Mark | None:
    """Return the point or box of a shape; None for other kinds."""
    try:
        points = [(float(x), float(y)) for x, y in shape["points"]]
        kind = shape.get("shape_type") or ("point" if len(points) == 1 else "polygon")
        label, flags = str(shape["label"]), shape | (shape.get("flags") or {})
    except (KeyError, TypeError, ValueError):
        raise DatasetError(f"{where} needs a label and points [x, y]") from None
    group = None if shape.get("group_id") is None else f"group {shape['group_id']}"
    if kind == "point" and len(points) == 1:
        visible = 1 if any(flags.get(word) is True for word in _HIDDEN) else 2
        return Mark(label, group, point=(*points[0], visible))
    if kind == "rectangle" and len(points) > 1:
        xs, ys = zip(*points, strict=True)
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        return Mark(label, group, box=box)
    notes[f"shapes left out: {kind}"] += 1
    return None
