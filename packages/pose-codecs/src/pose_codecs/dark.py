"""DARK: sub-pixel maxima of heatmaps by one Newton step on the blurred log-heatmap.

Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020,
as in MMPose 1.3. The published code blurs whole maps; a Newton step reads 13 pixels, so only those
are blurred here.
"""

from functools import lru_cache

import numpy as np

from pose_codecs._jit import F32, F64, I64, jit_later, jit_part

LOWEST = np.float32(1e-10)  # the published floor under the logarithm
UDP_LOWEST, UDP_HIGHEST = np.float32(1e-3), np.float32(50)  # floor and ceiling of UDP
EPS = float(np.finfo(np.float32).eps)  # keeps UDP's matrix invertible, as published
# The pixels of a patch (5, 5) that a Newton step of DARK reads: two steps from the centre at most.
READ = abs(np.arange(-2, 3)) + abs(np.arange(-2, 3))[:, None] <= 2


@lru_cache(maxsize=32)
def blur_weights(size: int | None, target_sigma: float) -> F32:
    """Return the 1-D Gaussian (size,) that OpenCV's GaussianBlur(size, sigma=0) uses.

    Size None is the odd one that DARK uses with targets of a sigma: 11 pixels for 2, 17 for 3.
    """
    if size is None:
        size = max(3, int(6 * target_sigma - 1) | 1)
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


def move_dark(heatmaps: F32, points: F32, weights: F32) -> None:
    """Move the maxima (M, 2) of heatmaps (M, H, W) to those of the blurred log-heatmaps.

    Points are in heatmap pixels, weights are those of the blur. Maxima within one pixel of the
    border, and flat ones, stay where they are.
    """
    patches = np.empty((len(points), 5, 5))
    _blur_dark(heatmaps, points, weights, patches)
    # Rounded from float64: logarithms of float32 depend on the compiler and the CPU.
    logarithms = np.log(patches).astype(np.float32)
    with np.errstate(all="ignore"):
        _step_dark(logarithms, points)


def _plain_blur_dark(heatmaps: F32, points: F32, weights: F32, patches: F64) -> None:
    """Do what _blur_dark does."""
    _, height, width = heatmaps.shape
    x, y = points.astype(np.int64).T
    m = np.flatnonzero((x > 1) & (x < width - 2) & (y > 1) & (y < height - 2))
    blurred = _blur_around(heatmaps, m, x[m], y[m], weights, 5)
    blurred[:, ~READ] = np.inf
    low = np.flatnonzero(blurred.min(axis=(1, 2)) < LOWEST)
    if len(low):
        most = _blurred_maxima(heatmaps[m[low]], weights)
        with np.errstate(all="ignore"):
            blurred[low] *= (heatmaps[m, y[m], x[m]][low] / most)[:, None, None]
    patches[:] = 1
    patches[m] = np.where(READ & (blurred > LOWEST), blurred, np.where(READ, LOWEST, 1))


@jit_later(_plain_blur_dark)
def _blur_dark(heatmaps: F32, points: F32, weights: F32, patches: F64) -> None:
    """Fill patches (M, 5, 5) with the blurred heatmaps around points, not below the floor.

    Pixels that are not read are 1, and so are all of a patch near the border.
    """
    count, height, width = heatmaps.shape
    row = np.empty(4 + len(weights), np.float32)
    for m in range(count):
        x, y = int(points[m, 0]), int(points[m, 1])
        if not (1 < x < width - 2 and 1 < y < height - 2):
            for i in range(5):
                for j in range(5):
                    patches[m, i, j] = 1
            continue
        lowest = _blur_patch(heatmaps, m, x, y, weights, row, patches[m])
        # The published code rescales the blurred map to the old maximum. That factor is at least 1
        # and cancels in the derivatives of the logarithm, unless a value falls below the floor.
        scale = np.float32(1)
        if lowest < LOWEST:
            scale = heatmaps[m, y, x] / _blurred_max(heatmaps, m, weights)
        for i in range(5):
            for j in range(5):
                value = np.float32(patches[m, i, j]) * scale
                if abs(i - 2) + abs(j - 2) > 2:
                    value = np.float32(1)
                elif not value > LOWEST:
                    value = LOWEST
                patches[m, i, j] = value


