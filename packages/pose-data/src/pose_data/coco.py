"""The persons of a COCO keypoint file, as the published recipes choose them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose_data.annotations import Annotations, read_annotations
from pose_data.cache import cached
from pose_data.errors import DatasetError
from pose_data.infer import infer_skeleton, unnamed_skeleton
from pose_data.regions import Regions
from pose_data.skeleton import Skeleton, plain_name

_log = logging.getLogger("pose_data")


@dataclass(frozen=True)
class Source:
    """One annotation file among several: its rows stand together, in the order of the sources.

    ratio: how often each of its persons comes in an epoch, on average.
    """

    name: str
    annotation_file: Path
    num_persons: int
    num_images: int
    ratio: float = 1.0


@dataclass(frozen=True)
class Persons:
    """The N annotated persons of I pictures, one row each, picture by picture.

    image_ids (I,), file_names (I), image_sizes (I, 2) as (w, h): every picture of the file.
    ids (N,) annotation ids, image_index (N,) rows of the picture arrays, bbox_xyxy (N, 4) clipped
    to the picture, area (N,), keypoints (N, K, 2), visible (N, K) with COCO's 0 (not labelled),
    1 (occluded) and 2 (visible). scores (N,) of detected boxes, None for annotated ones.
    regions: every annotation of the file, crowds and unlabelled persons too, in the same pictures.
    sources: the files these persons come from, where `merge` or `combine` joined several.
    notices: what was derived or left out, one sentence each.
    """

    annotation_file: Path
    image_dir: Path
    skeleton: Skeleton
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_] | tuple[str, ...]
    image_sizes: NDArray[np.int64]
    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    bbox_xyxy: NDArray[np.float32]
    area: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    visible: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None
    regions: Regions | None = None
    sources: tuple[Source, ...] = ()
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        """Return the picture of person `index`."""
        return self.image_dir / str(self.file_names[self.image_index[index]])

    def where(self, index: int) -> str:
        """Name the record of person `index`, for messages: its file and annotation id."""
        file = self.annotation_file
        if self.sources:
            file = self.sources[self.source_index[index]].annotation_file
        return f"{file} annotation id {self.ids[index]}"

    @property
    def source_index(self) -> NDArray[np.int64]:
        """Which of the sources each person comes from (N,)."""
        counts = [source.num_persons for source in self.sources] or [len(self)]
        return np.repeat(np.arange(len(counts)), counts)

    def describe(self) -> str:
        """Count persons and pictures, one line for each source."""
        lines = []
        for source in self.sources or (as_source(self),):
            ratio = "" if source.ratio == 1 else f", {source.ratio:g} x per epoch"
            counts = f"{source.num_persons} persons in {source.num_images} pictures"
            lines.append(f"{source.name}: {counts}{ratio}")
        if len(lines) > 1:
            lines.append(f"together: {len(self)} persons, {self.skeleton.num_keypoints} keypoints")
        return "\n".join(lines)


def as_source(persons: Persons, ratio: float = 1.0) -> Source:
    """Describe persons that came from one file."""
    return Source(
        persons.annotation_file.name,
        persons.annotation_file,
        len(persons),
        len(persons.image_ids),
        ratio,
    )


def load_coco(
    annotation_file: str | Path,
    image_dir: str | Path,
    *,
    skeleton: Skeleton | None = None,
    cache: bool = True,
) -> Persons:
    """Load the usable persons of a COCO keypoint file, by the rules of the published recipes.

    Dropped: crowds, persons without labelled keypoints, and boxes that are empty after clipping to
    the picture. A missing `area` becomes 0.53 * w * h of the clipped box (MMPose's rule); see
    `read_annotations` for the rest. skeleton: None for the file's own, by its `categories`. A file
    of 4 MB or more is kept as arrays beside it (NAME.cache.npz) unless `cache` is False.

    Raises DatasetError where a file is missing, is not JSON, or a record cannot be used. Whatever
    was derived or left out is in `notices`, and logged as warnings of "pose_data".
    """
    path, folder = Path(annotation_file), Path(image_dir)
    check_folder(folder)
    count = None if skeleton is None else skeleton.num_keypoints

    def read() -> Annotations:
        return read_annotations(path, folder, count)

    found = cached(path, count, read) if cache else read()
    chosen, notices = _choose_skeleton(found, skeleton, path)
    return announced(usable_persons(found, path, folder, chosen, notices))


def check_folder(folder: Path) -> None:
    """Raise DatasetError where the folder of the pictures is not one."""
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DatasetError(f"image folder {folder} {problem}")


def announced(persons: Persons) -> Persons:
    """Log the notices of freshly loaded persons, and return them."""
    for notice in persons.notices:
        _log.warning(notice)
    return persons


def _choose_skeleton(
    found: Annotations, given: Skeleton | None, path: Path
) -> tuple[Skeleton, tuple[str, ...]]:
    """Return the skeleton to read a file by, and what must be said about it."""
    has_names = any(category.get("keypoints") for category in found.categories)
    if given is None:
        if has_names:
            return _inferred(found, path)
        return unnamed_skeleton(found.regions.visible.shape[1])
    if not has_names:
        return given, ()
    own, _ = _inferred(found, path)
    if own.num_keypoints != given.num_keypoints:
        notice = f"{path} names {own.num_keypoints} keypoints, {given.name} {given.num_keypoints}"
        return given, (notice,)
    for mine, its in zip(given.keypoints, own.keypoints, strict=True):
        if plain_name(mine) != plain_name(its):
            notice = f"{path} calls {its!r} what the given skeleton {given.name} calls {mine!r}"
            return given, (notice,)
    return given, ()


def _inferred(found: Annotations, path: Path) -> tuple[Skeleton, tuple[str, ...]]:
    try:
        return infer_skeleton(found.categories)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def usable_persons(
    found: Annotations,
    path: Path,
    image_dir: Path,
    skeleton: Skeleton,
    notices_so_far: tuple[str, ...] = (),
) -> Persons:
    """Choose the persons that MMPose trains on, in its order: by picture, then as in the file."""
    regions, notices = found.regions, [*found.notices, *notices_so_far]
    corner, side = regions.bbox_xywh[:, :2], regions.bbox_xywh[:, 2:]
    last = found.image_sizes[regions.image_index] - 1  # (R, 2)
    low, high = np.clip(corner, 0, last), np.clip(corner + side, 0, last)
    is_labelled = ~regions.is_ignored & (regions.keypoints > 0).any(axis=(1, 2))
    has_box = (high > low).all(axis=1)
    if count := int((is_labelled & ~has_box).sum()):
        which = regions.ids[is_labelled & ~has_box]
        notices.append(
            f"{path}: {count} labelled persons left out, whose boxes are empty or outside of their "
            f"picture: annotation ids {', '.join(map(str, which[:5]))}{', ...' * (count > 5)}"
        )
    rows = np.flatnonzero(is_labelled & has_box)
    rows = rows[np.argsort(regions.image_index[rows], kind="stable")]
    low, high, area = low[rows], high[rows], regions.area[rows]
    has_area = area > 0  # not NaN either
    if count := int((~has_area).sum()):
        notices.append(f"{path}: {count} persons have no area: 0.53 * width * height of the box")
    derived = np.maximum(1.0, 0.53 * (high - low).prod(axis=1))
    return Persons(
        annotation_file=path,
        image_dir=image_dir,
        skeleton=skeleton,
        image_ids=found.image_ids,
        file_names=found.file_names,
        image_sizes=found.image_sizes,
        ids=regions.ids[rows],
        image_index=regions.image_index[rows],
        bbox_xyxy=np.concatenate([low, high], axis=1).astype(np.float32),
        area=np.where(has_area, area, derived).astype(np.float32),
        keypoints=regions.keypoints[rows],
        visible=regions.visible[rows],
        regions=regions,
        notices=tuple(notices),
    )
