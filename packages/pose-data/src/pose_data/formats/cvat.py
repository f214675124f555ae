"""CVAT's XML 1.1, of images and of videos: skeletons, points and boxes."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from pose_data.errors import DatasetError
from pose_data.formats.animals import Animal, Found, Mark, Point, group_marks, image_size


def read_cvat(sources: list[Path], images: Path | None = None) -> Found:
    """Read annotations.xml; `images` is needed only where it says no sizes.

    Frames of a video are called frame_000000.PNG, as CVAT exports them. Shapes that are outside are
    not there; occluded points have v 1. Raises DatasetError.
    """
    found = Found(images or Path())
    for path in sources:
        root = _root(path)
        for label in root.iter("label"):
            _add_label(label, found)
        tracked: dict[int, list[ET.Element]] = {}
        for track in root.iter("track"):
            for shape in track:
                shape.attrib = {**track.attrib, **shape.attrib}  # label and group are the track's
                tracked.setdefault(int(shape.get("frame", 0)), []).append(shape)
        size = [root.findtext(f".//original_size/{side}") for side in ("width", "height")]
        frames = [(f"frame_{frame:06d}.PNG", size, tracked[frame]) for frame in sorted(tracked)]
        for image in root.iter("image"):
            name = image.get("name", "").replace("\\", "/")
            frames.append((name, [image.get("width"), image.get("height")], list(image)))
        for name, sides, shapes in frames:
            animals = _animals(shapes, f"{path}: {name}", found)
            found.add(name, image_size(found.folder / name, *sides), animals)
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
        tags = re.findall(r"<(?:circle|line)[^>]*>", label.findtext("svg", ""))
        drawn = [dict(re.findall(r"""([\w-]+)=["']([^"']*)["']""", tag)) for tag in tags]
        node = {d.get("data-node-id"): d.get("data-label-name", "") for d in drawn}
        found.links[name] = [
            (node.get(d["data-node-from"], ""), node.get(d.get("data-node-to"), ""))
            for d in drawn
            if "data-node-from" in d
        ]


def _animals(shapes: list[ET.Element], where: str, found: Found) -> list[Animal]:
    """Return the animals of an image: skeletons with the box of their group, and grouped shapes."""
    marks, skeletons, animals = [], [], []
    for shape in shapes:
        label, group = shape.get("label", ""), shape.get("group_id")
        if shape.tag == "skeleton":
            points = {p.get("label", ""): _points(p, where)[0] for p in shape.iter("points")}
            if any(v for _, _, v in points.values()):
                skeletons.append((Animal(label, points), group))
        elif shape.tag in ("attribute", "tag") or shape.get("outside") == "1":
            continue
        elif shape.tag == "box":
            corners = [float(shape.get(key, "nan")) for key in ("xtl", "ytl", "xbr", "ybr")]
            x, y, right, bottom = corners
            marks.append(Mark(label, group, box=[x, y, right - x, bottom - y]))
        elif shape.tag == "points":
            listed = _points(shape, where)
            if len(listed) == 1:
                marks.append(Mark(label, group, point=listed[0]))
            else:
                animals.append(Animal(label, {f"point_{i}": p for i, p in enumerate(listed, 1)}))
        else:
            found.notes[f"shapes left out: {shape.tag}"] += 1
    for animal, group in skeletons:
        boxes = [mark for mark in marks if mark.box and group and mark.group == group]
        marks = [mark for mark in marks if mark not in boxes]
        animals.append(animal._replace(box=boxes[0].box if boxes else None))
    return animals + group_marks(marks, where)


def _points(shape: ET.Element, where: str) -> list[Point]:
    visible = 0 if shape.get("outside") == "1" else 1 if shape.get("occluded") == "1" else 2
    try:
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
        return [(float(x), float(y), visible) if visible else (0, 0, 0) for x, y in pairs]
    except ValueError:
        raise DatasetError(f"{where}: points must be x,y;x,y, got {shape.get('points')}") from None
