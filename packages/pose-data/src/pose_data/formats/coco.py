"""The persons of a COCO keypoint file, as the published recipes choose them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError, printable
from pose_data.findings import Findings
from pose_data.formats.annotations import Table, read_table
from pose_data.formats.cache import read_cached
from pose_data.formats.categories import choose_categories
from pose_data.formats.records import Bools, Ints, first_few
from pose_data.images.missing import leads_outside, why_missing
from pose_data.infer import skeleton_of, unnamed_skeleton
from pose_data.persons import Category, Persons
from pose_data.regions import Regions, starts, take_ragged
from pose_data.skeleton import COCO, Skeleton, plain_name, with_flip_pairs

_log = logging.getLogger("pose_data.notices")
# What a notice of infer.py is about, where it is more than a note.
_ODD_NAMES = {"`skeleton` is left out": "wrong-skeleton", "a side but no partner": "lone-side"}


# Columns that are fields of Regions.
_SHARED = ("image_index", "is_crowd", "num_keypoints", "bbox_xywh", "area", "rle_bytes")


@dataclass(frozen=True)
class Annotations:
    """What is used of a file: I images (sizes as (w, h)), R regions of the same K keypoints.

    lacks_area (R,): whose area is derived. categories: those of the regions.
    """

    image_ids: Ints
    file_names: NDArray[np.str_]
    image_sizes: Ints
    regions: Regions
    lacks_area: Bools
    skeleton: Skeleton
    categories: tuple[Category, ...]


def load_coco(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    skeleton: Skeleton | None = None,
    categories: Sequence[int | str] | None = None,
    flip_pairs: Sequence[Sequence[str]] | None = None,
    cache: bool = True,
) -> Persons:
    """Load the usable persons of a COCO keypoint file, by the rules of the published recipes.

    Dropped: crowds, persons without labelled keypoints, and boxes that are empty after clipping to
    the image. What is missing or null is derived: boxes, areas, num_keypoints, iscrowd, sizes of
    images (from their headers).

    image_dir: None for work without pixels, such as statistics and evaluation; what needs them then
    raises DatasetError. skeleton: None for the file's own. categories: ids or names; None for all
    that have keypoints, which must then be the same. flip_pairs: pairs of names that mirror each
    other; None for what the names imply. cache: keep a file of 4 MB or more as arrays beside it
    (NAME.cache.npz).

    Raises DatasetError where a file is missing, is not JSON, or a record cannot be used. Whatever
    was derived or left out is in `notices`, and logged as warnings of "pose_data.notices".
    """
    path, folder = Path(annotation_file), checked_folder(image_dir)
    findings = Findings(is_strict=True)
    table = (read_cached if cache else read_table)(path, folder, findings)
    found = choose(
        table, path, findings, skeleton=skeleton, categories=categories, flip_pairs=flip_pairs
    )
    return log_notices(usable_persons(found, path, folder, findings))


def checked_folder(image_dir: str | Path | None) -> Path | None:
    """Return the folder of the images as a path; raises DatasetError where it is not a folder."""
    folder = None if image_dir is None else Path(image_dir)
    if folder is not None and not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DatasetError(f"image folder {folder} {problem}")
    return folder


def log_notices(persons: Persons) -> Persons:
    """Log the notices of freshly loaded persons, and return them."""
    counts = f"{len(persons)} {persons.noun} in {len(persons.image_ids)} images"
    logging.getLogger("pose_data").info("%s: %s", printable(persons.annotation_file), counts)
    for notice in persons.notices:
        _log_once(notice)
    return persons


@lru_cache(maxsize=1000)
def _log_once(notice: str) -> None:
    """Log a notice; once, since a file may be loaded for training and for evaluation."""
    _log.warning("%s", printable(notice))


def choose(
    table: Table,
    path: Path,
    findings: Findings,
    *,
    skeleton: Skeleton | None = None,
    categories: Sequence[int | str] | None = None,
    flip_pairs: Sequence[Sequence[str]] | None = None,
) -> Annotations:
    """Take the annotations of one skeleton from a table."""
    chosen = choose_categories(table.categories, categories, path, findings)
    own = _skeleton(chosen, skeleton, flip_pairs, path, findings)
    rows, count = table.rows, own.num_keypoints
    is_chosen = np.isin(rows["category_id"], [each.id for each in chosen])
    taken, others = rows["is_used"] & is_chosen, int((rows["is_used"] & ~is_chosen).sum())
    text = f"{path}: {others} annotations of other categories left out"
    findings.add("other-categories", text, others)
    is_odd = taken & (rows["point_count"] != 0) & (rows["point_count"] != 3 * count)
    for i in np.flatnonzero(is_odd):
        text = f"{path} annotation {rows['number'][i]} (id {rows['id'][i]}): keypoints must be "
        text += f"{3 * count} numbers, got {rows['point_count'][i]}"
        findings.add("keypoint-count", text)
    taken &= ~is_odd
    is_named = any(category.keypoints for category in chosen)
    if taken.any() and not rows["point_count"][taken].any() and not is_named:
        text = f"{path}: no annotation has keypoints; is it COCO's instances file?"
        findings.stop("not-coco", text)
    taken &= ~_has_wrong_rle(table, taken, path, findings)
    kept = np.flatnonzero(taken)
    return Annotations(
        image_ids=table.images["id"],
        file_names=table.images["name"],
        image_sizes=table.images["size"],
        regions=_regions(table, kept, count),
        lacks_area=rows["lacks_area"][kept],
        skeleton=own,
        categories=chosen,
    )


def _skeleton(
    chosen: tuple[Category, ...],
    given: Skeleton | None,
    flip_pairs: Sequence[Sequence[str]] | None,
    path: Path,
    findings: Findings,
) -> Skeleton:
    """Return the skeleton to read a file by, and report what is odd or inferred."""
    category = chosen[0] if chosen else Category(0, "")
    names = category.keypoints
    if given is not None and not names:
        return given
    if names:
        try:
            entry = {"name": category.name, "keypoints": names, "skeleton": category.links}
            pairs = () if given is not None else flip_pairs  # of a given one they are known
            own, notices = skeleton_of(entry, pairs)
        except DatasetError as error:
            findings.stop("ambiguous-sides", f"{path}: {error}")
    else:
        own, notices = unnamed_skeleton(category.num_keypoints or COCO.num_keypoints)
        own = own if flip_pairs is None else with_flip_pairs(own, flip_pairs)
    if given is None:
        for notice in notices:
            slug = next((slug for part, slug in _ODD_NAMES.items() if part in notice), "inferred")
            findings.add(slug, f"{path}: {notice}")
        return own
    if own.num_keypoints != given.num_keypoints:
        text = f"{path} names {own.num_keypoints} keypoints, {given.name} {given.num_keypoints}"
        findings.add("other-names", text)
        return given
    for mine, its in zip(given.keypoints, own.keypoints, strict=True):
        if plain_name(mine) != plain_name(its):
            text = f"{path} calls {its!r} what the given skeleton {given.name} calls {mine!r}"
            findings.add("other-names", text)
            break
    return given


def _has_wrong_rle(table: Table, taken: Bools, path: Path, findings: Findings) -> Bools:
    """Report masks of another size than their image's, and return which annotations have one."""
    rows, sizes = table.rows, table.images["size"]
    own = sizes[rows["image_index"]] if len(sizes) else np.zeros((len(taken), 2), np.int64)
    has_rle = taken & (rows["rle_count"] > 0) & (own > 0).all(axis=1)
    is_wrong = has_rle & (rows["rle_size"] != own[:, ::-1]).any(axis=1)
    for i in np.flatnonzero(is_wrong):
        (h, w), (width, height) = rows["rle_size"][i], own[i]
        text = f"{path} annotation {rows['number'][i]} (id {rows['id'][i]}): the segmentation's "
        text += f"size is {h} x {w}, the image's {height} x {width} (h x w)"
        findings.add("wrong-type", text)
    return is_wrong


