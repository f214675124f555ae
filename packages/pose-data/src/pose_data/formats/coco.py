"""The persons of a COCO keypoint file, as the published recipes choose them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.annotations import Table, listed, read_table
from pose_data.formats.cache import cached
from pose_data.formats.categories import choose_categories
from pose_data.formats.records import Bools
from pose_data.infer import skeleton_of, unnamed_skeleton
from pose_data.persons import Category, Persons
from pose_data.regions import Regions, starts, take_ragged
from pose_data.skeleton import COCO, Skeleton, plain_name, with_flip_pairs

_log = logging.getLogger("pose_data")


@dataclass(frozen=True)
class Annotations:
    """What is taken of a file: I images (sizes as (w, h)), R regions of the same K keypoints.

    lacks_area (R,): whose area is derived. categories: those of the regions.
    """

    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    image_sizes: NDArray[np.int64]
    regions: Regions
    lacks_area: Bools
    skeleton: Skeleton
    categories: tuple[Category, ...]


def load_coco(
    annotation_file: str | Path,
    image_dir: str | Path,
    *,
    skeleton: Skeleton | None = None,
    categories: Sequence[int | str] | None = None,
    flip_pairs: Sequence[Sequence[str]] | None = None,
    cache: bool = True,
) -> Persons:
    """Load the usable persons of a COCO keypoint file, by the rules of the published recipes.

    Dropped: crowds, persons without labelled keypoints, and boxes that are empty after clipping to
    the image. What is missing or null is derived: boxes, areas, num_keypoints, iscrowd, sizes of
    images (from their headers). skeleton: None for the file's own. categories: ids or names; None
    for all that have keypoints, which must then be the same. flip_pairs: names of what mirrors each
    other; None for what the names say. A file of 4 MB or more is kept as
    arrays beside it (NAME.cache.npz) unless `cache` is False.

    Raises DatasetError where a file is missing, is not JSON, or a record cannot be used. Whatever
    was derived or left out is in `notices`, and logged as warnings of "pose_data".
    """
    path, folder = Path(annotation_file), Path(image_dir)
    check_folder(folder)
    findings = Findings(is_strict=True)
    read = cached if cache else read_table
    table = read(path, folder, findings)
    found = choose(
        table, path, findings, skeleton=skeleton, categories=categories, flip_pairs=flip_pairs
    )
    return announced(usable_persons(found, path, folder, findings))


def check_folder(folder: Path) -> None:
    """Raise DatasetError where the folder of the images is not one."""
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DatasetError(f"image folder {folder} {problem}")


def announced(persons: Persons) -> Persons:
    """Log the notices of freshly loaded persons, and return them."""
    for notice in persons.notices:
        _log.warning(notice)
    return persons


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
    taken = rows["is_used"] & is_chosen
    if others := int((rows["is_used"] & ~is_chosen).sum()):
        findings.add(
            "other-categories", f"{path}: {others} annotations of other categories left out", others
        )
    for i in np.flatnonzero(
        taken & (rows["point_count"] != 0) & (rows["point_count"] != 3 * count)
    ):
        findings.add(
            "keypoint-count",
            f"{path} annotation {rows['number'][i]} (id {rows['id'][i]}): keypoints must be "
            f"{3 * count} numbers, got {rows['point_count'][i]}",
        )
        taken[i] = False
    if (
        taken.any()
        and not rows["point_count"][taken].any()
        and not any(c.keypoints for c in chosen)
    ):
        text = f"{path}: no annotation has keypoints; is it COCO's instances file?"
        findings.stop("not-coco", text)
    sizes = table.images["size"]
    _check_rle_sizes(table, sizes, taken, path, findings)
    kept = np.flatnonzero(taken)
    return Annotations(
        image_ids=table.images["id"],
        file_names=table.images["name"],
        image_sizes=sizes,
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
    """Return the skeleton to read a file by, and report what must be said about it."""
    if not chosen or not chosen[0].keypoints:
        if given is not None:
            return given
        count = chosen[0].num_keypoints if chosen else 0
        own, notices = unnamed_skeleton(count or COCO.num_keypoints)
        own = own if flip_pairs is None else with_flip_pairs(own, flip_pairs)
    else:
        try:
            category = {"name": chosen[0].name, "keypoints": list(chosen[0].keypoints)}
            pairs = () if given is not None else flip_pairs  # of a given one they are known
            own, notices = skeleton_of(category | {"skeleton": chosen[0].links}, pairs)
        except DatasetError as error:
            findings.stop("ambiguous-sides", f"{path}: {error}")
    if given is None:
        for notice in notices:
            findings.add("inferred", f"{path}: {notice}")
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


def _check_rle_sizes(
    table: Table, sizes: NDArray[np.int64], taken: Bools, path: Path, findings: Findings
) -> None:
    rows = table.rows
    own = sizes[rows["image_index"]] if len(sizes) else np.zeros((len(taken), 2), np.int64)
    has_rle = taken & (rows["rle_count"] > 0) & (own > 0).all(axis=1)
    for i in np.flatnonzero(has_rle & (rows["rle_size"] != own[:, ::-1]).any(axis=1)):
        h, w = rows["rle_size"][i]
        findings.add(
            "wrong-type",
            f"{path} annotation {rows['number'][i]} (id {rows['id'][i]}): the segmentation's size "
            f"is {h} x {w}, the image's {own[i, 1]} x {own[i, 0]} (h x w)",
        )
        taken[i] = False


def _regions(table: Table, kept: NDArray[np.int64], count: int) -> Regions:
    """Return the kept annotations, with keypoints (R, K, 2), zeros for those that have none."""
    rows = dict(table.rows)
    if len(kept) < len(rows["id"]):
        ragged = {"points": "point_count", "rle_bytes": "rle_count"}
        for values, counts in ragged.items():
            rows[values] = rows[values][take_ragged(starts(rows[counts]), kept)[1]]
        polygons = take_ragged(starts(rows["polygon_count"]), kept)[1]
        vertices = take_ragged(starts(rows["vertex_count"]), polygons)[1]
        rows |= {"vertex_count": rows["vertex_count"][polygons]}
        rows |= {"vertices": rows["vertices"][vertices]}
        others = rows.keys() - {*ragged, "vertex_count", "vertices"}
        rows |= {key: rows[key][kept] for key in others}
    points = rows["points"]
    if len(points) < 3 * count * len(kept):
        points = np.zeros((len(kept), 3 * count), points.dtype)
        points[rows["point_count"] > 0] = rows["points"].reshape(-1, 3 * count)
    poses = points.reshape(-1, count, 3)  # (R, K, 3)
    return Regions(
        ids=rows["id"],
        image_index=rows["image_index"],
        category_ids=rows["category_id"],
        is_crowd=rows["is_crowd"],
        num_keypoints=rows["num_keypoints"],
        bbox_xywh=rows["bbox_xywh"],
        area=rows["area"],
        keypoints=np.ascontiguousarray(poses[..., :2]),
        visible=np.ascontiguousarray(poses[..., 2], np.float32),
        polygon_first=starts(rows["polygon_count"]),
        point_first=starts(rows["vertex_count"]),
        points=rows["vertices"],
        rle_first=starts(rows["rle_count"]),
        rle_bytes=rows["rle_bytes"],
    )


def usable_persons(found: Annotations, path: Path, image_dir: Path, findings: Findings) -> Persons:
    """Choose the persons that MMPose trains on, in its order: by image, then as in the file."""
    regions = found.regions
    corner, side = regions.bbox_xywh[:, :2], regions.bbox_xywh[:, 2:]
    last = found.image_sizes[regions.image_index] - 1  # (R, 2)
    low, high = np.clip(corner, 0, last), np.clip(corner + side, 0, last)
    is_labelled = ~regions.is_ignored & (regions.keypoints > 0).any(axis=(1, 2))
    has_box = (high > low).all(axis=1)
    if count := int((is_labelled & ~has_box).sum()):
        findings.add(
            "empty-box",
            f"{path}: {count} labelled persons left out, whose boxes are empty or outside of their "
            f"image: annotation ids {listed(regions.ids[is_labelled & ~has_box])}",
            count,
        )
    rows = np.flatnonzero(is_labelled & has_box)
    rows = rows[np.argsort(regions.image_index[rows], kind="stable")]
    low, high, area = low[rows], high[rows], regions.area[rows]
    # MMPose derives the area from the clipped box; that of `regions` is of the box as written.
    has_area = (area > 0) & ~found.lacks_area[rows]
    derived = np.maximum(1.0, 0.53 * (high - low).prod(axis=1))
    return Persons(
        annotation_file=path,
        image_dir=image_dir,
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
