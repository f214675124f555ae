"""Shared by the readers of other formats: animals with named points become a COCO file."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pose_data.errors import DatasetError
from pose_data.fix import repair
from pose_data.formats.annotations import MAX_SIDE
from pose_data.formats.records import LARGEST
from pose_data.images.headers import read_header, upright_size
from pose_data.skeleton import named_twice

Point = tuple[float, float, int]  # x, y in pixels; COCO's visibility


class Animal(NamedTuple):
    """An animal, person or thing in an image, or a part of one; box is x, y, w, h.

    category "": the only one that others name, else "object". Parts that belong together
    have the same group, see `join_parts`.
    """

    category: str
    points: dict[str, Point]
    box: list[float] | None = None
    group: str | None = None


@dataclass
class Found:
    """What a reader found, filled image by image: name, (width, height), animals.

    folder: what the names are relative to; None where they are paths. keypoints and links (two
    names each) are by category; other points are put behind them. notes: what was left out.
    """

    folder: Path | None = None
    images: list[tuple[str, tuple[int, int], list[Animal]]] = field(default_factory=list)
    keypoints: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)


def coco_content(found: Found, names: list[str] | None = None) -> dict[str, Any]:
    """Return the content of a COCO file, and set `found.folder`; see `repair` for what is derived.

    names: the keypoints of every category, in their order; other points are left out. Raises
    DatasetError where there are no labelled keypoints.
    """
    file_names = [name for name, _, _ in found.images]
    if found.folder is None:
        paths = [Path(os.path.abspath(name)) for name in file_names]
        found.folder = Path(os.path.commonpath([path.parent for path in paths]))
        file_names = [path.relative_to(found.folder).as_posix() for path in paths]
    everyone = [animal for _, _, animals in found.images for animal in animals]
    titles = {animal.category for animal in everyone} - {""}
    other = titles.pop() if len(titles) == 1 else "object"
    keypoints = {title: list(names or listed) for title, listed in found.keypoints.items()}
    for animal in everyone:
        own = keypoints.setdefault(animal.category or other, list(names or []))
        more = [name for name in animal.points if name not in own]
        found.notes.update(f"points {name} left out" for name in more if names)
        own += [] if names else more
    number_of = {title: n for n, title in enumerate((t for t in keypoints if keypoints[t]), 1)}
    images, rows, categories = [], [], []
    for number, (name, (_, size, animals)) in enumerate(zip(file_names, found.images, strict=True)):
        images.append({"id": number + 1, "file_name": name, "width": size[0], "height": size[1]})
        for animal in animals:
            title = animal.category or other
            points = [animal.points.get(name, (0, 0, 0)) for name in keypoints[title]]
            if not points or not (animal.box or sum(v > 0 for _, _, v in points) > 1):
                found.notes["objects left out: no keypoints, or one and no box"] += 1
                continue
            values = [*(animal.box or ()), *(v for x, y, _ in points for v in (x, y))]
            if not all(abs(value) <= LARGEST for value in values):  # or NaN
                raise DatasetError(f"{name}: a coordinate is no number, or beyond {LARGEST:g}")
            row = {"image_id": number + 1, "category_id": number_of[title], "bbox": animal.box}
            rows.append({**row, "keypoints": [round(v, 3) for point in points for v in point]})
    if not any(point[2] for animal in everyone for point in animal.points.values()):
        raise DatasetError(f"{found.folder}: no labelled keypoints found")
    for title, number in number_of.items():
        if twice := named_twice(keypoints[title]):
            raise DatasetError(f"{found.folder}: {title} has two keypoints called {twice!r}")
        place = {name: n for n, name in enumerate(keypoints[title], 1)}
        links = [[place.get(name) for name in link] for link in found.links.get(title, [])]
        category = {"id": number, "name": title, "keypoints": keypoints[title]}
        categories.append(category | {"skeleton": [link for link in links if None not in link]})
    content, done = repair({"images": images, "annotations": rows, "categories": categories})
    found.notes.update({what: n for what, n in done.items() if " ids " not in what})
    return content


def join_parts(parts: list[Animal]) -> list[Animal]:
    """Return the animals of an image: one for each group, and one of all parts without a group.

    Boxes without a group are animals of their own where no point lacks one. Raises DatasetError
    where a keypoint or a box occurs twice in a group.
    """
    lone_boxes = not any(part.points for part in parts if part.group is None)
    groups: dict[str, list[Animal]] = {}
    for place, part in enumerate(parts):
        key = part.group or (f"box {place}" if lone_boxes else "")
        groups.setdefault(key, []).append(part)
    animals = []
    for members in groups.values():
        boxes = [member.box for member in members if member.box]
        names = Counter(["a box"] * len(boxes) + [name for m in members for name in m.points])
        if names.total() > len(names):
            text = f"{names.most_common(1)[0][0]} occurs twice in one animal: give the points and "
            raise DatasetError(f"{text}the box of each a group id of their own")
        title = next((member.category for member in members if member.category), "")
        points = {name: point for m in members for name, point in m.points.items()}
        animals.append(Animal(title, points, boxes[0] if boxes else None))
    return animals


def image_size(path: Path, width: Any = None, height: Any = None) -> tuple[int, int]:
    """Return the given size, else that of the image as it is seen: EXIF turns it by then.

    Labelling tools show images so, and their coordinates are of what they show.
    """
    if width and height:
        size = int(width), int(height)
        if not all(1 <= side <= MAX_SIDE for side in size):
            text = f"{path}: width and height must be 1 to {MAX_SIDE}, got {width} x {height}"
            raise DatasetError(text)
        return size
    return upright_size(read_header(path))
