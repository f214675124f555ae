"""All annotated regions of a set of images, and the masks of those not to be trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

# Arrays with one row for each region; the others of Regions are ragged.
_BY_REGION = (
    *("ids", "image_index", "category_ids", "is_crowd", "num_keypoints"),
    *("bbox_xywh", "area", "keypoints", "visible"),
)


@dataclass(frozen=True)
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

    @property
    def is_ignored(self) -> NDArray[np.bool_]:
        """Which regions (R,) show people without labels: MMPose's rule for bottom-up masks."""
        return self.is_crowd | (self.num_keypoints == 0)

    def rles(self, index: int, size: tuple[int, int]) -> list[dict[str, Any]]:
        """Return the masks of a region for `pycocotools.mask.decode`; size is the image's (w, h).

        One per polygon, or the one RLE; none for persons with keypoints.
        """
        width, height = size
        found: list[dict[str, Any]] = []
        packed = self.rle_bytes[self.rle_first[index] : self.rle_first[index + 1]]
        if len(packed):
            found.append({"size": [height, width], "counts": packed.tobytes()})
        for p in range(self.polygon_first[index], self.polygon_first[index + 1]):
            points = self.points[self.point_first[p] : self.point_first[p + 1]]
            found += rle.frPyObjects([points.ravel().tolist()], height, width)
        return found


def starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each of n ragged rows starts, and where the last ends: (n + 1,)."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def take_ragged(
    first: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the new starts and the elements that some rows of a ragged array hold, in order."""
    counts = np.diff(first)[rows]
    new_first = starts(counts)
    elements = np.arange(new_first[-1]) + np.repeat(first[rows] - new_first[:-1], counts)
    return new_first, elements


def join_regions(parts: list[Regions], first_image: list[int]) -> Regions:
    """Put regions of the same K behind one another; first_image is added to each's image_index."""

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    def joined_starts(name: str) -> NDArray[np.int64]:
        return starts(np.concatenate([np.diff(getattr(part, name)) for part in parts]))

    moved = [part.image_index + first for part, first in zip(parts, first_image, strict=True)]
    plain: dict[str, Any] = {name: joined(name) for name in _BY_REGION}
    return Regions(
        **plain | {"image_index": np.concatenate(moved)},
        polygon_first=joined_starts("polygon_first"),
        point_first=joined_starts("point_first"),
        points=joined("points"),
        rle_first=joined_starts("rle_first"),
        rle_bytes=joined("rle_bytes"),
    )


def trained_pixels(
    regions: Regions | None, rows: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a picture's mask (h, w): 0 where a crowd or a person without keypoints is, else 255.

    rows: the regions of the picture; size: its (w, h). As published, people without a segmentation
    are not masked.
    """
    width, height = size
    ignored = []
    if regions is not None:
        for row in rows[regions.is_ignored[rows]].tolist():
            ignored += regions.rles(row, size)
    mask = np.full((height, width), 255, np.uint8)
    if ignored:
        mask[decode_rle(rle.merge(ignored)["counts"], size)] = 0  # their union
    return mask


def decode_rle(counts: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode COCO's compressed run lengths into a mask (h, w).

    pycocotools' own decode warns under numpy 2, and stops working with the change it warns of.
    """
    width, height = size
    runs = run_lengths(counts)
    values = np.arange(len(runs)) % 2 == 1  # off, on, off ... down the columns
    return np.repeat(values, runs).reshape(width, height).T


def run_lengths(counts: bytes) -> list[int]:
    """Expand compressed run lengths: five bits a byte, low ones first; from the third, changes.

    Raises ValueError for bytes that are none.
    """
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        bits = byte - 48
        if not 0 <= bits < 64 or shift > 35:  # seven bytes hold any length
            raise ValueError("no run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the number ends here
            if bits & 16:
                value |= -1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift or min(runs, default=0) < 0:
        raise ValueError("no run lengths")
    return runs
