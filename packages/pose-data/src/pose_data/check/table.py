"""Read as much as there is of an annotation file, and find values that cannot be read."""

import math
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.check.findings import Findings
from pose_data.errors import DatasetError
from pose_data.formats.json import read_pieces
from pose_data.infer import infer_skeleton, unnamed_skeleton
from pose_data.skeleton import Skeleton

_EXPECTED = ("keypoints", "bbox", "area", "iscrowd", "num_keypoints", "category_id")


@dataclass(frozen=True)
class Table:
    """What could be read of a file: I images, N annotations; NaN and -1 stand for what could not.

    image_sizes (I, 2) as (w, h); image_row (N,) -1 where unknown; boxes (N, 4) as written; points
    (N, K, 3); areas (N,); counts (N,) num_keypoints as written; crowd (N,).
    """

    path: Path
    image_ids: list[int]
    file_names: list[str]
    image_sizes: NDArray[np.float64]
    ids: list[Any]
    image_row: NDArray[np.int64]
    boxes: NDArray[np.float64]
    points: NDArray[np.float64]
    areas: NDArray[np.float64]
    counts: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    skeleton: Skeleton
    categories: dict[int, int]  # id -> number of keypoints

    def name(self, row: int) -> str:
        """Name an annotation in messages."""
        return f"annotation id {self.ids[row]}"

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which keypoints (N, K) are labelled."""
        return self.points[..., 2] > 0


def read_table(path: Path, findings: Findings) -> Table | None:
    """Read as much as there is of a COCO file; returns None where it is not one."""
    images: list[Any] = []
    rows: list[Any] = []
    categories: list[Any] = []
    lists = {"images": images, "annotations": rows, "categories": categories}
    seen = set()
    for piece in read_pieces(path):
        seen.add(piece.key)
        if piece.key not in lists:
            continue
        if not isinstance(piece.value, list):
            findings.add("not-coco", f"`{piece.key}` is no list")
            return None
        convert = _compact if piece.key == "annotations" else _as_it_is
        lists[piece.key].extend(convert(record) for record in piece.value)
    if missing := {"images", "annotations"} - seen:
        findings.add("not-coco", f"{path} has no list `{'` and no `'.join(sorted(missing))}`")
        return None
    skeleton, counts = _skeleton(categories, rows, findings)
    ids, names, sizes = _images(images, findings)
    return _table(path, (ids, names, sizes), rows, skeleton, counts, findings)


def _as_it_is(record: Any) -> Any:
    return record


def _compact(record: Any) -> Any:
    """Drop what is not checked, and keep keypoints as an array: files are large."""
    if not isinstance(record, dict):
        return record
    kept = {key: value for key, value in record.items() if key != "segmentation"}
    numbers = as_numbers(record.get("keypoints"))
    if numbers is not None:
        kept["keypoints"] = numbers
    return kept


def as_numbers(value: Any) -> NDArray[np.float64] | None:
    """Return a list of finite numbers as an array, None for anything else."""
    if not isinstance(value, list):
        return None
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        return None
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iuf"):
        return None
    return array.astype(np.float64) if np.isfinite(array).all() else None


def _skeleton(
    categories: list[Any], rows: list[Any], findings: Findings
) -> tuple[Skeleton, dict[int, int]]:
    """Return the skeleton of the file, and how many keypoints each category has."""
    counts = {
        c["id"]: len(c["keypoints"]) if isinstance(c.get("keypoints"), list) else 0
        for c in categories
        if isinstance(c, dict) and isinstance(c.get("id"), int)
    }
    try:
        skeleton, _ = infer_skeleton(categories)
        if not skeleton.flip_pairs:
            findings.add("no-flip-pairs", ", ".join(skeleton.keypoints))
        return skeleton, counts
    except DatasetError as error:
        findings.add("no-keypoint-names", str(error))
    arrays = [r["keypoints"] for r in rows if isinstance(r, dict) and "keypoints" in r]
    widths = Counter(len(a) // 3 for a in arrays if isinstance(a, np.ndarray) and len(a))
    return unnamed_skeleton(widths.most_common(1)[0][0] if widths else 17)[0], counts


def _images(
    images: list[Any], findings: Findings
) -> tuple[list[int], list[str], NDArray[np.float64]]:
    ids: list[int] = []
    names: list[str] = []
    sizes: list[tuple[float, float]] = []
    for number, image in enumerate(images):
        if not isinstance(image, dict) or type(image.get("id")) is not int:
            findings.add("wrong-type", f"image {number}: needs an integer id")
            continue
        name = image.get("file_name")
        if not isinstance(name, str):
            findings.add("wrong-type", f"image id {image['id']}: needs a file_name")
            name = ""
        size = [as_number(image.get(key)) for key in ("width", "height")]
        if not all(1 <= value <= 1 << 16 for value in size):
            findings.add("missing-field", f"image id {image['id']}: width and height")
        ids.append(image["id"])
        names.append(name)
        sizes.append((size[0], size[1]))
    for twice, count in Counter(ids).items():
        if count > 1:
            findings.add("duplicate-image-id", f"image id {twice}")
    for name, count in Counter(filter(None, names)).items():
        if count > 1:
            findings.add("duplicate-file-name", name)
    return ids, names, np.array(sizes, np.float64).reshape(-1, 2)


def as_number(value: Any) -> float:
    """Return a finite number, NaN for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else math.nan


