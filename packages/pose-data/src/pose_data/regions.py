"""All annotated regions of a set of images, and the masks of those not to be trained on."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

_STARTS = ("polygon_first", "point_first", "rle_first")  # of ragged arrays


@dataclass(frozen=True, repr=False)
class Regions:
    """The R annotations of a file in file order, crowds and persons without keypoints included.

    ids (R,), image_index (R,) rows of the images, category_ids (R,), is_crowd (R,), num_keypoints
    (R,), bbox_xywh (R, 4) and area (R,) as in the file, derived where it has none, keypoints
    (R, K, 2), float64 where float32 would change them, visible (R, K).

    Segmentations are kept where something is masked out by them: crowds, and persons without
    keypoints. Region r has the polygons `polygon_first[r]` to `polygon_first[r + 1]`; polygon p
    the points `point_first[p]` to `point_first[p + 1]` of `points` (P, 2), float64 because
    pycocotools rounds them; and the compressed RLE `rle_bytes[rle_first[r]:rle_first[r + 1]]`.
    """

    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    num_keypoints: NDArray[np.int64]
    bbox_xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    keypoints: NDArray[np.floating]
    visible: NDArray[np.float32]
    polygon_first: NDArray[np.int64]
    point_first: NDArray[np.int64]
    points: NDArray[np.float64]
    rle_first: NDArray[np.int64]
    rle_bytes: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        crowds, ignored = self.is_crowd.sum(), self.is_ignored.sum()
        return f"<Regions: {len(self)}, of which {crowds} crowds, {ignored - crowds} unlabelled>"

    @property
    def is_ignored(self) -> NDArray[np.bool_]:
        """Which regions (R,) show people without labels: MMPose's rule for bottom-up masks."""
        return self.is_crowd | (self.num_keypoints == 0)

    def rles(self, index: int, size: tuple[int, int]) -> list[dict[str, Any]]:
        """Return the masks of a region for `pycocotools.mask.decode`; size is the image's (w, h).

        One per polygon, or the one RLE; none for persons with keypoints.
        """
        width, height = size
        packed = self.rle_bytes[self.rle_first[index] : self.rle_first[index + 1]]
        found = [{"size": [height, width], "counts": packed.tobytes()}] if len(packed) else []
        for p in range(self.polygon_first[index], self.polygon_first[index + 1]):
            points = self.points[self.point_first[p] : self.point_first[p + 1]]
            found += rle.frPyObjects([points.ravel().tolist()], height, width)
        return found


def boxes_around(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return boxes (n, 4) around the labelled of keypoints (n, K, 3), zeros where none is.

    They are a tenth wider on each side, since heads and feet reach beyond their keypoints, and no
    side is below a tenth of the other: straight animals have boxes too.
    """
    boxes = np.zeros((len(points), 4))
    some = (points[..., 2] > 0).any(axis=1)
    is_labelled, xy = points[some, :, 2:] > 0, points[some, :, :2]
    low = np.where(is_labelled, xy, np.inf).min(axis=1, initial=np.inf)  # of no keypoints, too
    extent = np.where(is_labelled, xy, -np.inf).max(axis=1, initial=-np.inf) - low
    side = np.maximum(1.2 * extent, 0.1 * extent.max(axis=1, keepdims=True))
    boxes[some] = np.concatenate([low - (side - extent) / 2, side], axis=1)
    return boxes


def starts(counts: NDArray[np.integer | np.bool_]) -> NDArray[np.int64]:
    """Return where each of n ragged rows starts, and where the last ends: (n + 1,)."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def take_ragged(counts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the elements of some rows of a ragged array; counts: of every row."""
    first, new_first = starts(counts), starts(counts[rows])
    return np.arange(new_first[-1]) + np.repeat(first[rows] - new_first[:-1], counts[rows])


def join_regions(parts: list[Regions], first_image: list[int]) -> Regions:
    """Concatenate regions of the same K; first_image is added to the image_index of each."""
    columns: dict[str, NDArray[Any]] = {}
    for name in (each.name for each in fields(Regions)):
        arrays = [getattr(part, name) for part in parts]
        if name in _STARTS:
            columns[name] = starts(np.concatenate([np.diff(each) for each in arrays]))
        elif name == "image_index":
            moved = [each + first for each, first in zip(arrays, first_image, strict=True)]
            columns[name] = np.concatenate(moved)
        else:
            columns[name] = np.concatenate(arrays)
    return Regions(**columns)


def trained_pixels(
    regions: Regions | None, rows: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return an image's mask (h, w): 0 where a crowd or a person without keypoints is, else 255.

    rows: the regions of the image; size: its (w, h). As published, people without a segmentation
    are not masked.
    """
    ignored = []
    if regions is not None:
        for row in rows[regions.is_ignored[rows]].tolist():
            ignored += regions.rles(row, size)
    mask = np.full(size[::-1], 255, np.uint8)  # (h, w)
    if ignored:
        mask[decode_rle(rle.merge(ignored)["counts"], size)] = 0  # their union
    return mask


def decode_rle(counts: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode COCO's compressed run lengths into a mask (h, w).

    pycocotools' own decode warns under numpy 2, and stops working with the change it warns of.
    """
    runs = run_lengths(counts)
    values = np.arange(len(runs)) % 2 == 1  # off, on, off ... down the columns
    return np.repeat(values, runs).reshape(size).T


def run_lengths(counts: bytes) -> NDArray[np.int64]:
    """Expand compressed run lengths: five bits a byte, low ones first; from the fourth, changes.

    Raises ValueError for other bytes.
    """
    bits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    is_last = (bits & 32) == 0  # of a number
    if not len(bits):
        return bits
    if bits.min() < 0 or bits.max() > 63 or not is_last[-1]:
        raise ValueError("not run lengths")
    ends = np.flatnonzero(is_last)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > 8:  # seven bytes hold any length
        raise ValueError("not run lengths")
    first = ends - lengths + 1
    shifts = 5 * (np.arange(len(bits)) - np.repeat(first, lengths))
    runs = np.add.reduceat((bits & 31) << shifts, first)
    runs -= ((bits[ends] & 16) > 0) * (1 << 5 * lengths)  # two's complement
    for start in (1, 2):
        runs[start::2] = runs[start::2].cumsum()  # each is a change from the last but one
    if runs.min() < 0:
        raise ValueError("not run lengths")
    return runs
