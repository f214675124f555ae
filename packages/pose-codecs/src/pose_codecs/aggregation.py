"""Merge the maps of several stages, mirrored views and scales (test-time augmentation)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose_codecs._jit import F32, I64


def resize(maps: NDArray[np.floating], size: tuple[int, int], align_corners: bool = False) -> F32:
    """Resize maps (..., H, W) to size (w, h) bilinearly; return float32 (..., h, w).

    As torch's interpolate: with `align_corners` the centres of the corner pixels stay in place,
    without it the corners of the maps do.
    """
    height, width = maps.shape[-2:]
    y, y_next, y_weight = _source(height, size[1], align_corners)
    x, x_next, x_weight = _source(width, size[0], align_corners)
    values = np.asarray(maps, np.float32)
    above, below = values[..., y, :], values[..., y_next, :]
    rows: F32 = above + (below - above) * y_weight[:, None]  # (..., h, W)
    left, right = rows[..., x], rows[..., x_next]
    resized: F32 = left + (right - left) * x_weight  # (..., h, w)
    return resized


def _source(size: int, new_size: int, align_corners: bool) -> tuple[I64, I64, F32]:
    """Return the old pixels before and after each new pixel, and the weight of the latter."""
    x, half = np.arange(new_size, dtype=np.float32), np.float32(0.5)
    if align_corners:
        x = x * np.float32((size - 1) / max(1, new_size - 1))
    else:
        x = np.maximum((x + half) * np.float32(size / new_size) - half, 0)
    before = np.minimum(x.astype(np.int64), size - 1)
    weight: F32 = np.subtract(x, before, dtype=np.float32)
    return before, np.minimum(before + 1, size - 1), weight


def aggregate(
    maps: Sequence[NDArray[np.floating]], size: tuple[int, int], align_corners: bool = False
) -> F32:
    """Average maps (..., H_i, W_i) of stages, views or scales after resizing them to size (w, h).

    The test of HigherHRNet averages the stages of the image and of its mirror image (flipped back
    by flip_heatmaps without shift) at the size of the image, then the scales.
    """
    if not maps:
        raise ValueError("maps must hold at least one map")
    total = sum(resize(m, size, align_corners) for m in maps)
    return np.asarray(total / np.float32(len(maps)), np.float32)


def aggregate_tags(
    tags: Sequence[NDArray[np.floating]], size: tuple[int, int], align_corners: bool = False
) -> F32:
    """Stack tags (..., H_i, W_i) of several views after resizing to size (w, h).

    Returns (..., h, w, L) with one value per view: image and mirror give L = 2.
    """
    if not tags:
        raise ValueError("tags must hold at least one map")
    return np.stack([resize(t, size, align_corners) for t in tags], axis=-1)
