"""Boxes, ids and sizes in JSON files, and which images and videos they belong to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_data.check.annotations import FEW, look_like_corners
from pose_data.findings import Findings
from pose_data.formats.json import read_json
from pose_data.formats.records import Rows, whole_number
from pose_data.images.headers import read_header, upright_size
from pose_train.config.schema import ConfigError
from pose_train.files.inputs import Input, without_suffix
from pose_train.files.video import read_frames

Boxes = NDArray[np.float64]  # (P, 6) x1, y1, x2, y2, score, category
Size = tuple[int, int]  # (w, h)
ImageId = int | str
Frame = int | None  # from 0; None of an image
Ids = dict[str, dict[Frame, ImageId]]
T = TypeVar("T")

PERSON = 1  # COCO's category
ENOUGH = 200  # boxes by which a file is judged


@dataclass(frozen=True)
class ImageFile:
    """An annotation or results file, by the names that it has for images and videos.

    boxes, ids: of each frame. sizes: of images, where an annotation file gives them. categories:
    those with keypoints, and how many. notices: what was left out.
    """

    path: Path
    boxes: Mapping[str, Mapping[Frame, Boxes]] = field(default_factory=dict)
    ids: Mapping[str, Mapping[Frame, ImageId]] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    categories: Mapping[int, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def fitting(self, num_keypoints: int | None) -> list[int]:
        """Return the categories of so many keypoints, all of them where there are none."""
        fit = [i for i, count in self.categories.items() if count == num_keypoints]
        return fit or list(self.categories)


class Known(NamedTuple):
    """What is known of an input: boxes and ids by frame, and the stored size of an image."""

    boxes: Mapping[Frame, Boxes] = {}
    ids: Mapping[Frame, ImageId] = {}
    size: Size | None = None


def read_boxes(
    path: Path,
    min_score: float = 0.0,
    gt: ImageFile | None = None,
    num_keypoints: int | None = None,
) -> ImageFile:
    """Read boxes from a COCO annotation or results file; raises DatasetError naming the row.

    Rows have `bbox` (x, y, w, h), perhaps `score`, and `file_name`, in videos with `frame` (from
    0), or `image_id`: one of the file's `images`, else a number or text that is the image's name
    without its suffix (leading zeros aside). null is the same as missing. Left out, with a notice:
    scores below min_score, crowds, empty boxes, and where the rows are of several categories, those
    that are not of people: of a category with keypoints (num_keypoints of them, if there is one),
    in gt or in this file, else of one called person, else of id 1.
    """
    if np.isnan(min_score):
        raise ConfigError("--box-score must be a number, got nan")
    content = read_json(path)
    (image_ids, sizes), categories = _images(content, path), _categories(content, path)
    records = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise DatasetError(f"{path} must be a list of boxes or a COCO annotation file")
    rows = Rows(records, f"{path} row", 0, Findings(is_strict=True))
    corners, score, category, is_crowd = _columns(rows)
    own = ImageFile(path, categories=_keypoint_counts(categories))
    fit = next((f for f in (gt, own) if f and f.categories), own).fitting(num_keypoints)
    left_out = {
        "of other categories": ~np.isin(category, _people(categories, fit, category, path)),
        "of crowds": is_crowd,
        "without an area": (corners[:, 2:] <= corners[:, :2]).any(axis=1),
        f"with a score below {min_score:g} (--box-score)": score < min_score,
    }
    _check_fractions(corners[~left_out["without an area"]], path)
    is_left_out, notices = np.zeros(len(rows), bool), []
    for reason, which in left_out.items():
        if number := int((which & ~is_left_out).sum()):
            notices.append(f"left out {number} box{'es' * (number > 1)} {reason}")
        is_left_out |= which
    category = np.where(np.isin(category, fit), category, fit[0] if fit else PERSON)
    lines = np.column_stack([corners, score, category])  # (R, 6)
    places, ids = _places(rows, image_ids)
    found: dict[str, dict[Frame, list[Any]]] = {name: {} for name in image_ids}
    for (name, frame), line, is_left in zip(places, lines, is_left_out, strict=True):
        frames = found.setdefault(name, {})
        if not is_left:
            frames.setdefault(frame, []).append(line)
    boxes = {name: {k: np.array(v) for k, v in frames.items()} for name, frames in found.items()}
    counts = Counter(image_id for frames in ids.values() for image_id in frames.values())
    if shared := [image_id for image_id, number in counts.items() if number > 1]:
        ids = {}
        notices.append(
            f"image_id {shared[0]} is of several images or frames: these are numbered from 1"
        )
    texts = tuple(f"{path}: {notice}" for notice in notices)
    return ImageFile(path, boxes, image_ids | ids, sizes, own.categories, texts)


def read_ids(path: Path) -> ImageFile:
    """Read the images and the categories of an annotation file; raises DatasetError."""
    content = read_json(path)
    if not isinstance(content, dict) or not content.get("images"):
        raise DatasetError(f"{path} must be a COCO annotation file with `images`")
    ids, sizes = _images(content, path)
    return ImageFile(path, {}, ids, sizes, _keypoint_counts(_categories(content, path)))


def _listed(content: Any, key: str, path: Path) -> Rows:
    listed = (content.get(key) if isinstance(content, dict) else None) or []
    if not isinstance(listed, list):
        raise DatasetError(f"{path}: `{key}` must be a list")
    what = {"images": "image", "categories": "category"}[key]
    return Rows(listed, f"{path} {what}", 0, Findings(is_strict=True))


def _images(content: Any, path: Path) -> tuple[Ids, dict[str, Size]]:
    """Return the ids of an annotation file's images, and the sizes of those that have one."""
    rows = _listed(content, "images", path)
    numbers = [rows.integers(key, required=key == "id")[0] for key in ("id", "width", "height")]
    ids: Ids = {}
    sizes: dict[str, Size] = {}
    name_of: dict[int, str] = {}
    for i, name in enumerate(rows.texts("file_name")):
        image_id, w, h = (int(column[i]) for column in numbers)
        if ids.setdefault(name, {None: image_id}) != {None: image_id}:
            raise DatasetError(f"{path} image {i}: {name} is listed twice, with two ids")
        if name_of.setdefault(image_id, name) != name:
            raise DatasetError(f"{path} image {i}: the id {image_id} is used twice")
        if min(w, h) > 0:
            sizes[name] = w, h
    return ids, sizes


