"""A COCO keypoint file as a table: every image, every annotation, and what had to be derived.

This is the only reader of such files: `load_coco` chooses persons from its table, `check` reports
on all of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.categories import leave_out, read_categories
from pose_data.formats.foreign import foreign
from pose_data.formats.json import Piece, collector_paused, read_pieces
from pose_data.formats.records import (
    Bools,
    Columns,
    Floats,
    Ints,
    Rows,
    concatenate,
    find_rows,
    first_few,
    first_rows,
)
from pose_data.formats.segmentations import segmentations
from pose_data.images.headers import read_header, upright_size
from pose_data.images.missing import inside
from pose_data.persons import Category
from pose_data.regions import boxes_around, starts

Read = Callable[[Path], Iterator[Piece]]
MAX_SIDE = 1 << 16  # pixels; a larger image is a mistake

_MISSING = "missing-field"
# Of annotations: what is derived where it is missing, and from what.
_DERIVED = {
    "lacks_keypoints": (_MISSING, "have no keypoints: taken for persons without labels"),
    "lacks_bbox": (_MISSING, "have no bbox: the labelled keypoints, a tenth wider on each side"),
    "lacks_area": (_MISSING, "have no area: 0.53 * width * height of the bbox"),
    "lacks_iscrowd": (_MISSING, "have no iscrowd: 0"),
    "lacks_num_keypoints": (_MISSING, "have no num_keypoints: counted"),
    "boxed": (
        "no-segmentation",
        "without labels have no segmentation to mask them out by: the bbox",
    ),
    "odd_id": ("odd-ids", 'have ids like 139.0 or "1", read as integers'),
}
_SETTLED = {"image_id", "lacks_id", "lacks_category", *_DERIVED} - {"lacks_area"}


@dataclass(frozen=True)
class Table:
    """The content of a keypoint file, before anything is chosen from it.

    images: id, name, size (I, 2) as (w, h), 0 where unknown. rows: of each annotation what
    `_annotation_columns` says; keypoints are ragged, since categories may differ in their number.
    has_read_sizes: whether sizes are those of the files in the image folder.
    """

    images: Columns
    rows: Columns
    categories: tuple[Category, ...]
    has_read_sizes: bool = False


@collector_paused()
def read_table(
    path: Path, image_dir: Path | None, findings: Findings, read: Read = read_pieces
) -> Table:
    """Read a COCO keypoint file, gzip allowed; reports to findings, raises DatasetError.

    image_dir: None where sizes that the file does not give stay unknown. read: yields the pieces of
    a COCO file, also those that a file of another form becomes.
    """
    if read is read_pieces and (what := foreign(path)):
        findings.stop("not-coco", what)
    lists: dict[str, list[Columns]] = {"images": [], "annotations": []}
    entries: list[Any] = []
    for key, value, first in read(path):
        if key == "":
            findings.stop(
                "not-coco",
                f"{path} must be an object with `images` and `annotations`, got a list; results "
                "are for load_detections, AI Challenger's original files for load_aic",
            )
        is_wanted = key in lists or (key == "categories" and value is not None)
        if is_wanted and not isinstance(value, list):
            findings.stop("not-coco", f"{path}: `{key}` must be a list")
        if key in lists:
            columns_of = _image_columns if key == "images" else _annotation_columns
            lists[key].append(columns_of(Rows(value, f"{path} {key[:-1]}", first, findings)))
        elif is_wanted:
            entries += value
    if missing := [f"`{key}`" for key, pieces in lists.items() if not pieces]:
        text = f"{path} has no {' and no '.join(missing)}: not a COCO annotation file"
        findings.stop("not-coco", text)
    image_columns = _distinct_images(concatenate(lists["images"]), path, findings)
    columns = concatenate(lists["annotations"])
    _number(columns, path, findings)
    categories = read_categories(entries, columns, path, findings)
    ids, wanted = image_columns["id"], columns["image_id"]
    columns["image_index"] = find_rows(ids, wanted)  # -1 where it is not there
    lost = columns["is_used"] & (columns["image_index"] < 0)
    strangers = first_few(wanted[lost])
    no_image = f"{path}: annotations are of the images {strangers}, none of which is in `images` "
    no_image += f"({first_few(ids) or 'empty'})"
    if lost.any():
        _check_lost(lost, columns, categories, path, findings)
    reasons = {"image-ids-disjoint": no_image, "unknown-image": "image_id is not in `images`"}
    leave_out(lost, reasons, columns, path, findings)
    for key, (slug, what) in _DERIVED.items():
        count = int((columns[key] & columns["is_used"]).sum())
        findings.add(slug, f"{path}: {count} annotations {what}", count)
    count = _fill_sizes(image_columns, path, image_dir, findings)
    text = f"{path}: {count} images have no width and height: those of the image files"
    findings.add("missing-field", text, count)
    kept = {key: values for key, values in columns.items() if key not in _SETTLED}
    return Table(image_columns, kept, categories, count > 0)


def _image_columns(rows: Rows) -> Columns:
    ids, _ = rows.integers("id")
    sides = [rows.integers(key, required=False)[0] for key in ("width", "height")]
    sizes = np.stack(sides, axis=1)  # (n, 2)
    for i in np.flatnonzero(((sizes < 0) | (sizes > MAX_SIDE)).any(axis=1)).tolist():
        w, h = sizes[i]
        rows.refuse(i, f"width and height must be 1 to {MAX_SIDE}, got {w} x {h}")
    names = np.array(rows.texts("file_name"), np.str_)
    sizes[(sizes == 0).any(axis=1)] = 0
    number = np.arange(rows.first, rows.first + len(rows))
    columns = {"id": ids, "name": names, "size": sizes, "number": number}
    return {key: values[~rows.is_bad] for key, values in columns.items()}


def _annotation_columns(rows: Rows) -> Columns:
    """Read some annotations (n,); points (P,) are x, y, v, concatenated.

    is_used: what can be read; number: places in the file; point_count: values in `points` of each.
    """
    columns: Columns = {"number": np.arange(rows.first, rows.first + len(rows))}
    bbox, box_counts, lacks_bbox = rows.lists("bbox", 4)
    points, counts, lacks_keypoints = rows.lists("keypoints")
    first = starts(counts)
    if (counts % 3 == 0).all():
        before = starts(points[2::3] > 0)  # labelled keypoints before each
        counted = before[first[1:] // 3] - before[first[:-1] // 3]  # (n,)
    else:  # some records are wrong, and refused if their category is used
        ends = zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
        counted = np.array([(points[a + 2 : b : 3] > 0).sum() for a, b in ends], np.int64)
    boxes = np.zeros((len(rows), 4))
    boxes[box_counts > 0] = bbox.reshape(-1, 4)
    lacks_bbox |= (boxes == 0).all(axis=1) & (counted > 0)  # as some tools write where none is
    _fill_boxes(boxes, np.flatnonzero(lacks_bbox), points, first)
    given, lacks_num_keypoints = rows.integers("num_keypoints", required=False)
    lacks_num_keypoints |= given < 0
    num_keypoints = np.where(lacks_num_keypoints, counted, given)
    columns["is_crowd"], columns["lacks_iscrowd"] = rows.flags("iscrowd")
    area, lacks_area = rows.scalars("area", least=0)
    columns["image_id"], _ = rows.integers("image_id")
    category = rows.integers("category_id", required=False, text=True)
    columns["category_id"], columns["lacks_category"] = category
    columns["id"], columns["lacks_id"] = rows.integers("id", required=False)
    is_ignored = columns["is_crowd"] | (num_keypoints == 0)
    columns |= segmentations(rows, is_ignored & ~rows.is_bad, boxes)
    # float32 takes half the memory, where it is exact, as for COCO's whole pixels.
    narrow = points.astype(np.float32)
    return columns | {
        "is_used": ~rows.is_bad,
        "odd_id": rows.has_odd_id,
        "num_keypoints": num_keypoints,
        "bbox_xywh": boxes,
        "area": np.where(lacks_area, 0.53 * boxes[:, 2] * boxes[:, 3], area),
        "points": narrow if (narrow == points).all() else points,
        "point_count": counts,
        "lacks_keypoints": lacks_keypoints,
        "lacks_bbox": lacks_bbox,
        "lacks_area": lacks_area,
        "lacks_num_keypoints": lacks_num_keypoints,
    }


def _check_lost(
    lost: Bools, columns: Columns, categories: Sequence[Category], path: Path, findings: Findings
) -> None:
    """Report annotations of unknown images that have too few or too many keypoints.

    Those that are chosen are checked later; evaluation refuses these, too.
    """
    count_of = {each.id: 3 * len(each.keypoints) for each in categories if each.keypoints}
    for i in np.flatnonzero(lost & (columns["point_count"] > 0)).tolist():
        count, category = int(columns["point_count"][i]), int(columns["category_id"][i])
        if (wanted := count_of.get(category, count)) != count:
            text = f"{path} annotation {columns['number'][i]} (id {columns['id'][i]}): keypoints "
            findings.add("keypoint-count", f"{text}must be {wanted} numbers, got {count}")


def _fill_boxes(boxes: Floats, rows: Ints, points: Floats, first: Ints) -> None:
    """Set some boxes (n, 4) to those around their keypoints."""
    counts = np.diff(first)[rows]
    for count in np.unique(counts[(counts > 0) & (counts % 3 == 0)]).tolist():  # most often one
        chosen = rows[counts == count]
        each = points[first[chosen, None] + np.arange(count)]  # (m, 3K)
        boxes[chosen] = boxes_around(each.reshape(len(chosen), -1, 3))


def _distinct_images(columns: Columns, path: Path, findings: Findings) -> Columns:
    """Return the images without those listed twice; ids of two images are refused."""
    ids, names = columns["id"], columns["name"]
    first = first_rows(ids)
    is_first, is_same = first == np.arange(len(ids)), names == names[first]
    for i in np.flatnonzero(~is_same).tolist():
        text = f"{path} image {columns['number'][i]} (id {ids[i]}): duplicate id, of "
        text += f"{names[first[i]]} and of {names[i]}; `pose-data fix` numbers them"
        findings.add("duplicate-image-id", text)
    if len(twice := ids[is_same & ~is_first]):
        text = f"{path}: {len(twice)} images are listed twice, id {twice[0]} for one"
        findings.add("image-twice", text, len(twice))
    return {key: values[is_first] for key, values in columns.items()}


def _number(columns: Columns, path: Path, findings: Findings) -> None:
    """Give annotations without id one, and report duplicate ids."""
    ids, lacks = columns["id"], columns["lacks_id"]
    largest, count = int(ids[~lacks].max(initial=0)), int(lacks.sum())
    if largest + count >= 2**63:
        text = f"{path}: annotations have no id, and none is left above {largest}"
        findings.stop("wrong-type", text)
    ids[:] = number_missing(ids, lacks)
    text = f"{path}: {count} annotations have no id: numbered in the order of the file"
    findings.add("missing-field", text, count)
    used = np.flatnonzero(columns["is_used"])
    for i in used[first_rows(ids[used]) != np.arange(len(used))].tolist():
        text = f"{path} annotation {columns['number'][i]} (id {ids[i]}): duplicate id; "
        findings.add("duplicate-annotation-id", f"{text}`pose-data fix` numbers them")


def number_missing(ids: Ints, lacks: Bools) -> Ints:
    """Return ids (n,) in which those that are missing are numbered, above all others."""
    numbered = ids.copy()
    numbered[lacks] = ids[~lacks].max(initial=0) + 1 + np.arange(lacks.sum())
    return numbered


def _fill_sizes(images: Columns, path: Path, image_dir: Path | None, findings: Findings) -> int:
    """Set the sizes that a file does not give to those of the images; returns how many."""
    unknown = np.flatnonzero((images["size"] == 0).any(axis=1))
    if image_dir is None and findings.is_strict and len(unknown):
        text = f"{path} image {images['number'][unknown[0]]} has no width and height: write them, "
        findings.stop("no-size", f"{text}or give the folder of the images (image_dir)")
    for i in unknown:
        if image_dir is None:
            break
        try:
            file = inside(image_dir, str(images["name"][i]))
            images["size"][i] = upright_size(read_header(file))
        except DatasetError as error:
            findings.add("no-size", f"{path} image {images['number'][i]}: {error}")
    return len(unknown)
