"""What JSON files say of the pictures to predict: people's boxes, ids and sizes, by file name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_data.formats.json import read_json
from pose_train.config import ConfigError
from pose_train.inputs import Input, without_suffix

Boxes = NDArray[np.float32]  # (P, 5) x1, y1, x2, y2, score
Size = tuple[int, int]  # (w, h)

PERSON = 1  # COCO's category


@dataclass(frozen=True)
class PictureFile:
    """An annotation or results file, by the names that it has for pictures.

    boxes: of each picture (frame None), or of frames of videos. images: ids and sizes (None where
    not given), of annotation files. category_id: of its people. notices: what was left out.
    """

    path: Path
    boxes: dict[str, dict[int | None, Boxes]] = field(default_factory=dict)
    images: dict[str, tuple[int, Size | None]] = field(default_factory=dict)
    category_id: int = PERSON
    notices: tuple[str, ...] = ()


class Known(NamedTuple):
    """What is known of an input: boxes by frame (None for a picture's), image id, stored size."""

    boxes: Mapping[int | None, Boxes] = {}
    image_id: int | None = None
    size: Size | None = None


def read_boxes(path: Path, min_score: float = 0.0) -> PictureFile:
    """Read boxes from a COCO annotation or results file; raises DatasetError naming the row.

    Rows have `bbox` (x, y, w, h), perhaps `score`, and `file_name`, in videos with `frame` (from
    0), or `image_id`: one of the file's `images`, else a number or text that is the picture's name
    without its suffix (leading zeros aside). Left out, with a notice: crowds, empty boxes, and
    where the rows are of several categories, those that are not of people: of a category with
    keypoints, else of one called person, else of id 1.
    """
    content = read_json(path)
    images, categories = _images(content, path), _categories(content, path)
    rows = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DatasetError(f"{path} must be a list of boxes or a COCO annotation file")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DatasetError(f"{path} row {number} must be an object with bbox, got {row!r:.60}")
        for key in ("image_id", "category_id", "file_name"):
            if isinstance(row.get(key), list | dict):
                raise DatasetError(f"{path} row {number}: {key} must be a number or text")
    wanted = _people(categories, {row.get("category_id", PERSON) for row in rows}, path)
    name_of = {image_id: name for name, (image_id, _) in images.items()}
    boxes: dict[str, dict[int | None, list[list[float]]]] = {name: {} for name in images}
    left = dict.fromkeys(("of other categories", "of crowds", "without an area"), 0)
    for number, row in enumerate(rows):
        name, frame, box = _row(row, name_of, f"{path} row {number}")
        if row.get("category_id", PERSON) not in wanted:
            left["of other categories"] += 1
        elif row.get("iscrowd"):
            left["of crowds"] += 1
        elif box[2] <= box[0] or box[3] <= box[1]:
            left["without an area"] += 1
        elif box[4] >= min_score:
            boxes.setdefault(name, {}).setdefault(frame, []).append(box)
    return PictureFile(
        path,
        {
            name: {frame: np.array(each, np.float32) for frame, each in found.items()}
            for name, found in boxes.items()
        },
        images,
        _category(categories),
        tuple(f"{path}: left out {n} box{'es' * (n > 1)} {what}" for what, n in left.items() if n),
    )


def read_ids(path: Path) -> PictureFile:
    """Read the images and the category of an annotation file; raises DatasetError."""
    content = read_json(path)
    if not isinstance(content, dict) or not content.get("images"):
        raise DatasetError(f"{path} must be a COCO annotation file with `images`")
    images = _images(content, path)
    return PictureFile(path, {}, images, _category(_categories(content, path)))


def _images(content: Any, path: Path) -> dict[str, tuple[int, Size | None]]:
    listed = content.get("images", []) if isinstance(content, dict) else []
    found: dict[str, tuple[int, Size | None]] = {}
    for number, image in enumerate(listed):
        try:
            name, image_id = str(image["file_name"]), int(image["id"])
            size = int(image.get("width") or 0), int(image.get("height") or 0)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise DatasetError(
                f"{path} image {number} must be an object with id and file_name, got {image!r:.60}"
            ) from None
        if name in found:
            raise DatasetError(f"{path} image {number}: {name} stands there for the second time")
        found[name] = image_id, size if all(size) else None
    return found


def _categories(content: Any, path: Path) -> list[dict[str, Any]]:
    categories = content.get("categories", []) if isinstance(content, dict) else []
    if any(not isinstance(each, dict) or "id" not in each for each in categories):
        raise DatasetError(f"{path}: `categories` must be objects with an id")
    return list(categories)


def _category(categories: Sequence[Mapping[str, Any]]) -> int:
    """Return the id of the first category with keypoints, which result rows must carry."""
    return next((int(each["id"]) for each in categories if each.get("keypoints")), PERSON)


def _people(categories: Sequence[Mapping[str, Any]], used: set[Any], path: Path) -> set[Any]:
    """Return which of the categories that rows have are people's."""
    if len(used) <= 1:
        return used
    with_keypoints = {each["id"] for each in categories if each.get("keypoints")}
    people = {each["id"] for each in categories if each.get("name") == "person"}
    wanted = with_keypoints or people or {PERSON}
    if not wanted & used:
        raise DatasetError(
            f"{path} has boxes of the categories {', '.join(sorted(map(str, used)))}; "
            f"{PERSON} would be people, as in COCO"
        )
    return wanted


def _row(
    row: Mapping[str, Any], names: Mapping[Any, str], where: str
) -> tuple[str, int | None, list[float]]:
    """Return the name of the row's picture or video, the frame, and x1, y1, x2, y2, score."""
    name = row.get("file_name", names.get(row.get("image_id"), row.get("image_id")))
    if name is None:
        raise DatasetError(f"{where} has neither file_name nor image_id")
    frame = row.get("frame")
    if not (frame is None or isinstance(frame, int)):
        raise DatasetError(f"{where}: frame must be a number from 0, got {frame!r:.60}")
    try:
        x, y, w, h = map(float, row.get("bbox"))  # type: ignore[arg-type]
        score = float(row.get("score", 1.0))
    except (TypeError, ValueError):
        raise DatasetError(
            f"{where}: bbox must be x, y, width, height, got {row.get('bbox')!r:.60}"
        ) from None
    if not np.isfinite([x, y, w, h, score]).all():
        raise DatasetError(f"{where}: the box {[x, y, w, h]} or its score {score} is not finite")
    return str(name), frame, [x, y, x + w, y + h, score]


def known_of(file: PictureFile, inputs: Sequence[Input]) -> list[Known | None]:
    """Return what a file says of each input, None for those that it does not name.

    A name belongs to the input whose path agrees with most of it, from its end on. Raises
    ConfigError where that is not one input, or where no name is of any.
    """
    names = list(file.boxes | file.images)
    chosen = _match(names, inputs, file.path)
    if names and inputs and not chosen:
        raise ConfigError(
            f"{file.path} names none of the inputs: it has {names[0]}, the first is "
            f"{inputs[0].name}"
        )
    known: list[Known | None] = []
    for place in range(len(inputs)):
        name = chosen.get(place)
        image_id, size = file.images.get(name or "", (None, None))
        known.append(None if name is None else Known(file.boxes.get(name, {}), image_id, size))
    return known


def _match(names: Iterable[str], inputs: Sequence[Input], path: Path) -> dict[int, str]:
    """Return which name each of the inputs has; those without one are left out."""
    same_stem: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(inputs):
        same_stem[key_of(entry.path.name)].append(place)
    offers: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for name in names:
        places = same_stem.get(key_of(name), [])
        rated = [(_agreement(name, inputs[place]), place) for place in places]
        best = [place for rate, place in rated if rate == max(rated)[0]]
        if len(best) > 1:
            given = " or ".join(inputs[place].path.as_posix() for place in best[:2])
            raise ConfigError(f"{path}: {name} could be {given}; name folders in the file, too")
        for place in best:
            offers[place].append((_agreement(name, inputs[place]), name))
    chosen = {}
    for place, rated_names in offers.items():
        best_names = [name for rate, name in rated_names if rate == max(rated_names)[0]]
        if len(best_names) > 1:
            own = inputs[place].path.as_posix()
            raise ConfigError(f"{path}: {own} could be {' or '.join(best_names[:2])}")
        chosen[place] = best_names[0]
    return chosen


def _agreement(name: str, entry: Input) -> float:
    """Count the parts, from the end, in which a name agrees with a path; more for a whole one."""
    parts, own = PurePosixPath(name).parts, entry.path.absolute().parts
    count = 1
    while count < min(len(parts), len(own)) and parts[-1 - count] == own[-1 - count]:
        count += 1
    is_whole = count == len(parts)
    return 1000 * is_whole + count + 0.5 * (parts[-1] == own[-1]) + 0.25 * (name == entry.name)


def key_of(name: str) -> str:
    """Return a picture's name without folder, suffix and leading zeros: 000000000785.jpg is 785."""
    stem = without_suffix(PurePosixPath(name).name)
    return stem.lstrip("0") or stem