def _categories(content: Any, path: Path) -> dict[int, dict[str, Any]]:
    rows = _listed(content, "categories", path)
    ids = rows.integers("id", text=True)[0].tolist()
    return dict(zip(ids, rows.records, strict=True))


def _keypoint_counts(categories: Mapping[int, Mapping[str, Any]]) -> dict[int, int]:
    """Return the categories with keypoints, and how many these are."""
    names = {i: each.get("keypoints") for i, each in categories.items()}
    return {i: len(own) for i, own in names.items() if own and isinstance(own, list)}


def _columns(
    rows: Rows,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return corners (R, 4), scores (R,), categories (R,) and which rows are crowds (R,)."""
    flat, _, lacks_box = rows.lists("bbox", 4)
    for i in np.flatnonzero(lacks_box).tolist():
        rows.refuse(i, "bbox is missing")
    corners = flat.reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    score, lacks_score = rows.scalars("score")
    category, lacks_category = rows.integers("category_id", required=False, text=True)
    category[lacks_category] = PERSON
    return corners, np.where(lacks_score, 1.0, score), category, rows.flags("iscrowd")[0]


def _people(
    categories: Mapping[int, Mapping[str, Any]],
    fit: Sequence[int],
    of_rows: NDArray[np.int64],
    path: Path,
) -> list[int]:
    """Return which of the categories that rows have are people's; fit: those with keypoints."""
    used = np.unique(of_rows).tolist()
    if len(used) <= 1:
        return used
    named = [i for i, each in categories.items() if each.get("name") == "person"]
    for wanted in (fit, named, [PERSON]):
        if set(wanted) & set(used):
            return list(wanted)
    raise DatasetError(
        f"{path} has boxes of the categories {', '.join(map(str, used))}; "
        f"{', '.join(map(str, fit or named or [PERSON]))} would be people"
    )


def _places(rows: Rows, image_ids: Ids) -> tuple[list[tuple[str, Frame]], Ids]:
    """Return the name and the frame of each row, and the ids of names that image_ids lacks."""
    name_of: dict[ImageId | None, str] = {own[None]: name for name, own in image_ids.items()}
    frames, lacks_frame = rows.integers("frame", required=False)
    names, lacks_name = rows.column("file_name")
    places: list[tuple[str, Frame]] = []
    ids: Ids = {}
    for i, raw in enumerate(rows.column("image_id")[0]):
        frame = None if lacks_frame[i] else int(frames[i])
        number = whole_number(raw, text=True)
        image_id = raw if number is None and isinstance(raw, str) else number
        if image_id is None and raw is not None:
            rows.refuse(i, f"image_id must be a number or text, got {raw!r:.60}")
        if not (lacks_name[i] or isinstance(names[i], str)):
            rows.refuse(i, f"file_name must be text, got {names[i]!r:.60}")
        if lacks_name[i] and raw is None:
            rows.refuse(i, "has neither file_name nor image_id")
        if frame is not None and frame < 0:
            rows.refuse(i, f"frame must be a number from 0, got {frame}")
        text = raw if isinstance(raw, str) else str(image_id)
        name = name_of.get(image_id, text) if lacks_name[i] else names[i]
        places.append((name, frame))
        is_video = frame is not None and lacks_name[i]  # whose name the id is
        if not (image_id is None or is_video or name in image_ids):
            known = ids.setdefault(name, {}).setdefault(frame, image_id)
            if known != image_id:
                rows.refuse(i, f"{name} has the image_id {image_id}, in a row before {known}")
    return places, ids


def _check_fractions(corners: NDArray[np.float64], path: Path) -> None:
    largest = np.abs(corners).max(initial=0)
    if 0 < largest <= 1.5:
        raise DatasetError(
            f"{path}: the boxes are fractions of the image (none reaches beyond {largest:.3g}): "
            "multiply them by its width and height, bbox is x, y, width, height in pixels"
        )


def check_corners(
    file: ImageFile, inputs: Sequence[Input], known: Sequence[Known | None]
) -> list[str]:
    """Raise DatasetError for boxes that are x1, y1, x2, y2; returns notices where they are few."""
    boxes, sizes = [np.empty((0, 4))], [np.empty((0, 2))]
    for entry, facts in zip(inputs, known, strict=True):
        if facts and facts.boxes and sum(map(len, boxes)) < ENOUGH:
            size = facts.size or _size(entry)
            boxes += [each[:, :4] for each in facts.boxes.values()]
            sizes += [np.tile(size, (len(each), 1)) for each in facts.boxes.values()]
    corners, wh = np.concatenate(boxes), np.concatenate(sizes)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    # As corners they are in their images, where boxes that just are too wide would not be.
    if not len(xywh) or not look_like_corners(xywh, wh) or (xywh[:, 2:] > wh + 2).any():
        return []
    first = int(np.argmax((corners[:, 2:] > wh + 2).any(axis=1)))
    text = (
        f"{file.path}: boxes reach beyond their images and look like x1, y1, x2, y2, such as "
        f"{xywh[first].tolist()} in {wh[first, 0]:g}x{wh[first, 1]:g}; bbox is x, y, width, height"
    )
    if len(xywh) >= FEW:
        raise DatasetError(f"{text}: give x2 - x1 and y2 - y1")
    return [text]


def _size(entry: Input) -> Size:
    """Return the upright (w, h) of an input, without bounds where it cannot be read."""
    if entry.address is not None:  # it is not downloaded twice
        return 2**31, 2**31
    try:
        if not entry.is_video:
            return upright_size(read_header(entry.path))
        height, width = next(read_frames(entry.path)).image.shape[:2]
        return width, height
    except DatasetError:  # which is told when its turn comes
        return 2**31, 2**31


def known_of(file: ImageFile, inputs: Sequence[Input]) -> list[Known | None]:
    """Return what a file holds about each input, None for those that it does not name.

    A name belongs to the input whose path agrees with most of it, from its end on. Raises
    ConfigError where that is not one input, or where no name is of any.
    """
    names = list({**file.boxes, **file.ids})
    name_of = _match(names, inputs, file.path)
    if names and inputs and not name_of:
        raise ConfigError(
            f"{file.path} names none of the inputs: it has {names[0]}, the first is "
            f"{inputs[0].name}"
        )
    known: list[Known | None] = [None] * len(inputs)
    for i, name in name_of.items():
        known[i] = Known(file.boxes.get(name, {}), file.ids.get(name, {}), file.sizes.get(name))
    return known


def _match(names: Iterable[str], inputs: Sequence[Input], path: Path) -> dict[int, str]:
    """Return the name of each input, by its index; those without one are left out."""
    same_key: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(inputs):
        same_key[key_of(entry.name)].append(i)
    names_of: dict[int, list[str]] = defaultdict(list)
    for name in names:
        best = _best({i: _agreement(name, inputs[i]) for i in same_key.get(key_of(name), [])})
        if len(best) > 1:
            paths = " or ".join(inputs[i].path.as_posix() for i in best[:2])
            raise ConfigError(f"{path}: {name} could be {paths}; name folders in the file, too")
        for i in best:
            names_of[i].append(name)
    chosen = {}
    for i, own in names_of.items():
        chosen[i], *others = _best({name: _agreement(name, inputs[i]) for name in own})
        if others:
            text = f"{inputs[i].path.as_posix()} could be {chosen[i]} or {others[0]}"
            raise ConfigError(f"{path}: {text}")
    return chosen


def _best(ratings: Mapping[T, float]) -> list[T]:
    """Return the keys with the highest rating."""
    highest = max(ratings.values(), default=0.0)
    return [key for key, rating in ratings.items() if rating == highest]


def _agreement(name: str, entry: Input) -> float:
    """Count the parts, from the end, in which a name agrees with a path; more for a whole one."""
    parts, own = PurePosixPath(name).parts, entry.path.absolute().parts
    folders = zip(parts[-2::-1], own[-2::-1], strict=False)  # from the last one on
    count = len(list(takewhile(lambda pair: pair[0] == pair[1], folders)))
    is_whole, is_same_file = count == len(parts) - 1, parts[-1] == own[-1]
    return 1000 * is_whole + count + 0.5 * is_same_file + 0.25 * (name == entry.name)


def key_of(name: str) -> str:
    """Return an image's name without folder, suffix and leading zeros: 000000000785.jpg is 785."""
    stem = without_suffix(PurePosixPath(name).name)
    return stem.lstrip("0") or stem
