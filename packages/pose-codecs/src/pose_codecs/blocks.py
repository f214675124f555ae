"""Ranges of values in blocks of pixels: one pass over a map that saves later ones.

Associative embedding searches large maps for a few maxima. The lowest and highest values of small
blocks tell which blocks can hold one; the others, most of them, are skipped.
"""

import numpy as np

from pose_codecs._jit import F32, I64, jit_later

# A block is BLOCK x BLOCK pixels; the last ones of a row or column may be smaller. numba's cache
# does not see this number change for kernels in other files: delete __pycache__ then.
BLOCK = 8


def block_maxima(heatmaps: F32) -> F32:
    """Return upper bounds (K, blocks) of the blocks of heatmaps (K, H, W), row by row.

    They are exact but for the smaller blocks, whose bound is that of a whole block that ends at the
    border. Raises ValueError for NaN and inf.
    """
    heatmaps = at_least_a_block(heatmaps[..., None])[..., 0]
    keypoints, height, width = heatmaps.shape
    maxima = np.empty((keypoints, -(-height // BLOCK), -(-width // BLOCK)), np.float32)
    poison = np.zeros(width, np.float32)
    _block_maxima(heatmaps, maxima, np.empty(width, np.float32), poison)
    if np.isnan(poison).any():
        raise ValueError("heatmaps must be finite, got NaN or inf")
    return maxima.reshape(keypoints, -1)


def at_least_a_block(maps: F32) -> F32:
    """Repeat the last row and column of maps (K, H, W, L) until they hold a whole block."""
    missing = [max(0, BLOCK - side) for side in maps.shape[1:3]]
    if not any(missing):
        return maps
    return np.pad(maps, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")


def tag_ranges(tags: F32) -> F32:
    """Return the lowest and highest values (2, L, blocks) in the blocks of a tag map (H, W, L).

    They are as exact as block_maxima. Raises ValueError for NaN and inf.
    """
    height, width, length = tags.shape
    ranges = np.empty((2, length, -(-height // BLOCK), -(-width // BLOCK)), np.float32)
    low, high, poison = (np.zeros(width * length, np.float32) for _ in range(3))
    _block_ranges(tags.reshape(height, -1), ranges[0], ranges[1], low, high, poison)
    if np.isnan(poison).any():
        raise ValueError("tags must be finite, got NaN or inf")
    return ranges.reshape(2, length, -1)


def _pixels_of_blocks(side: int) -> I64:
    """Return the pixels (blocks, BLOCK) of the blocks along a side; the last block ends with it."""
    first = np.minimum(np.arange(0, side, BLOCK), side - BLOCK)
    return first[:, None] + np.arange(BLOCK)


def _plain_block_maxima(heatmaps: F32, maxima: F32, high: F32, poison: F32) -> None:
    """Do what _block_maxima does."""
    _, height, width = heatmaps.shape
    bands = heatmaps[:, _pixels_of_blocks(height)].max(axis=2)  # (K, down, W)
    maxima[:] = bands[..., _pixels_of_blocks(width)].max(axis=3)
    poison[~np.isfinite(heatmaps).all(axis=(0, 1))] = np.nan


@jit_later(_plain_block_maxima)
def _block_maxima(heatmaps: F32, maxima: F32, high: F32, poison: F32) -> None:
    """Fill the maxima (K, down, across) of heatmaps; poison (W,) becomes NaN by NaN and inf.

    `high` (W,) is memory to work in.
    """
    keypoints, height, width = heatmaps.shape
    _, down, across = maxima.shape
    for k in range(keypoints):
        for block_row in range(down):
            top = min(block_row * BLOCK, height - BLOCK)
            part = heatmaps[k, top : top + BLOCK]
            for i in range(width):  # LLVM unrolls the inner loop and vectorises this one
                most = part[0, i]
                nothing = most - most  # 0, or NaN
                for y in range(1, BLOCK):
                    value = part[y, i]
                    most = value if value > most else most
                    nothing += value - value
                high[i] = most
                poison[i] += nothing
            for block in range(across):
                left = min(block * BLOCK, width - BLOCK)
                most = high[left]
                for i in range(left + 1, left + BLOCK):
                    most = max(most, high[i])
                maxima[k, block_row, block] = most


def _plain_block_ranges(
    tags: F32, lowest: F32, highest: F32, low: F32, high: F32, poison: F32
) -> None:
    """Do what _block_ranges does."""
    height, size = tags.shape
    length, down, _ = lowest.shape
    columns = _pixels_of_blocks(size // length)
    bands = tags[_pixels_of_blocks(height)]  # (down, BLOCK, W * L)
    for reduce, ranges in ((np.minimum.reduce, lowest), (np.maximum.reduce, highest)):
        blocks = reduce(bands, axis=1).reshape(down, -1, length)[:, columns]
        ranges[:] = reduce(blocks, axis=2).transpose(2, 0, 1)  # from (down, across, L)
    poison[~np.isfinite(tags).all(axis=0)] = np.nan


@jit_later(_plain_block_ranges)
def _block_ranges(tags: F32, lowest: F32, highest: F32, low: F32, high: F32, poison: F32) -> None:
    """Fill the ranges (L, down, across) of tags (H, W * L), and poison as _block_maxima."""
    height, size = tags.shape
    length, down, across = lowest.shape
    for block_row in range(down):
        top = min(block_row * BLOCK, height - BLOCK)
        part = tags[top : top + BLOCK]
        for i in range(size):
            least, most = part[0, i], part[0, i]
            nothing = most - most
            for y in range(1, BLOCK):
                value = part[y, i]
                least = value if value < least else least
                most = value if value > most else most
                nothing += value - value
            low[i], high[i] = least, most
            poison[i] += nothing
        for block in range(across):
            left = min(block * BLOCK * length, size - BLOCK * length)
            for t in range(length):
                first = left + t
                least, most = low[first], high[first]
                for i in range(1, BLOCK):  # a fixed number, so that LLVM unrolls it
                    least = min(least, low[first + i * length])
                    most = max(most, high[first + i * length])
                lowest[t, block_row, block], highest[t, block_row, block] = least, most