def _table(
    path: Path,
    images: tuple[list[int], list[str], NDArray[np.float64]],
    rows: list[Any],
    skeleton: Skeleton,
    categories: dict[int, int],
    findings: Findings,
) -> Table:
    """Put the annotations into arrays, and report values of a wrong type."""
    row_of = {image_id: row for row, image_id in enumerate(images[0])}
    width = 3 * skeleton.num_keypoints
    good = [row for row in rows if isinstance(row, dict)]
    if len(good) < len(rows):
        findings.add("wrong-type", "annotations that are no objects", len(rows) - len(good))
    points, boxes, missing = _values(good, width, findings)
    for key, times in missing.items():
        findings.add("missing-field", f"{key}, in {times} annotations", times)
    for twice, times in Counter(str(row.get("id")) for row in good).items():
        if times > 1:
            findings.add("duplicate-annotation-id", f"annotation id {twice}, {times} times")
    _check_ids(good, row_of, categories, findings)
    return Table(
        path=path,
        image_ids=images[0],
        file_names=images[1],
        image_sizes=images[2],
        ids=[row.get("id") for row in good],
        image_row=np.array([_row(row_of, row.get("image_id")) for row in good], np.int64),
        boxes=boxes,
        points=points,
        areas=np.array([as_number(row.get("area")) for row in good], np.float64),
        counts=np.array([as_number(row.get("num_keypoints")) for row in good], np.float64),
        crowd=np.array([bool(row.get("iscrowd")) for row in good], bool),
        skeleton=skeleton,
        categories=categories,
    )


def _values(
    rows: list[Any], width: int, findings: Findings
) -> tuple[NDArray[np.float64], NDArray[np.float64], Counter[str]]:
    """Return points (N, K, 3), boxes (N, 4), and how often each field is missing."""
    boxes = np.full((len(rows), 4), np.nan)
    points = np.zeros((len(rows), width // 3, 3))
    missing: Counter[str] = Counter()
    for i, row in enumerate(rows):
        name = f"annotation id {row.get('id')}"
        keypoints = row.get("keypoints")
        if isinstance(keypoints, np.ndarray) and len(keypoints) == width:
            points[i] = keypoints.reshape(-1, 3)
        elif isinstance(keypoints, np.ndarray):
            findings.add("keypoint-count", f"{name}: {len(keypoints)} numbers, not {width}")
        elif keypoints is not None:
            findings.add("wrong-type", f"{name}: keypoints must be finite numbers")
        box = as_numbers(row.get("bbox"))
        if box is not None and len(box) == 4:
            boxes[i] = box
        elif row.get("bbox") is not None:
            findings.add("wrong-type", f"{name}: bbox must be 4 finite numbers")
        if type(row.get("id")) is not int:
            findings.add("wrong-type", f"{name}: id must be an integer")
        missing.update(key for key in _EXPECTED if row.get(key) is None)
    return points, boxes, missing


def _row(row_of: dict[int, int], image_id: Any) -> int:
    return row_of.get(image_id, -1) if isinstance(image_id, int) else -1


def is_one_of(value: Any, known: Container[int]) -> bool:
    """Tell whether a value, of whatever type, is one of the ids."""
    return isinstance(value, int) and value in known


def _check_ids(
    rows: list[Any], row_of: dict[int, int], categories: dict[int, int], findings: Findings
) -> None:
    """Report annotations of unknown pictures and of categories that do not count."""
    unknown = [row for row in rows if _row(row_of, row.get("image_id")) < 0]
    if rows and len(unknown) == len(rows):
        wanted = ", ".join(str(row.get("image_id")) for row in rows[:3])
        have = ", ".join(str(image_id) for image_id in list(row_of)[:3])
        findings.add("image-ids-disjoint", f"annotations: {wanted} ...; images: {have} ...")
    else:
        for row in unknown:
            findings.add(
                "unknown-image", f"annotation id {row.get('id')}: image_id {row.get('image_id')!r}"
            )
    with_keypoints = {number for number, count in categories.items() if count}
    for row in rows:
        category = row.get("category_id")
        if not with_keypoints or category is None or is_one_of(category, with_keypoints):
            continue
        has_points = isinstance(row.get("keypoints"), np.ndarray) and row["keypoints"][2::3].any()
        if not is_one_of(category, categories) or has_points:
            findings.add("wrong-category", f"annotation id {row.get('id')}: {category!r}")