@jit_later()
def _step_dark(patches: F32, points: F32) -> None:
    """Move points (M, 2) by the Newton steps at the centres of patches (M, 5, 5) of logarithms."""
    half, quarter, two = np.float32(0.5), np.float32(0.25), np.float64(2)
    for m in range(len(points)):
        f = patches[m]
        dx, dy = half * (f[2, 3] - f[2, 1]), half * (f[3, 2] - f[1, 2])
        dxx = quarter * (f[2, 4] - two * f[2, 2] + f[2, 0])
        dyy = quarter * (f[4, 2] - two * f[2, 2] + f[0, 2])
        dxy = quarter * (f[3, 3] - f[1, 3] - f[3, 1] + f[1, 1])
        determinant = dxx * dyy - dxy * dxy
        if 0 < abs(determinant) < np.inf:
            points[m, 0] -= (dyy * dx - dxy * dy) / determinant
            points[m, 1] -= (dxx * dy - dxy * dx) / determinant


def _blur_around(heatmaps: F32, m: I64, x: I64, y: I64, weights: F32, size: int) -> F32:
    """Return the blurred heatmaps m (P,), zero outside, around pixels x, y: (P, size, size)."""
    _, height, width = heatmaps.shape
    reach = size // 2 + len(weights) // 2
    offsets = np.arange(-reach, reach + 1)
    rows, columns = y[:, None] + offsets, x[:, None] + offsets  # (P, S) each
    inside = ((rows >= 0) & (rows < height))[..., None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    rows, columns = rows.clip(0, height - 1)[..., None], columns.clip(0, width - 1)[:, None]
    window = np.where(inside, heatmaps[m[:, None, None], rows, columns], np.float32(0))  # (P, S, S)
    return _blur(_blur(window, weights).swapaxes(1, 2), weights).swapaxes(1, 2)


def _blurred_maxima(heatmaps: F32, weights: F32) -> F32:
    """Return the maxima (M,) of whole blurred heatmaps (M, H, W), zero outside."""
    half = len(weights) // 2
    padded = np.pad(heatmaps, ((0, 0), (half, half), (half, half)))
    blurred = _blur(_blur(padded, weights).swapaxes(1, 2), weights)
    return blurred.max(axis=(1, 2), initial=-np.inf)


def _blur(maps: F32, weights: F32) -> F32:
    """Return maps (M, H, W) blurred along columns where all weights (T,) fit: (M, H - T + 1, W)."""
    height = maps.shape[1] - len(weights) + 1
    total = np.zeros((len(maps), height, maps.shape[2]), np.float32)
    for t, weight in enumerate(weights):  # summed in the order of the kernels
        total += weight * maps[:, t : t + height]
    return total


@jit_part
def _blur_patch(
    heatmaps: F32, m: int, x: int, y: int, weights: F32, row: F32, patch: F64
) -> np.float32:
    """Fill patch (S, S) with blurred heatmap m, zero outside, around (x, y); return its minimum.

    The minimum is that of the pixels up to two steps from the centre. `row` (>= S + T - 1,) is
    memory to work in.
    """
    _, height, width = heatmaps.shape
    size, taps = len(patch), len(weights)
    reach = size // 2 + taps // 2
    first = x - reach
    lowest = np.float32(np.inf)
    for i in range(size):
        for column in range(2 * reach + 1):
            row[column] = 0
        for t in range(taps):
            source = y - reach + i + t
            if 0 <= source < height:
                for column in range(max(0, first), min(width, x + reach + 1)):
                    row[column - first] += weights[t] * heatmaps[m, source, column]
        for j in range(size):
            total = np.float32(0)
            for t in range(taps):
                total += weights[t] * row[j + t]
            patch[i, j] = total
            if abs(i - size // 2) + abs(j - size // 2) <= 2 and total < lowest:
                lowest = total
    return lowest


@jit_part
def _blurred_max(heatmaps: F32, m: int, weights: F32) -> np.float32:
    """Return the maximum of the whole blurred heatmap m of (M, H, W)."""
    _, height, width = heatmaps.shape
    half = len(weights) // 2
    row = np.empty(width + 2 * half, np.float32)
    best = np.float32(-np.inf)
    for y in range(height):
        for x in range(len(row)):
            row[x] = 0
        for source in range(max(0, y - half), min(height, y + half + 1)):
            for x in range(width):
                row[x + half] += weights[source - y + half] * heatmaps[m, source, x]
        for x in range(width):
            total = np.float32(0)
            for t in range(len(weights)):
                total += weights[t] * row[x + t]
            if total > best:
                best = total
    return best


def move_dark_udp(
    heatmaps: F32, points: F32, scores: F32, num_keypoints: int, weights: F32
) -> None:
    """Move the maxima (M, 2) of heatmaps (M, H, W) by UDP's variant of the Newton step.

    It differs from DARK in the differences (at distance 1, values beyond the border repeat), in
    the floor and ceiling of the blurred values and in moving every maximum, including those at the
    border. `scores` (M,) are the maxima; a sample is num_keypoints heatmaps.
    """
    patches = np.empty((len(points), 3, 3))
    _blur_udp(heatmaps, points, scores, num_keypoints, weights, patches)
    logarithms = np.log(patches).astype(np.float32)  # as in move_dark
    with np.errstate(all="ignore"):
        _step_udp(logarithms, points)


def _plain_blur_udp(
    heatmaps: F32, points: F32, scores: F32, num_keypoints: int, weights: F32, patches: F64
) -> None:
    """Do what _blur_udp does."""
    _, height, width = heatmaps.shape
    x, y = points.astype(np.int64).T
    found, nowhere = np.flatnonzero(x >= 0), np.flatnonzero(x < 0)
    near = _blur_around(heatmaps, found, x[found], y[found], weights, 3)
    left, right, top, bottom = (
        edge[found] for edge in (x == 0, x == width - 1, y == 0, y == height - 1)
    )
    near[left, :, 0], near[right, :, 2] = near[left, :, 1], near[right, :, 1]
    near[top, 0], near[bottom, 2] = near[top, 1], near[bottom, 1]
    patches[found] = _clip_all(heatmaps, found, near, scores, weights)
    before = np.where(nowhere % num_keypoints > 0, nowhere - 1, nowhere + num_keypoints - 1)
    # The published code indexes the channels, padded by one pixel, as one flat array. So the row
    # and column before a channel's padding are the last ones of the channel before.
    for m, part, pixel in (
        (nowhere, np.s_[:, :], (0, 0)),
        (before, np.s_[:2, :1], (width - 1, height - 1)),
        (before, np.s_[:1, 1:2], (0, height - 1)),
    ):
        x, y = np.broadcast_to(np.array(pixel)[:, None], (2, len(m)))
        corner = _blur_around(heatmaps, m, x, y, weights, 1)  # (P, 1, 1)
        patches[nowhere, *part] = _clip_all(heatmaps, m, corner, scores, weights)


def _clip_all(heatmaps: F32, m: I64, blurred: F32, scores: F32, weights: F32) -> F32:
    """Return patches (P, S, S) of blurred heatmaps m (P,), rescaled and clipped as by _clip."""
    scales = np.ones((len(m), 1, 1), np.float32)
    low = np.flatnonzero((blurred.min(axis=(1, 2)) < UDP_LOWEST) | (scores[m] > UDP_HIGHEST))
    if len(low):
        with np.errstate(all="ignore"):
            scales[low, 0, 0] = scores[m[low]] / _blurred_maxima(heatmaps[m[low]], weights)
    with np.errstate(all="ignore"):
        return (blurred * scales).clip(UDP_LOWEST, UDP_HIGHEST)  # a NaN stays one


@jit_later(_plain_blur_udp)
def _blur_udp(
    heatmaps: F32, points: F32, scores: F32, num_keypoints: int, weights: F32, patches: F64
) -> None:
    """Fill patches (M, 3, 3) with the blurred heatmaps around points, rescaled and clipped."""
    count, height, width = heatmaps.shape
    row, corner = np.empty(2 + len(weights), np.float32), np.empty((1, 1), np.float64)
    for m in range(count):
        x, y = int(points[m, 0]), int(points[m, 1])
        patch = patches[m]
        if x >= 0:
            _blur_patch(heatmaps, m, x, y, weights, row, patch)
            _repeat_edges(patch, x, y, width, height)
            _clip(patch, heatmaps, m, scores[m], weights)
            continue
        # No positive value. What the published code reads then, _plain_blur_udp explains.
        before = m - 1 if m % num_keypoints > 0 else m + num_keypoints - 1
        for i in range(3):
            source = m if i == 0 else before
            x, y = width - 1 if i == 1 else 0, height - 1 if i > 0 else 0
            _blur_patch(heatmaps, source, x, y, weights, row, corner)
            _clip(corner, heatmaps, source, scores[source], weights)
            for j in range(9):
                if i == 0 or (i == 1 and (j == 0 or j == 3)) or (i == 2 and j == 1):
                    patch[j // 3, j % 3] = corner[0, 0]


@jit_part
def _repeat_edges(patch: F64, x: int, y: int, width: int, height: int) -> None:
    """Repeat the border pixels in the part of patch (3, 3) around (x, y) beyond the border."""
    for i in range(3):
        if x == 0:
            patch[i, 0] = patch[i, 1]
        if x == width - 1:
            patch[i, 2] = patch[i, 1]
    for i in range(3):
        if y == 0:
            patch[0, i] = patch[1, i]
        if y == height - 1:
            patch[2, i] = patch[1, i]


@jit_part
def _clip(patch: F64, heatmaps: F32, m: int, maximum: np.float32, weights: F32) -> None:
    """Rescale a patch (S, S) of blurred heatmap m to the old maximum and clip it, in place."""
    lowest = np.float32(np.inf)
    for i in range(len(patch)):
        for j in range(len(patch)):
            if patch[i, j] < lowest:
                lowest = patch[i, j]
    scale = np.float32(1)
    if lowest < UDP_LOWEST or maximum > UDP_HIGHEST:  # else the factor cancels, as in _blur_dark
        scale = maximum / _blurred_max(heatmaps, m, weights)
    for i in range(len(patch)):
        for j in range(len(patch)):
            value = np.float32(patch[i, j]) * scale
            if value < UDP_LOWEST:  # not min(max()): a NaN must stay one
                value = UDP_LOWEST
            elif value > UDP_HIGHEST:
                value = UDP_HIGHEST
            patch[i, j] = value


@jit_later()
def _step_udp(patches: F32, points: F32) -> None:
    """Move points (M, 2) by the Newton steps at the centres of patches (M, 3, 3) of logarithms.

    A step that is not finite, of a heatmap of zeros, is left out.
    """
    half, two = np.float32(0.5), np.float64(2)
    for m in range(len(points)):
        f = patches[m]
        dx = np.float64(half * (f[1, 2] - f[1, 0]))
        dy = np.float64(half * (f[2, 1] - f[0, 1]))
        dxx = f[1, 2] - two * f[1, 1] + f[1, 0] + EPS
        dyy = f[2, 1] - two * f[1, 1] + f[0, 1] + EPS
        around = (f[2, 2] - f[1, 2] - f[2, 1] + f[1, 1]) + (f[1, 1] - f[1, 0] - f[0, 1] + f[0, 0])
        dxy = np.float64(half * around)
        determinant = dxx * dyy - dxy * dxy
        step_x = (dyy * dx - dxy * dy) / determinant
        step_y = (dxx * dy - dxy * dx) / determinant
        if abs(step_x) < np.inf and abs(step_y) < np.inf:
            points[m, 0] -= step_x
            points[m, 1] -= step_y
