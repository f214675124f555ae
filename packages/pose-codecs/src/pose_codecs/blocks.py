"""Ranges of values in blocks of pixels: one pass over a map that saves later ones.

Associative embedding searches large maps for a few maxima. The lowest and highest values of small
blocks tell which blocks can hold one; the others, most of them, are skipped.
"""

import numpy as np

from pose_codecs._jit import F32, jit

# A block is BLOCK x BLOCK pixels; the last ones of a row or column may be smaller. numba's cache
# does not see this number change for kernels in other files: delete __pycache__ then.
BLOCK = 8


def block_maxima(heatmaps: F32) -> F32:
    """Return upper bounds (K, blocks) of the blocks of heatmaps (K, H, W), row by row.

    Raises ValueError for NaN and inf.
    """
    return np.stack([block_ranges("heatmaps", heatmap[..., None])[1][0] for heatmap in heatmaps])


def block_ranges(name: str, values: F32) -> tuple[F32, F32]:
    """Return lower and upper bounds (L, blocks) of the blocks of a map (H, W, L), row by row.

    They are exact but for the smaller blocks, whose bounds are those of a whole block that ends at
    the border. Raises ValueError, naming the argument, for NaN and inf.
    """
    height, width, length = values.shape
    shape = (length, -(-height // BLOCK), -(-width // BLOCK))
    if min(height, width) < BLOCK:
        missing = max(0, BLOCK - height), max(0, BLOCK - width)
        values = np.pad(values, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    lowest, highest = np.empty(shape, np.float32), np.empty(shape, np.float32)
    if not _block_ranges(values.reshape(len(values), -1), lowest, highest):
        raise ValueError(f"{name} must be finite, got NaN or inf")
    return lowest.reshape(length, -1), highest.reshape(length, -1)


@jit
def _block_ranges(rows: F32, lowest: F32, highest: F32) -> bool:
    """Fill the ranges of rows (H, W * L); return whether all values are finite."""
    height, size = rows.shape
    length, down, across = lowest.shape
    low, high = np.empty(size, np.float32), np.empty(size, np.float32)
    poison = np.zeros(size, np.float32)  # value - value is 0, or NaN for NaN and inf
    for block_row in range(down):
        top = min(block_row * BLOCK, height - BLOCK)
        part = rows[top : top + BLOCK]
        for i in range(size):  # LLVM unrolls the inner loop and vectorises this one
            least, most = part[0, i], part[0, i]
            nothing = least - least
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
                extremes = _extremes(low, high, left + t, length)
                lowest[t, block_row, block], highest[t, block_row, block] = extremes
    return bool(poison.sum() == 0)


@jit
def _extremes(low: F32, high: F32, start: int, step: int) -> tuple[np.float32, np.float32]:
    """Return the least and the greatest of BLOCK values, `step` apart."""
    least, most = low[start], high[start]
    for i in range(1, BLOCK):  # a fixed number, so that LLVM unrolls it
        least, most = min(least, low[start + i * step]), max(most, high[start + i * step])
    return least, most
