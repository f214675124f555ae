"""All annotated regions of a set of pictures, and the masks of those not to be trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle


@dataclass(frozen=True)
class Regions:
    """The R annotations of a file in file order, crowds and persons without keypoints included.

    ids (R,), image_index (R,) rows of the pictures, is_crowd (R,), num_keypoints (R,) as the file
    says (counted where it does not), bbox_xywh (R, 4) as in the file, area (R,), keypoints
    (R, K, 2), visible (R, K).

    Segmentations are kept where something is masked out by them: crowds, and persons without
    keypoints. Region r has the polygons `polygon_first[r]` to `polygon_first[r + 1]`; polygon p
    the points `point_first[p]` to `point_first[p + 1]` of `points` (P, 2), float64 because
    pycocotools rounds them; and the compressed RLE `rle_bytes[rle_first[r]:rle_first[r + 1]]`.
    """

    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    num_keypoints: NDArray[np.int64]
    bbox_xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    keypoints: NDArray[np.float32]
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
        """Return the masks of a region for `pycocotools.mask.decode`; size is the picture's (w, h).

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


def take_regions(regions: Regions, rows: NDArray[np.int64]) -> Regions:
    """Return the given regions, in the given order."""
    polygon_first, polygons = _take_ragged(regions.polygon_first, rows)
    point_first, points = _take_ragged(regions.point_first, polygons)
    rle_first, packed = _take_ragged(regions.rle_first, rows)
    return Regions(
        ids=regions.ids[rows],
        image_index=regions.image_index[rows],
        is_crowd=regions.is_crowd[rows],
        num_keypoints=regions.num_keypoints[rows],
        bbox_xywh=regions.bbox_xywh[rows],
        area=regions.area[rows],
        keypoints=regions.keypoints[rows],
        visible=regions.visible[rows],
        polygon_first=polygon_first,
        point_first=point_first,
        points=regions.points[points],
        rle_first=rle_first,
        rle_bytes=regions.rle_bytes[packed],
    )


def _take_ragged(
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
    return Regions(
        ids=joined("ids"),
        image_index=np.concatenate(moved),
        is_crowd=joined("is_crowd"),
        num_keypoints=joined("num_keypoints"),
        bbox_xywh=joined("bbox_xywh"),
        area=joined("area"),
        keypoints=joined("keypoints"),
        visible=joined("visible"),
        polygon_first=joined_starts("polygon_first"),
        point_first=joined_starts("point_first"),
        points=joined("points"),
        rle_first=joined_starts("rle_first"),
        rle_bytes=joined("rle_bytes"),
    )