def _regions(table: Table, kept: Ints, count: int) -> Regions:
    """Return the kept annotations, with keypoints (R, K, 2), zeros for those that have none."""
    rows = table.rows
    if len(kept) < len(rows["id"]):
        polygons = take_ragged(rows["polygon_count"], kept)
        elements = {  # of the ragged columns
            "points": take_ragged(rows["point_count"], kept),
            "vertex_count": polygons,
            "vertices": take_ragged(rows["vertex_count"], polygons),
            "rle_bytes": take_ragged(rows["rle_count"], kept),
        }
        rows = {key: values[elements.get(key, kept)] for key, values in rows.items()}
    poses = rows["points"].reshape(-1, count, 3)
    if len(poses) < len(kept):
        poses = np.zeros((len(kept), count, 3), poses.dtype)
        poses[rows["point_count"] > 0] = rows["points"].reshape(-1, count, 3)
    return Regions(
        ids=rows["id"],
        category_ids=rows["category_id"],
        **{name: rows[name] for name in _SHARED},
        keypoints=np.ascontiguousarray(poses[..., :2]),
        visible=np.ascontiguousarray(poses[..., 2], np.float32),
        polygon_first=starts(rows["polygon_count"]),
        point_first=starts(rows["vertex_count"]),
        points=rows["vertices"],
        rle_first=starts(rows["rle_count"]),
    )


