"""Segmentations in COCO's three formats, of the annotations that are masked out."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as rle

from pose_data.formats.records import Bools, Columns, Floats, Rows, flat_numbers, whole_number
from pose_data.regions import run_lengths

# Pixels from the image's corner. pycocotools walks along a polygon's edges in fifths of a pixel.
_FARTHEST = 1e6


def segmentations(rows: Rows, wanted: Bools, bbox_xywh: Floats) -> Columns:
    """Read the segmentations of the wanted records as ragged columns, one count per record.

    A missing one becomes the box. Columns: polygon_count (n,), vertex_count (polygons,), vertices
    (P, 2), rle_count (n,) bytes, rle_bytes, rle_size (n, 2) as (h, w), boxed (n,) bool.
    """
    count = len(rows)
    rle_count, rle_size = np.zeros(count, np.int64), np.zeros((count, 2), np.int64)
    boxed = np.zeros(count, bool)
    polygons: dict[int, list[list[float]]] = {}  # of the records that have some
    packed: list[bytes] = []
    for i in np.flatnonzero(wanted).tolist():
        value = rows.records[i].get("segmentation")
        if not value:
            boxed[i] = True
            x, y, w, h = bbox_xywh[i].tolist()
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            value = [corners] if w > 0 and h > 0 else []
        found = _packed_rle(value) if isinstance(value, dict) else _polygons(value)
        if isinstance(found, str):
            rows.refuse(i, f"segmentation {found}")
        elif isinstance(found, list):
            polygons[i] = found
        else:
            packed.append(found[0])
            rle_count[i], rle_size[i] = len(found[0]), found[1]
    vertices = _vertices(polygons.values())
    if vertices is None:  # rare: find the wrong ones
        for i in [i for i, found in polygons.items() if _vertices([found]) is None]:
            rows.refuse(i, f"segmentation has values that are not numbers up to {_FARTHEST:g}")
            polygons[i] = []
        vertices = _vertices(polygons.values())
    assert vertices is not None
    polygon_count = np.zeros(count, np.int64)
    polygon_count[list(polygons)] = list(map(len, polygons.values()))
    return {
        "polygon_count": polygon_count,
        "vertex_count": np.array([len(p) // 2 for each in polygons.values() for p in each], int),
        "vertices": vertices.reshape(-1, 2),
        "rle_count": rle_count,
        "rle_bytes": np.frombuffer(b"".join(packed), np.uint8),
        "rle_size": rle_size,
        "boxed": boxed,
    }


def _vertices(polygons: Iterable[list[list[float]]]) -> Floats | None:
    """Concatenate the coordinates of all polygons; None where some are not numbers in range."""
    numbers = flat_numbers(polygon for each in polygons for polygon in each)
    return numbers if numbers is not None and (np.abs(numbers) <= _FARTHEST).all() else None


def _polygons(value: Any) -> list[list[float]] | str:
    """Return the polygons, or what is wrong; fewer than three points enclose nothing."""
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        return f"must be a list of polygons or an RLE object, got {value!r:.60}"
    if any(len(polygon) % 2 for polygon in value):
        return "has a polygon with an odd number of values"
    # pycocotools takes two points for a box.
    return [polygon for polygon in value if len(polygon) >= 6]


def _packed_rle(value: dict[str, Any]) -> tuple[bytes, tuple[int, int]] | str:
    """Return the compressed counts of an RLE object and its (h, w), or what is wrong."""
    size, counts = value.get("size"), value.get("counts")
    sides = [whole_number(side) for side in size] if isinstance(size, list) else []
    if len(sides) != 2 or not all(side is not None and 0 < side <= 1 << 16 for side in sides):
        return f"has the size {size!r:.60}, not height and width"
    height, width = sides[0] or 0, sides[1] or 0
    if isinstance(counts, str):
        data = counts.encode("ascii", "replace")
        try:
            runs = run_lengths(data).tolist()
        except ValueError:
            return f"has counts that are not run lengths: {counts!r:.60}"
    elif isinstance(counts, list) and set(map(type, counts)) == {int} and min(counts) >= 0:
        data, runs = b"", counts
    else:
        return "has counts that are neither text nor whole numbers"
    area = height * width
    if sum(runs) != area:
        return f"has counts that add up to {sum(runs)}, its size {height} x {width} to {area}"
    return data or rle.frPyObjects(value, height, width)["counts"], (height, width)
