"""A COCO keypoint file as a table: every image, every annotation, and what had to be derived.

This is the only reader of such files: `load_coco` chooses persons from its table, `check` looks at
all of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.categories import read_categories
from pose_data.formats.foreign import foreign
from pose_data.formats.json import Piece, collector_paused, read_pieces
from pose_data.formats.records import Columns, Rows, joined
from pose_data.formats.segmentations import segmentations
from pose_data.images.headers import read_header, upright_size
from pose_data.persons import Category
from pose_data.regions import starts

MAX_SIDE = 1 << 16  # pixels; a larger image is a mistake

# Of annotations: what is derived where it is missing, and from what.
_DERIVED = {
    "lacks_keypoints": "have no keypoints: taken for persons without labels",
    "lacks_bbox": "have no bbox: the labelled keypoints, a tenth wider on each side",
    "lacks_area": "have no area: 0.53 * width * height of the bbox",
    "lacks_iscrowd": "have no iscrowd: 0",
    "lacks_num_keypoints": "have no num_keypoints: counted",
}
_SETTLED = {"image_id", "lacks_id", "lacks_category", "odd_id", "boxed", *_DERIVED} - {"lacks_area"}
_BOXED = "annotations without labels have no segmentation to mask them out by: the bbox"


@dataclass(frozen=True)
class Table:
    """What a keypoint file holds, before anything is chosen from it.

    images: id, name, size (I, 2) as (w, h), 0 where unknown. rows: of each annotation what
    `_annotation_columns` says; keypoints are ragged, since categories may differ in their number.
    has_read_sizes: whether sizes are those of the files in the image folder.
    """

    images: Columns
    rows: Columns
    categories: tuple[Category, ...]
    has_read_sizes: bool = False


@collector_paused()
def read_table(path: Path, image_dir: Path | None, findings: Findings) -> Table:
    """Read a COCO keypoint file, gzip allowed; reports to findings, raises DatasetError.

    image_dir: None where sizes that the file does not give stay unknown.
    """
    if what := foreign(path):
        findings.stop("not-coco", what)
    images: list[Columns] = []
    rows: list[Columns] = []
    entries: list[Any] = []
    seen = set()
    for piece in read_pieces(path):
        seen.add(piece.key)
        if piece.key == "":
            findings.stop(
                "not-coco",
                f"{path} must be an object with `images` and `annotations`, got a list; results "
                "are for load_detections, AI Challenger's original files for load_aic",
            )
        if piece.key == "images":
            records = Rows(_listed(piece, path, findings), f"{path} image", piece.first, findings)
            images.append(_image_columns(records))
        elif piece.key == "annotations":
            what = f"{path} annotation"
            records = Rows(_listed(piece, path, findings), what, piece.first, findings)
            rows.append(_annotation_columns(records))
        elif piece.key == "categories" and piece.value is not None:
            entries += _listed(piece, path, findings)
    if missing := [f"`{key}`" for key in ("images", "annotations") if key not in seen]:
        text = f"{path} has no {' and no '.join(missing)}: not a COCO annotation file"
        findings.stop("not-coco", text)
    image_columns = _distinct_images(joined(images), path, findings)
    columns = joined(rows)
    _number(columns, path, findings)
    categories = read_categories(entries, columns, path, findings)
    columns["image_index"] = _image_rows(columns, image_columns["id"], path, findings)
    columns["is_used"] &= columns["image_index"] >= 0
    _say_what_was_derived(columns, path, findings)
    if count := fill_sizes(image_columns, path, image_dir, findings):
        text = f"{path}: {count} images have no width and height: read from the images"
        findings.add("missing-field", text, count)
    for key in [key for key in columns if key in _SETTLED]:
        del columns[key]
    return Table(image_columns, columns, categories, count > 0)


def _listed(piece: Piece, path: Path, findings: Findings) -> list[Any]:
    if not isinstance(piece.value, list):
        findings.stop("not-coco", f"{path}: `{piece.key}` must be a list")
    return list(piece.value)


def _image_columns(rows: Rows) -> Columns:
    ids, _ = rows.integers("id")
    sizes = np.stack(
        [rows.integers(key, required=False)[0] for key in ("width", "height")], axis=1
    )  # (n, 2)
    for i in np.flatnonzero(((sizes < 0) | (sizes > MAX_SIDE)).any(axis=1)).tolist():
        w, h = sizes[i]
        rows.refuse(i, f"width and height must be 1 to {MAX_SIDE}, got {w} x {h}")
    names = np.array(rows.texts("file_name"), np.str_)
    sizes[(sizes == 0).any(axis=1)] = 0
    number = np.arange(rows.first, rows.first + len(rows))
    columns = {"id": ids, "name": names, "size": sizes, "number": number}
    return {key: values[~rows.is_bad] for key, values in columns.items()}


def _annotation_columns(rows: Rows) -> Columns:
    """Read some annotations (n,); points (P,) are x, y, v behind one another.

    is_used: what can be read; number: places in the file; point_count: values in `points` of each.
    """
    bbox, box_counts, lacks_bbox = rows.lists("bbox", 4)
    points, counts, lacks_keypoints = rows.lists("keypoints")
    first = starts(counts)
    if (counts % 3 == 0).all():
        before = starts(points[2::3] > 0)  # labelled keypoints before each
        counted = before[first[1:] // 3] - before[first[:-1] // 3]  # (n,)
    else:  # some records are wrong, and refused if their category is taken
        ends = zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
        counted = np.array([(points[a + 2 : b : 3] > 0).sum() for a, b in ends], np.int64)
    boxes = np.zeros((len(rows), 4))
    boxes[box_counts > 0] = bbox.reshape(-1, 4)
    lacks_bbox |= (boxes == 0).all(axis=1) & (counted > 0)  # as some tools write where none is
    _fill_boxes(boxes, np.flatnonzero(lacks_bbox), points, first)
    given, lacks_num_keypoints = rows.integers("num_keypoints", required=False)
    lacks_num_keypoints |= given < 0
    num_keypoints = np.where(lacks_num_keypoints, counted, given)
    is_crowd, lacks_iscrowd = rows.flags("iscrowd")
    area, lacks_area = rows.scalars("area", least=0)
    image_id, _ = rows.integers("image_id")
    category_id, lacks_category = rows.integers("category_id", required=False, text=True)
    ids, lacks_id = rows.integers("id", required=False)
    is_ignored = is_crowd | (num_keypoints == 0)
    masks = segmentations(rows, is_ignored & ~rows.is_bad, boxes)
    return {
        "number": np.arange(rows.first, rows.first + len(rows)),
        "is_used": ~rows.is_bad,
        "id": ids,
        "lacks_id": lacks_id,
        "image_id": image_id,
        "category_id": category_id,
        "lacks_category": lacks_category,
        "odd_id": rows.has_odd_id,
        "is_crowd": is_crowd,
        "num_keypoints": num_keypoints,
        "bbox_xywh": boxes,
        "area": np.where(lacks_area, 0.53 * boxes[:, 2] * boxes[:, 3], area),
        "points": _narrowed(points),
        "point_count": counts,
        "lacks_keypoints": lacks_keypoints,
        "lacks_bbox": lacks_bbox,
        "lacks_area": lacks_area,
        "lacks_iscrowd": lacks_iscrowd,
        "lacks_num_keypoints": lacks_num_keypoints,
        **masks,
    }


def _narrowed(points: NDArray[np.float64]) -> NDArray[np.floating]:
    """Return float32 where that holds the same numbers, as it does COCO's whole pixels.

    Evaluation must see the numbers of the file; float32 is half the memory.
    """
    narrow = points.astype(np.float32)
    return narrow if (narrow == points).all() else points


def _fill_boxes(
    boxes: NDArray[np.float64],
    rows: NDArray[np.int64],
    points: NDArray[np.float64],
    first: NDArray[np.int64],
) -> None:
    """Set some boxes (n, 4) to the extent of their labelled keypoints, a tenth wider on each side.

    Heads and feet reach beyond their keypoints; no side is below a tenth of the other.
    """
    counts = np.diff(first)[rows]
    for count in np.unique(counts[(counts > 0) & (counts % 3 == 0)]).tolist():  # most often one
        chosen = rows[counts == count]
        each = points[first[chosen, None] + np.arange(count)].reshape(len(chosen), -1, 3)
        is_labelled = each[..., 2:] > 0  # (m, K, 1)
        low = np.where(is_labelled, each[..., :2], np.inf).min(axis=1)
        high = np.where(is_labelled, each[..., :2], -np.inf).max(axis=1)
        some = is_labelled.any(axis=(1, 2))
        low, extent = low[some], (high - low)[some]
        side = np.maximum(1.2 * extent, 0.1 * extent.max(axis=1, keepdims=True))
        boxes[chosen[some]] = np.concatenate([low - (side - extent) / 2, side], axis=1)


def _distinct_images(columns: Columns, path: Path, findings: Findings) -> Columns:
    """Return the images without those listed twice; ids of two images are refused."""
    ids, names = columns["id"], columns["name"]
    _, first, row = np.unique(ids, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[row] != np.arange(len(ids)))
    for i in again[names[again] != names[first[row[again]]]].tolist():
        other = names[first[row[i]]]
        findings.add(
            "duplicate-image-id",
            f"{path} image {columns['number'][i]} (id {ids[i]}): the id stands there for the "
            f"second time, of {other} and of {names[i]}; `pose-data fix` numbers them",
        )
    twice = again[names[again] == names[first[row[again]]]]
    if len(twice):
        text = f"{path}: {len(twice)} images are listed twice, id {ids[twice[0]]} for one"
        findings.add("image-twice", text, len(twice))
    kept = first[row] == np.arange(len(ids))
    return {key: values[kept] for key, values in columns.items()}


def _number(columns: Columns, path: Path, findings: Findings) -> None:
    """Give annotations without id one, and report ids that are there twice."""
    ids, lacks = columns["id"], columns["lacks_id"]
    if lacks.any():
        ids[lacks] = max(int(ids[~lacks].max(initial=0)), 0) + 1 + np.arange(lacks.sum())
        text = f"{path}: {lacks.sum()} annotations have no id: numbered in the order of the file"
        findings.add("missing-field", text, int(lacks.sum()))
    used = np.flatnonzero(columns["is_used"])
    _, first, row = np.unique(ids[used], return_index=True, return_inverse=True)
    for place in np.flatnonzero(first[row] != np.arange(len(used))).tolist():
        i = used[place]
        findings.add(
            "duplicate-annotation-id",
            f"{path} annotation {columns['number'][i]} (id {ids[i]}): the id stands there for the "
            "second time; `pose-data fix` numbers them",
        )


def fill_sizes(images: Columns, path: Path, image_dir: Path | None, findings: Findings) -> int:
    """Set the sizes that a file does not give to those of the images; returns how many."""
    unknown = np.flatnonzero((images["size"] == 0).any(axis=1))
    for i in unknown:
        if image_dir is None:
            break
        try:
            images["size"][i] = upright_size(read_header(image_dir / str(images["name"][i])))
        except DatasetError as error:
            findings.add("no-size", f"{path} image {images['number'][i]}: {error}")
    return len(unknown)


def _image_rows(
    columns: Columns, ids: NDArray[np.int64], path: Path, findings: Findings
) -> NDArray[np.int64]:
    """Return the row of each annotation's image, -1 where it is not there."""
    wanted, used = columns["image_id"], columns["is_used"]
    order = np.argsort(ids, kind="stable")
    places = np.searchsorted(ids, wanted, sorter=order)
    rows = np.append(order, -1)[np.minimum(places, len(ids))]  # (R,)
    found = np.where(np.append(ids, 0)[rows] == wanted, rows, -1)
    lost = np.flatnonzero((found < 0) & used)
    if len(lost) == used.sum() > 0:
        findings.add(
            "image-ids-disjoint",
            f"{path}: annotations are of the images {listed(wanted[lost])}, none of which is in "
            f"`images` ({listed(ids) or 'empty'})",
        )
    elif len(lost):
        findings.add(
            "unknown-image",
            f"{path}: {len(lost)} annotations left out, whose image_id is not in `images`: "
            f"annotation ids {listed(columns['id'][lost])}",
            len(lost),
        )
    return found.astype(np.int64)


def _say_what_was_derived(columns: Columns, path: Path, findings: Findings) -> None:
    used = columns["is_used"]
    for key, what in _DERIVED.items():
        if count := int((columns[key] & used).sum()):
            findings.add("missing-field", f"{path}: {count} annotations {what}", count)
    if count := int((columns["boxed"] & used).sum()):
        findings.add("no-segmentation", f"{path}: {count} {_BOXED}", count)
    if count := int((columns["odd_id"] & used).sum()):
        text = f'{path}: {count} annotations have ids like 139.0 or "1", read as integers'
        findings.add("odd-ids", text, count)


def listed(values: NDArray[Any]) -> str:
    """Return the first few values for a message."""
    return ", ".join(map(str, values[:5].tolist())) + ", ..." * (len(values) > 5)
