"""Turn a COCO keypoint file into arrays: every picture, every annotation, what was missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.formats.json import Piece, collector_paused, read_pieces
from pose_data.formats.records import (
    Columns,
    Records,
    check_numbers,
    column,
    integers,
    joined,
    numbers,
    objects,
    scalars,
    segmentations,
    strings,
)
from pose_data.images.headers import read_header
from pose_data.regions import Regions, starts, take_regions
from pose_data.skeleton import COCO

MAX_SIDE = 1 << 16  # pixels; a larger picture is a mistake


@dataclass(frozen=True)
class Annotations:
    """What a keypoint file holds: I pictures (sizes as (w, h)), R regions, its categories.

    notices: one sentence for each thing that the file lacks and that was derived.
    """

    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    image_sizes: NDArray[np.int64]
    regions: Regions
    categories: tuple[dict[str, Any], ...]
    notices: tuple[str, ...]


@collector_paused()
def read_annotations(path: Path, image_dir: Path, num_keypoints: int | None = None) -> Annotations:
    """Read a COCO keypoint file, gzip allowed; raises DatasetError naming the file and record.

    num_keypoints: K; None for that of the file's categories, else that of its first record. Of a
    file with other categories too, those annotations are taken whose category has keypoints. Sizes
    of pictures that the file does not give are read from the pictures.
    """
    images: list[Columns] = []
    rows: list[Columns] = []
    categories: tuple[dict[str, Any], ...] = ()
    for piece in read_pieces(path):
        if piece.key == "":
            raise DatasetError(
                f"{path} must be an object with `images` and `annotations`, got a list; results "
                "are for load_detections, AI Challenger's original files for load_aic"
            )
        if piece.key == "images":
            images.append(_image_columns(_listed(piece, path), f"{path} image", piece.first))
        elif piece.key == "annotations":
            records = _listed(piece, path)
            rows.append(_annotation_columns(records, path, piece.first, num_keypoints))
        elif piece.key == "categories":
            categories = tuple(_listed(piece, path))
    missing = [
        f"`{key}`" for key, found in (("images", images), ("annotations", rows)) if not found
    ]
    if missing:
        raise DatasetError(f"{path} has no {' and no '.join(missing)}: not a COCO annotation file")

    notices: list[str] = []
    image_ids, file_names, sizes = _finished_images(joined(images), path, image_dir, notices)
    widths = {piece["keypoints"].shape[1] for piece in rows} - {0}
    declared = num_keypoints or _declared_keypoints(categories) or max(widths, default=0) // 3
    if not widths and any(len(piece["id"]) > 0 for piece in rows):
        raise DatasetError(f"{path}: no annotation has keypoints; is it COCO's instances file?")
    declared = declared or COCO.num_keypoints  # of a file without annotations
    if not widths <= {3 * declared}:
        raise _wrong_count(path, declared)
    for piece_columns in rows:
        if piece_columns["keypoints"].shape[1] == 0:  # a piece of persons without the key
            shape = (len(piece_columns["id"]), 3 * declared)
            piece_columns["keypoints"] = np.zeros(shape, np.float32)
    regions = _finished_regions(joined(rows), path, image_ids, sizes, categories, notices)
    return Annotations(image_ids, file_names, sizes, regions, categories, tuple(notices))


def _listed(piece: Piece, path: Path) -> Records:
    if not isinstance(piece.value, list):
        raise DatasetError(f"{path}: `{piece.key}` must be a list")
    return objects(piece.value, f"{path} {piece.key.removesuffix('s')}", piece.first)


def _image_columns(records: Records, where: str, first: int) -> Columns:
    sizes = [integers(records, key, where, first, default=0) for key in ("width", "height")]
    names = strings(records, "file_name", where, first)
    return {
        "id": integers(records, "id", where, first),
        "name": np.array(names, np.str_),
        "size": np.stack(sizes, axis=1),  # (n, 2), 0 where missing
    }


def _annotation_columns(
    records: Records, path: Path, first: int, num_keypoints: int | None
) -> Columns:
    """Read one piece of `annotations`; keypoints (n, 3K), K as found there, 0 where none has."""
    where = f"{path} annotation"
    bbox = numbers(records, "bbox", 4, where, first)
    keypoints, lacks_keypoints = _keypoint_columns(records, path, first, num_keypoints)
    counted = (keypoints[:, 2::3] > 0).sum(axis=1)
    given = integers(records, "num_keypoints", where, first, default=-1)
    is_crowd = integers(records, "iscrowd", where, first, default=-1)
    labelled = np.where(given < 0, counted, given)
    lacks_box = np.isnan(bbox[:, 0])
    bbox[lacks_box] = _boxes_around(keypoints[lacks_box])
    ignored = (is_crowd > 0) | (labelled == 0)
    return {
        "number": np.arange(first, first + len(records)),
        "id": integers(records, "id", where, first),
        "image_id": integers(records, "image_id", where, first),
        "category_id": integers(records, "category_id", where, first, default=-1),
        "is_crowd": is_crowd > 0,
        "num_keypoints": labelled,
        "bbox_xywh": bbox,
        "area": scalars(records, "area", where, first),
        "keypoints": keypoints.astype(np.float32),
        "lacks_keypoints": lacks_keypoints,
        "lacks_box": lacks_box,
        "lacks_iscrowd": is_crowd < 0,
        "lacks_num_keypoints": given < 0,
        **segmentations(records, ignored, bbox, where, first),
    }


def _keypoint_columns(
    records: Records, path: Path, first: int, num_keypoints: int | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return keypoints (n, 3K) of zeros where a record has none, and which have none."""
    values = column(records, "keypoints")
    lacks = np.array([value is None for value in values], bool)
    lengths = {
        len(value) if isinstance(value, list) else 0 for value in values if value is not None
    }
    if not lengths:
        return np.zeros((len(records), 0)), lacks
    width = lengths.pop()
    if lengths or width == 0 or width % 3:
        raise _wrong_count(path, num_keypoints)
    found = numbers(records, "keypoints", width, f"{path} annotation", first)
    found[lacks] = 0
    return found, lacks


