"""DARK: sub-pixel maxima of heatmaps by one Newton step on the blurred log-heatmap.

Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020,
as in MMPose 1.3. The published code blurs whole maps; a Newton step reads 13 pixels, so only those
are blurred here.
"""

from functools import lru_cache

import numpy as np

from pose_codecs._jit import F32, jit

LOWEST = np.float32(1e-10)  # the published floor under the logarithm


def default_blur_size(sigma: float) -> int:
    """Return the odd blur width DARK uses with a target sigma: 11 pixels for 2, 17 for 3."""
    return max(3, int(6 * sigma - 1) | 1)


@lru_cache(maxsize=32)
def blur_weights(size: int) -> F32:
    """Return the 1-D Gaussian (size,) that OpenCV's GaussianBlur(size, sigma=0) uses."""
    if size < 3 or size % 2 == 0:
        raise ValueError(f"blur_size must be an odd number of at least 3 pixels, got {size}")
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8  # OpenCV's rule for sigma 0
    if size <= 7:  # OpenCV's fixed small kernels, which its rule does not give exactly
        small = {3: [1, 2, 1], 5: [1, 4, 6, 4, 1], 7: [2, 7, 14, 18, 14, 7, 2]}
        weights = np.array(small[size], np.float64)
    else:
        x = np.arange(size) - (size - 1) / 2
        weights = np.exp(-(x**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(np.float32)
    weights.flags.writeable = False  # shared by the cache
    return weights


@jit
def move_dark(heatmaps: F32, points: F32, weights: F32) -> None:
    """Move the maxima (M, 2) of heatmaps (M, H, W) to those of the blurred log-heatmaps.

    Points are in heatmap pixels, weights are those of the blur. Maxima within one pixel of the
    border, and flat ones, stay where they are.
    """
    count, height, width = heatmaps.shape
    patch = np.empty((5, 5), np.float32)
    for m in range(count):
        x, y = int(points[m, 0]), int(points[m, 1])
        if not (1 < x < width - 2 and 1 < y < height - 2):
            continue
        _blur_patch(heatmaps[m], x, y, weights, patch)
        # The published code rescales the blurred map to the old maximum. That factor is at least 1
        # and cancels in the derivatives of the logarithm, unless a value falls below the floor.
        scale = np.float32(1.0)
        if patch.min() < LOWEST:
            scale = heatmaps[m, y, x] / _blurred_max(heatmaps[m], weights)
        for i in range(5):
            for j in range(abs(i - 2), 5 - abs(i - 2)):  # the diamond that is read below
                patch[i, j] = np.log(max(patch[i, j] * scale, LOWEST))
        dx = np.float32(0.5) * (patch[2, 3] - patch[2, 1])
        dy = np.float32(0.5) * (patch[3, 2] - patch[1, 2])
        dxx = np.float32(0.25) * (patch[2, 4] - 2 * patch[2, 2] + patch[2, 0])
        dyy = np.float32(0.25) * (patch[4, 2] - 2 * patch[2, 2] + patch[0, 2])
        dxy = np.float32(0.25) * (patch[3, 3] - patch[1, 3] - patch[3, 1] + patch[1, 1])
        determinant = dxx * dyy - dxy * dxy
        if determinant != 0:
            points[m, 0] -= (dyy * dx - dxy * dy) / determinant
            points[m, 1] -= (dxx * dy - dxy * dx) / determinant


@jit
def _blur_patch(heatmap: F32, x: int, y: int, weights: F32, patch: F32) -> None:
    """Fill patch (P, P) with the blurred heatmap (H, W), zero outside, around pixel (x, y).

    A Newton step reads no pixel more than two steps from the centre: the others are inf.
    """
    height, width = heatmap.shape
    size, taps = len(patch), len(weights)
    reach = size // 2 + taps // 2
    window = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for row in range(max(0, y - reach), min(height, y + reach + 1)):
        for column in range(max(0, x - reach), min(width, x + reach + 1)):
            window[row - y + reach, column - x + reach] = heatmap[row, column]
    blurred = np.empty(2 * reach + 1, np.float32)
    for i in range(size):
        blurred[:] = 0
        for t in range(taps):
            for column in range(2 * reach + 1):
                blurred[column] += weights[t] * window[i + t, column]
        for j in range(size):
            if abs(i - size // 2) + abs(j - size // 2) > 2:
                patch[i, j] = np.inf
                continue
            total = np.float32(0)
            for t in range(taps):
                total += weights[t] * blurred[j + t]
            patch[i, j] = total


@jit
def _blurred_max(heatmap: F32, weights: F32) -> np.float32:
    """Return the maximum of the whole blurred heatmap (H, W)."""
    height, width = heatmap.shape
    half = len(weights) // 2
    blurred = np.zeros(width + 2 * half, np.float32)
    best = np.float32(-np.inf)
    for y in range(height):
        blurred[:] = 0
        for row in range(max(0, y - half), min(height, y + half + 1)):
            for x in range(width):
                blurred[x + half] += weights[row - y + half] * heatmap[row, x]
        for x in range(width):
            total = np.float32(0)
            for t in range(len(weights)):
                total += weights[t] * blurred[x + t]
            best = max(best, total)
    return best


@jit
def move_dark_udp(heatmaps: F32, points: F32, weights: F32) -> None:
    """Move the maxima (N, K, 2) of heatmaps (N, K, H, W) by UDP's variant of the Newton step.

    It differs from DARK in the differences (at distance 1, values beyond the border repeat), in
    the floor and ceiling of the blurred values (1e-3, 50) and in moving every maximum, including
    those at the border.
    """
    samples, channels, height, width = heatmaps.shape
    patch = np.empty((3, 3), np.float32)
    for n in range(samples):
        for k in range(channels):
            x, y = int(points[n, k, 0]), int(points[n, k, 1])
            if x < 0:  # no positive value
                _log_patch_of_nowhere(heatmaps[n], k, weights, patch)
            else:
                _blur_patch(heatmaps[n, k], x, y, weights, patch)
                _repeat_edges(patch, x, y, width, height)
                _clipped_log(patch, heatmaps[n, k], heatmaps[n, k, y, x], weights)
            step_x, step_y = _udp_step(patch)
            if np.isfinite(step_x) and np.isfinite(step_y):
                points[n, k, 0] -= step_x
                points[n, k, 1] -= step_y


@jit
def _log_patch_of_nowhere(heatmaps: F32, k: int, weights: F32, patch: F32) -> None:
    """Fill patch (3, 3) with what the published code reads around (-1, -1) in channel k.

    It indexes the channels, padded by one pixel, as one flat array. So the row and column before
    the padding's corner are the last ones of the channel before. A channel of zeros gives NaN.
    """
    _, height, width = heatmaps.shape
    corner = np.empty((1, 1), np.float32)
    sources = ((k, 0, 0), (k - 1, height - 1, width - 1), (k - 1, height - 1, 0))
    values = np.empty(3, np.float32)
    for i, (channel, y, x) in enumerate(sources):
        _blur_patch(heatmaps[channel], x, y, weights, corner)
        _clipped_log(corner, heatmaps[channel], heatmaps[channel].max(), weights)
        values[i] = corner[0, 0]
    patch[:] = values[0]
    patch[0, 0] = patch[1, 0] = values[1]
    patch[0, 1] = values[2]


@jit
def _repeat_edges(patch: F32, x: int, y: int, width: int, height: int) -> None:
    """Repeat the border pixels in the part of patch (3, 3) around (x, y) beyond the border."""
    if x == 0:
        patch[:, 0] = patch[:, 1]
    if x == width - 1:
        patch[:, 2] = patch[:, 1]
    if y == 0:
        patch[0] = patch[1]
    if y == height - 1:
        patch[2] = patch[1]


@jit
def _clipped_log(patch: F32, heatmap: F32, maximum: np.float32, weights: F32) -> None:
    """Rescale a blurred patch to the old maximum, clip it and take its logarithm in place."""
    lowest, highest = np.float32(1e-3), np.float32(50)
    scale = np.float32(1)
    if patch.min() < lowest or maximum > highest:  # else the factor cancels, as in move_dark
        scale = maximum / _blurred_max(heatmap, weights)
    for i in range(patch.shape[0]):
        for j in range(patch.shape[1]):
            value = patch[i, j] * scale
            if value < lowest:  # not min(max()): a NaN must stay one
                value = lowest
            elif value > highest:
                value = highest
            patch[i, j] = np.log(value)


@jit
def _udp_step(log: F32) -> tuple[float, float]:
    """Return the Newton step (x, y) at the centre of a patch (3, 3) of log values."""
    dx = np.float64(np.float32(0.5) * (log[1, 2] - log[1, 0]))
    dy = np.float64(np.float32(0.5) * (log[2, 1] - log[0, 1]))
    eps = np.float64(np.finfo(np.float32).eps)  # keeps the published matrix invertible
    dxx = np.float64(log[1, 2] - 2 * log[1, 1] + log[1, 0]) + eps
    dyy = np.float64(log[2, 1] - 2 * log[1, 1] + log[0, 1]) + eps
    dxy = np.float64(
        np.float32(0.5)
        * (
            (log[2, 2] - log[1, 2] - log[2, 1] + log[1, 1])
            + (log[1, 1] - log[1, 0] - log[0, 1] + log[0, 0])
        )
    )
    determinant = dxx * dyy - dxy * dxy
    return (dyy * dx - dxy * dy) / determinant, (dxx * dy - dxy * dx) / determinant
