"""Masks of the pixels that a bottom-up network is trained on."""

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pose_data.regions import Regions


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
    """Expand compressed run lengths: five bits a byte, low ones first; from the third, changes."""
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the number ends here
            if bits & 16:
                value |= -1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs
