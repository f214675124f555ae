"""MSRA heatmaps: one Gaussian per keypoint, decoded at the maximum (Xiao et al., ECCV 2018).

The published behaviour is that of MMPose 1.3, including the rounding of its targets.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from pose_codecs._jit import F32, I64, jit, jit_later
from pose_codecs.dark import blur_weights, move_dark

Refine = Literal["quarter", "dark", "none"]
PIXEL = np.ones(2, np.float32)  # the stride of points in heatmap pixels
FAR = 2.0**30  # keypoints beyond it cannot be rounded to an int and are outside of any map


@dataclass(frozen=True)
class MSRAHeatmap:
    """Encode keypoints as Gaussian heatmaps and decode them.

    Sizes are (w, h) in pixels, pixel centres at integers; heatmap pixel = input pixel / stride with
    stride = input_size / heatmap_size. `sigma` is in heatmap pixels.
    `refine` moves a maximum by a quarter pixel towards its higher neighbours ("quarter"), by DARK's
    Newton step ("dark", with a blur of `blur_size` pixels, None: from sigma) or not ("none").
    `unbiased` targets keep the sub-pixel position (those DARK trains with); else it is rounded.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float = 2.0
    refine: Refine = "quarter"
    unbiased: bool = False
    blur_size: int | None = None

    def __post_init__(self) -> None:
        check_options(self.input_size, self.heatmap_size, self.sigma, self.blur_size)
        if self.refine not in ("quarter", "dark", "none"):
            raise ValueError(f'refine must be "quarter", "dark" or "none", got {self.refine!r}')

    @cached_property
    def stride(self) -> F32:
        """Input pixels per heatmap pixel, (2,) xy."""
        return np.divide(self.input_size, self.heatmap_size, dtype=np.float32)

    def encode(self, keypoints: ArrayLike, visible: ArrayLike) -> tuple[F32, F32]:
        """Turn keypoints (..., K, 2) in input pixels and visible (..., K) into targets.

        Returns heatmaps (..., K, H, W) and weights (..., K): min(visible, 1), and 0 where the
        Gaussian is outside. A keypoint with visible < 0.5 has an empty heatmap. Raises ValueError
        for wrong shapes and for a visible keypoint that is NaN.
        """
        points, weights = check_keypoints(keypoints, visible)
        width, height = self.heatmap_size
        heatmaps = np.zeros((*weights.shape, height, width), np.float32)  # (..., K, H, W)
        maps = heatmaps.reshape(-1, height, width)  # (N*K, H, W)
        targets = maps, points.reshape(-1, 2), weights.reshape(-1), self.stride
        if self.unbiased:
            _draw(*targets, np.float32(self.sigma))
        else:
            _paste(*targets, gaussian_patch(self.sigma))
        return heatmaps, weights

    def decode(self, heatmaps: Any) -> tuple[F32, F32]:
        """Find the maximum of each heatmap (K, H, W) or (N, K, H, W).

        Returns keypoints (..., K, 2) in input pixels and scores (..., K), the maxima. A heatmap
        without a positive value gives the point (-stride, -stride), as published. Raises ValueError
        for wrong shapes and for NaN or inf.
        """
        maps = check_heatmaps(heatmaps, self.heatmap_size)
        if self.refine == "dark":
            points, scores = find_maxima(maps)
            move_dark(maps, points, blur_weights(self.blur_size, self.sigma))
            points *= self.stride
        else:
            points, scores = find_maxima(maps, self.stride, quarter=self.refine == "quarter")
        shape = np.shape(heatmaps)[:-2]
        return points.reshape(*shape, 2), scores.reshape(shape)


@lru_cache(maxsize=32)
def gaussian_patch(sigma: float) -> F32:
    """Return the (P, P) window of a Gaussian, P = 2 * int(3 sigma) + 1."""
    radius = int(3 * sigma)
    patch = gaussian(np.arange(-radius, radius + 1, dtype=np.float32), sigma)
    patch.flags.writeable = False  # shared by the cache
    return patch


def gaussian(x: F32, sigma: float) -> F32:
    """Return the values (P, P) of a Gaussian, 1 at its centre, x (P,) pixels from it each way."""
    # numpy's exp: the one compiled by numba differs in the last bit.
    values: F32 = np.exp(-(x[None] ** 2 + x[:, None] ** 2) / np.float32(2 * sigma**2))
    return values


@jit_later()
def _paste(maps: F32, points: F32, weights: F32, stride: F32, patch: F32) -> None:
    """Paste patch (P, P) into maps (M, H, W) at points (M, 2); set the weight of outsiders to 0."""
    _, height, width = maps.shape
    radius = len(patch) // 2
    for m in range(len(maps)):
        if weights[m] < 0.5:
            continue
        px = points[m, 0] / stride[0] + np.float32(0.5)
        py = points[m, 1] / stride[1] + np.float32(0.5)
        if not (abs(px) < FAR and abs(py) < FAR):
            weights[m] = 0
            continue
        x, y = int(px), int(py)  # truncates towards zero, so -1.4 is column 0, as published
        # A patch that ends one pixel before column or row 0 keeps its weight, as published.
        if x - radius >= width or y - radius >= height or min(x, y) + radius + 1 < 0:
            weights[m] = 0
            continue
        left, right = max(0, x - radius), min(width, x + radius + 1)
        for row in range(max(0, y - radius), min(height, y + radius + 1)):
            target = maps[m, row, left:right]
            source = patch[row - y + radius, left - x + radius :]
            for i in range(len(target)):  # contiguous, so LLVM copies several at a time
                target[i] = source[i]


