"""CVAT's XML 1.1, of images and of videos: skeletons, points and boxes."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

from pose_data.errors import DatasetError, reading
from pose_data.formats.animals import Animal, Found, Point, image_size, join_parts
from pose_data.images.missing import inside


def read_cvat(files: list[Path], images: Path | None = None) -> Found:
    """Read annotations.xml; `images` is needed only for sizes that it lacks.

    Frames of a video are called frame_000000.PNG, as CVAT exports them. Shapes marked as
    outside do not exist; occluded points have v 1. Raises DatasetError.
    """
    folder = images or Path()
    found = Found(folder)
    for path in files:
        root = _root(path)
        for label in root.iter("label"):
            _add_label(label, found)
        tracked: dict[str, list[ET.Element]] = {}
        for track in root.iter("track"):
            for shape in track:
                shape.attrib = {**track.attrib, **shape.attrib}  # label and group are the track's
                tracked.setdefault(f"frame_{shape.get('frame', ''):0>6}.PNG", []).append(shape)
        if tracked and len(files) > 1:
            raise DatasetError("videos one at a time, then `pose-data merge --prefix`")
        size = [root.findtext(f".//original_size/{side}") for side in ("width", "height")]
        frames = [(name, size, tracked[name]) for name in sorted(tracked)]
        for image in root.iter("image"):
            name = image.get("name", "").replace("\\", "/")
            frames.append((name, [image.get("width"), image.get("height")], list(image)))
        for name, sides, shapes in frames:
            with reading(f"{path} image {name}"):
                numbered = enumerate(shapes)
                parts = [part for i, each in numbered for part in _parts(each, i, found.notes)]
                size_of = image_size(inside(folder, name), *sides)
                found.images.append((name, size_of, join_parts(parts)))
    return found


def _root(path: Path) -> ET.Element:
    """Parse a file; documents that declare entities could grow without bound, and are refused."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if re.search("<!(DOCTYPE|ENTITY)", text):
            raise DatasetError(f"{path} has a document type declaration: CVAT writes none")
        return ET.fromstring(text)
    except (OSError, UnicodeDecodeError, ET.ParseError) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error


def _add_label(label: ET.Element, found: Found) -> None:
    """Add a keypoint's name to those of its skeleton, or the links of a skeleton."""
    name, parent = label.findtext("name", ""), label.findtext("parent")
    if parent:
        names = found.keypoints.setdefault(parent, [])
        names += [name] if name not in names else []
    if label.findtext("type") == "skeleton":
        found.keypoints.setdefault(name, [])
        tags = re.findall(r"<(?:circle|line)[^<>]*>", label.findtext("svg", ""))
        drawn = [dict(re.findall(r"""(?<![\w-])([\w-]+)=["']([^"']*)["']""", tag)) for tag in tags]
        node = {d.get("data-node-id"): d.get("data-label-name", "") for d in drawn}
        found.links[name] = [
            (node.get(d["data-node-from"], ""), node.get(d.get("data-node-to"), ""))
            for d in drawn
            if "data-node-from" in d
        ]


def _parts(shape: ET.Element, number: int, notes: Counter[str]) -> list[Animal]:
    """Return a shape as parts of animals: a skeleton, a point, a box, or several points."""
    label, group = shape.get("label", ""), shape.get("group_id")
    if shape.tag == "skeleton":
        points = {p.get("label", ""): _points(p)[0] for p in shape.iter("points")}
        is_there = any(v for _, _, v in points.values())
        return [Animal(label, points, group=group or f"shape {number}")] if is_there else []
    if shape.tag in ("attribute", "tag") or shape.get("outside") == "1":
        return []
    if shape.tag == "box":
        x, y, right, bottom = (float(shape.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        return [Animal(label, {}, [x, y, right - x, bottom - y], group)]
    if shape.tag == "points":
        listed = _points(shape)
        if len(listed) == 1:
            return [Animal("", {label: listed[0]}, group=group)]
        points = {f"point_{i}": point for i, point in enumerate(listed, 1)}
        return [Animal(label, points, group=group or f"shape {number}")]
    notes[f"shapes left out: {shape.tag}"] += 1
    return []


def _points(shape: ET.Element) -> list[Point]:
    visible = 0 if shape.get("outside") == "1" else 1 if shape.get("occluded") == "1" else 2
    pairs = [pair.split(",") for pair in shape.attrib["points"].split(";")]
    return [(float(x), float(y), visible) if visible else (0, 0, 0) for x, y in pairs]
