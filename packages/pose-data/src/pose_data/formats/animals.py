"""What the readers of foreign formats share: animals with named points become a COCO file."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pose_data.errors import DatasetError
from pose_data.fix import fixed
from pose_data.images.headers import read_header

Point = tuple[float, float, int]  # x, y in pixels; COCO's visibility


class Animal(NamedTuple):
    """An animal, person or thing in an image; box is x, y, w, h.

    category "" stands for the only one that others name, else "object".
    """

    category: str
    points: dict[str, Point]
    box: list[float] | None = None


class Mark(NamedTuple):
    """A labelled point or a box; marks of the same group belong to one animal."""

    label: str
    group: str | None
    point: Point | None = None
    box: list[float] | None = None


@dataclass
class Found:
    """What a reader found, filled image by image.

    folder: what the images' names are relative to; None where they are paths. keypoints and links
    (two names each) are by category; other points are put behind them. notes: what was left out.
    """

    folder: Path | None = None
    images: dict[str, tuple[tuple[int, int], list[Animal]]] = field(default_factory=dict)
    keypoints: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, size: tuple[int, int], animals: list[Animal]) -> None:
        """Add an image and its animals; raises DatasetError where its name is there already."""
        if name in self.images:
            raise DatasetError(
                f"{name} stands for two images: convert one source at a time, then `pose-data "
                "merge --prefix`"
            )
        self.images[name] = (size, animals)


def coco_content(found: Found, names: list[str] | None = None) -> dict[str, Any]:
    """Return the content of a COCO file, and set `found.folder`; see `fixed` for what is derived.

    names: the keypoints of every category, in their order; other points are left out. Raises
    DatasetError where there are no labelled keypoints.
    """
    if found.folder is None:
        paths = {name: os.path.abspath(name) for name in found.images}
        found.folder = Path(os.path.commonpath([os.path.dirname(p) for p in paths.values()]))
        known = {paths[name]: value for name, value in found.images.items()}
        found.images = {Path(os.path.relpath(p, found.folder)).as_posix(): known[p] for p in known}
    everyone = [animal for _, animals in found.images.values() for animal in animals]
    titles = {animal.category for animal in everyone} - {""}
    other = titles.pop() if len(titles) == 1 else "object"
    keypoints = {title: list(names or listed) for title, listed in found.keypoints.items()}
    for animal in everyone:
        own = keypoints.setdefault(animal.category or other, list(names or []))
        more = [name for name in animal.points if name not in own]
        found.notes.update(f"points {name} left out" for name in more if names)
        own += [] if names else more
    chosen = [title for title, listed in keypoints.items() if listed]
    rows = []
    for number, (_, animals) in enumerate(found.images.values(), 1):
        for animal in animals:
            title = animal.category or other
            points = [animal.points.get(name, (0, 0, 0)) for name in keypoints[title]]
            row = {"image_id": number, "keypoints": [_short(v) for p in points for v in p]}
            row["bbox"] = animal.box and [_short(v) for v in animal.box]
            if title not in chosen or not (animal.box or sum(v > 0 for _, _, v in points) > 1):
                found.notes["objects left out: no keypoints, or one and no box"] += 1
            else:
                rows.append(row | {"category_id": chosen.index(title) + 1})
    if not any(any(row["keypoints"]) for row in rows):
        raise DatasetError(f"{found.folder}: no labelled keypoints found")
    images = [
        {"id": i, "file_name": name, "width": size[0], "height": size[1]}
        for i, (name, (size, _)) in enumerate(found.images.items(), 1)
    ]
    categories = []
    for number, title in enumerate(chosen, 1):
        own = {name: place for place, name in enumerate(keypoints[title], 1)}
        links = [[own[a], own[b]] for a, b in found.links.get(title, []) if a in own and b in own]
        categories.append(
            {"id": number, "name": title, "keypoints": keypoints[title], "skeleton": links}
        )
    content, done = fixed({"images": images, "annotations": rows, "categories": categories})
    found.notes += Counter({key: n for key, n in done.items() if "ids" not in key})
    return content


def group_marks(marks: list[Mark], where: str) -> list[Animal]:
    """Return the animals of an image: one for each group, and one for all marks without a group.

    Boxes without a group are animals of their own where no point lacks one. Raises DatasetError
    where a label or a box stands twice in a group.
    """
    lone_boxes = not any(mark.point for mark in marks if mark.group is None)
    groups: dict[str, list[Mark]] = {}
    for place, mark in enumerate(marks):
        key = mark.group or (f"box {place}" if lone_boxes else "")
        groups.setdefault(key, []).append(mark)
    animals = []
    for members in groups.values():
        points = {mark.label: mark.point for mark in members if mark.point}
        boxes = [mark for mark in members if mark.box]
        if len(points) + len(boxes) < len(members) or len(boxes) > 1:
            (label, _), *_ = Counter(mark.label for mark in members).most_common()
            raise DatasetError(
                f"{where}: {label!r} stands twice in one animal: give the points and the box of "
                "each a group id of their own"
            )
        title, box = (boxes[0].label, boxes[0].box) if boxes else ("", None)
        animals.append(Animal(title, points, box))
    return animals


def image_size(path: Path, width: Any = None, height: Any = None) -> tuple[int, int]:
    """Return the given size, else that of the image, upright where EXIF turns it.

    Labelling tools show images upright, so that their coordinates are of those.
    """
    if width and height:
        return int(width), int(height)
    header = read_header(path)
    size = (header.width, header.height)
    return size[::-1] if header.orientation > 4 else size  # 5 to 8: a quarter turn


def _short(value: float) -> float:
    return int(value) if value == int(value) else round(float(value), 3)