@jit
def _draw(maps: F32, points: F32, weights: F32, stride: F32, sigma: np.float32) -> None:
    """Draw a Gaussian into maps (M, H, W) at points (M, 2); set the weight of outsiders to 0."""
    _, height, width = maps.shape
    reach = 3 * sigma
    row_values = np.empty(width, np.float32)
    for m in range(len(maps)):
        if weights[m] < 0.5:
            continue
        x, y = points[m, 0] / stride[0], points[m, 1] / stride[1]
        if not (x - reach < width and y - reach < height and min(x, y) + reach + 1 >= 0):
            weights[m] = 0
            continue
        for column in range(width):  # the Gaussian is one of the columns times one of the rows
            row_values[column] = np.exp(-((column - x) ** 2) / (2 * sigma**2))
        for row in range(height):
            value = np.float32(np.exp(-((row - y) ** 2) / (2 * sigma**2)))
            for column in range(width):
                maps[m, row, column] = value * row_values[column]


def find_maxima(heatmaps: F32, stride: F32 = PIXEL, quarter: bool = False) -> tuple[F32, F32]:
    """Find the first maximum, in row-major order, of each heatmap (M, H, W).

    Returns points (M, 2) xy in heatmap pixels times stride (2,), and the maxima (M,). Where the
    maximum is not positive the point is pixel (-1, -1), as published. `quarter` moves the others a
    quarter pixel to their higher neighbours. Raises ValueError for NaN and a maximum of inf.
    """
    count, height, width = heatmaps.shape
    # It stops at a NaN, so that the maxima tell of each.
    best = heatmaps.reshape(count, height * width).argmax(axis=1)
    points, scores = np.empty((count, 2), np.float32), np.empty(count, np.float32)
    _read_maxima(heatmaps, best, stride, quarter, points, scores)
    # The square, much faster than isfinite().all(), is inf or NaN also for a large maximum.
    if not (math.isfinite(np.vdot(scores, scores)) or np.isfinite(scores).all()):
        raise ValueError(f"heatmaps must be finite, got {scores[~np.isfinite(scores)][0]}")
    return points, scores


@jit_later()
def _read_maxima(
    heatmaps: F32, best: I64, stride: F32, quarter: bool, points: F32, scores: F32
) -> None:
    """Fill points (M, 2) and scores (M,) of the pixels `best` (M,) of heatmaps (M, H, W).

    The x shift needs 1 < x < W - 1 and 0 < y < H, the y shift likewise: the published condition,
    under which column 1 never shifts.
    """
    _, height, width = heatmaps.shape
    for m in range(len(best)):
        y, x = best[m] // width, best[m] % width
        scores[m] = heatmaps[m, y, x]
        if scores[m] <= 0:
            points[m, 0], points[m, 1] = -stride[0], -stride[1]
            continue
        x_shift, y_shift = 0, 0
        if quarter and 1 < x < width - 1 and y > 0:
            left, right = heatmaps[m, y, x - 1], heatmaps[m, y, x + 1]
            x_shift = int(right > left) - int(right < left)
        if quarter and 1 < y < height - 1 and x > 0:
            above, below = heatmaps[m, y - 1, x], heatmaps[m, y + 1, x]
            y_shift = int(below > above) - int(below < above)
        points[m, 0] = np.float32(x + 0.25 * x_shift) * stride[0]
        points[m, 1] = np.float32(y + 0.25 * y_shift) * stride[1]


def check_options(
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float,
    blur_size: int | None,
) -> None:
    """Raise ValueError for options of a codec that cannot be."""
    check_size("input_size", input_size)
    check_size("heatmap_size", heatmap_size)
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma must be a positive number of heatmap pixels, got {sigma!r}")
    if blur_size is not None:
        blur_weights(blur_size, sigma)


def check_size(name: str, size: tuple[int, int]) -> None:
    """Raise ValueError unless a size is (w, h) with two positive whole numbers."""
    if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
        raise ValueError(f"{name} must be (w, h), two positive whole numbers, got {size!r}")


def check_keypoints(keypoints: ArrayLike, visible: ArrayLike) -> tuple[F32, F32]:
    """Return keypoints (..., K, 2) as float32 and min(visible, 1), once their shapes agree."""
    points = np.ascontiguousarray(keypoints, np.float32)
    weights = np.minimum(np.ascontiguousarray(visible, np.float32), 1)  # COCO's 2 is a weight of 1
    if points.shape != (*weights.shape, 2) or weights.ndim not in (1, 2):
        raise ValueError(
            "keypoints and visible must be (K, 2) and (K,) or (N, K, 2) and (N, K), "
            f"got {points.shape} and {weights.shape}"
        )
    if not math.isfinite(np.vdot(weights, weights)):
        raise ValueError("visible must be finite numbers, got NaN or infinity")
    # The product, much faster than isnan().any(), is NaN only if a point is.
    if math.isnan(np.vdot(points, points)) and np.isnan(points[weights >= 0.5]).any():
        raise ValueError("keypoints must be numbers where visible > 0, got NaN")
    return points, weights


def check_heatmaps(heatmaps: Any, size: tuple[int, int]) -> F32:
    """Return heatmaps (..., K, H, W) as contiguous float32 (N*K, H, W), once the shape is right."""
    maps = np.ascontiguousarray(heatmaps, np.float32)
    if maps.ndim not in (3, 4) or maps.shape[-2:] != (size[1], size[0]):
        raise ValueError(
            f"heatmaps must be (K, {size[1]}, {size[0]}) or (N, K, {size[1]}, {size[0]}), "
            f"got {maps.shape}"
        )
    return maps.reshape(-1, size[1], size[0])  # (N*K, H, W)