def _boxes_around(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the extent of the labelled keypoints (n, 3K), a tenth wider on each side; 0 for none.

    Heads and feet reach beyond their keypoints.
    """
    is_labelled = keypoints[:, 2::3] > 0  # (n, K)
    boxes = []
    for axis in range(2):
        values = keypoints[:, axis::3]
        low = np.where(is_labelled, values, np.inf).min(axis=1, initial=np.inf)
        high = np.where(is_labelled, values, -np.inf).max(axis=1, initial=-np.inf)
        boxes.append((low - 0.1 * (high - low), 1.2 * (high - low)))
    (x, w), (y, h) = boxes
    found = np.stack([x, y, w, h], axis=1)
    return np.where(is_labelled.any(axis=1, keepdims=True), found, 0.0)


def _declared_keypoints(categories: tuple[dict[str, Any], ...]) -> int | None:
    """Return the number of keypoints of the first category that has some."""
    counts = [len(c["keypoints"]) for c in categories if isinstance(c.get("keypoints"), list)]
    return next((count for count in counts if count), None)


def _wrong_count(path: Path, num_keypoints: int | None) -> DatasetError:
    """Find the first annotation whose keypoints are not 3K numbers, K as declared or most."""
    categories: tuple[dict[str, Any], ...] = ()
    found: list[tuple[int, Any]] = []
    for piece in read_pieces(path):
        if piece.key == "categories":
            categories = tuple(_listed(piece, path))
        elif piece.key == "annotations":
            found += [
                (piece.first + i, record["keypoints"])
                for i, record in enumerate(piece.value)
                if record.get("keypoints") is not None
            ]
    lengths = [len(keypoints) for _, keypoints in found if isinstance(keypoints, list)]
    width = 3 * (num_keypoints or _declared_keypoints(categories) or max(lengths, default=0) // 3)
    for number, keypoints in found:
        try:
            check_numbers(keypoints, width, "keypoints", f"{path} annotation {number}")
        except DatasetError as error:
            return error
    return DatasetError(f"{path}: keypoints must be {width} numbers in every annotation")


def _finished_images(
    columns: Columns, path: Path, image_dir: Path, notices: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
    """Return ids, names and sizes (I, 2), the missing sizes from the pictures."""
    ids, names, sizes = columns["id"], columns["name"], columns["size"]
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = values[counts > 1][0]
        place = np.flatnonzero(ids == twice)[1]
        raise DatasetError(f"{path} image {place}: id {twice} stands there for the second time")
    unknown = np.flatnonzero((sizes == 0).any(axis=1))
    for place in unknown:
        header = read_header(image_dir / names[place])
        sizes[place] = header.width, header.height
    if len(unknown):
        notices.append(
            f"{path}: {len(unknown)} images have no width and height: read from the pictures"
        )
    absurd = np.flatnonzero(((sizes < 1) | (sizes > MAX_SIDE)).any(axis=1))
    if len(absurd):
        w, h = sizes[absurd[0]]
        raise DatasetError(
            f"{path} image {absurd[0]}: width and height must be 1 to {MAX_SIDE}, got {w} x {h}"
        )
    return ids, names, sizes


def _finished_regions(
    columns: Columns,
    path: Path,
    image_ids: NDArray[np.int64],
    image_sizes: NDArray[np.int64],
    categories: tuple[dict[str, Any], ...],
    notices: list[str],
) -> Regions:
    """Check the columns against the pictures, and return the regions of the right category."""
    image_index = _rows_of(columns["image_id"], image_ids, columns["number"], path)
    _check_rle_sizes(columns, image_sizes[image_index], path)
    count = columns["keypoints"].shape[1] // 3
    keypoints = columns["keypoints"].reshape(-1, count, 3)  # (R, K, 3)
    regions = Regions(
        ids=columns["id"],
        image_index=image_index,
        is_crowd=columns["is_crowd"],
        num_keypoints=columns["num_keypoints"],
        bbox_xywh=columns["bbox_xywh"],
        area=columns["area"],
        keypoints=np.ascontiguousarray(keypoints[..., :2]),
        visible=np.ascontiguousarray(keypoints[..., 2]),
        polygon_first=starts(columns["polygon_count"]),
        point_first=starts(columns["point_count"]),
        points=columns["points"],
        rle_first=starts(columns["rle_count"]),
        rle_bytes=columns["rle_bytes"],
    )
    others = [c["id"] for c in categories if "id" in c and not c.get("keypoints")]
    kept = ~np.isin(columns["category_id"], others if len(others) < len(categories) else [])
    if not kept.all():
        notices.append(
            f"{path}: {(~kept).sum()} annotations of categories without keypoints left out"
        )
        regions = take_regions(regions, np.flatnonzero(kept))
    for key, what in (
        ("lacks_keypoints", "have no keypoints: taken for persons without labels"),
        ("lacks_box", "have no bbox: the labelled keypoints, a tenth wider on each side"),
        ("lacks_iscrowd", "have no iscrowd: 0"),
        ("lacks_num_keypoints", "have no num_keypoints: counted"),
        ("boxed", "without labels have no segmentation to mask them out by: the box"),
    ):
        if count := int((columns[key] & kept).sum()):
            notices.append(f"{path}: {count} annotations {what}")
    return regions


def _rows_of(
    wanted: NDArray[np.int64], ids: NDArray[np.int64], numbers: NDArray[np.int64], path: Path
) -> NDArray[np.int64]:
    """Return the rows of the pictures with the wanted ids; raises where one is not there."""
    if not len(wanted):
        return np.zeros(0, np.int64)
    order = np.argsort(ids, kind="stable")
    places = np.searchsorted(ids, wanted, sorter=order)
    rows = order[np.minimum(places, len(ids) - 1)] if len(ids) else np.zeros(len(wanted), np.int64)
    is_missing = ids[rows] != wanted if len(ids) else np.ones(len(wanted), bool)
    if is_missing.any():
        bad = int(np.argmax(is_missing))
        raise DatasetError(
            f"{path} annotation {numbers[bad]}: image_id {wanted[bad]} is not in `images`"
        )
    return rows.astype(np.int64)


def _check_rle_sizes(columns: Columns, sizes: NDArray[np.int64], path: Path) -> None:
    has_rle = columns["rle_count"] > 0
    wrong = has_rle & (columns["rle_size"] != sizes[:, ::-1]).any(axis=1)
    if wrong.any():
        bad = int(np.argmax(wrong))
        h, w = columns["rle_size"][bad]
        raise DatasetError(
            f"{path} annotation {columns['number'][bad]}: the segmentation's size is {h} x {w}, "
            f"the picture's {sizes[bad, 1]} x {sizes[bad, 0]} (h x w)"
        )