def usable_persons(
    found: Annotations, path: Path, image_folder: Path | None, findings: Findings
) -> Persons:
    """Choose the persons that MMPose trains on, in its order: by image, then as in the file."""
    for name in found.file_names.tolist():
        if image_folder is not None and leads_outside(image_folder, name):
            why = why_missing(image_folder, name)
            text = f"{path}: file_name {name!r:.200} leads out of {image_folder}: {why}"
            findings.add("outside-folder", text)
    regions = found.regions
    corner, side = regions.bbox_xywh[:, :2], regions.bbox_xywh[:, 2:]
    last = found.image_sizes[regions.image_index] - 1  # (R, 2)
    low, high = np.clip(corner, 0, last), np.clip(corner + side, 0, last)
    is_labelled = ~regions.is_ignored & (regions.keypoints > 0).any(axis=(1, 2))
    has_box = (high > low).all(axis=1)
    lost = regions.ids[is_labelled & ~has_box]
    text = f"{path}: {len(lost)} labelled persons left out, whose boxes are empty or outside of "
    findings.add("empty-box", f"{text}their image: annotation ids {first_few(lost)}", len(lost))
    rows = np.flatnonzero(is_labelled & has_box)
    rows = rows[np.argsort(regions.image_index[rows], kind="stable")]
    low, high, area = low[rows], high[rows], regions.area[rows]
    # MMPose derives the area from the clipped box; that of `regions` is of the box as written.
    has_area = (area > 0) & ~found.lacks_area[rows]
    derived = np.maximum(1.0, 0.53 * (high - low).prod(axis=1))
    return Persons(
        annotation_file=path,
        image_folder=image_folder,
        skeleton=found.skeleton,
        image_ids=found.image_ids,
        file_names=found.file_names,
        image_sizes=found.image_sizes,
        ids=regions.ids[rows],
        image_index=regions.image_index[rows],
        category_ids=regions.category_ids[rows],
        bbox_xyxy=np.concatenate([low, high], axis=1).astype(np.float32),
        area=np.where(has_area, area, derived).astype(np.float32),
        keypoints=regions.keypoints[rows].astype(np.float32),
        visible=regions.visible[rows],
        regions=regions,
        categories=found.categories,
        notices=findings.notices(),
    )
