"""The persons of a COCO keypoint file, as the published recipes choose them."""

import logging
from pathlib import Path

import numpy as np

from pose_data.errors import DatasetError
from pose_data.formats.annotations import Annotations, read_annotations
from pose_data.formats.cache import cached
from pose_data.infer import infer_skeleton, unnamed_skeleton
from pose_data.persons import Persons
from pose_data.skeleton import Skeleton, plain_name

_log = logging.getLogger("pose_data")


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
