"""UDP heatmaps: Gaussians at sub-pixel positions in an unbiased coordinate system.

Huang et al., "The Devil is in the Details: Delving into Unbiased Data Processing for Human Pose
Estimation", CVPR 2020 (the Gaussian form), as in MMPose 1.3.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pose_codecs._jit import F32, jit
from pose_codecs.dark import blur_weights, move_dark_udp
from pose_codecs.msra import FAR, check_heatmaps, check_keypoints, check_options, find_maxima


@dataclass(frozen=True)
class UDPHeatmap:
    """Encode keypoints as UDP's Gaussian heatmaps and decode them.

    Sizes are (w, h); the first and last pixel centres of input and heatmap coincide, so heatmap
    pixel = input pixel / stride with stride = (input_size - 1) / (heatmap_size - 1). Crops must be
    made by the same rule. `sigma` is in heatmap pixels, `blur_size` (None: from sigma) too.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float = 2.0
    blur_size: int | None = None

    def __post_init__(self) -> None:
        check_options(self.input_size, self.heatmap_size, self.sigma, self.blur_size)
        if min(self.heatmap_size) < 2:
            raise ValueError(f"heatmap_size must be at least (2, 2), got {self.heatmap_size}")

    def encode(self, keypoints: ArrayLike, visible: ArrayLike) -> tuple[F32, F32]:
        """Turn keypoints (..., K, 2) in input pixels and visible (..., K) into targets.

        Returns heatmaps (..., K, H, W) and weights (..., K), as MSRAHeatmap.encode does.
        """
        points, weights = check_keypoints(keypoints, visible)
        width, height = self.heatmap_size
        heatmaps = np.zeros((*weights.shape, height, width), np.float32)  # (..., K, H, W)
        last_pixels = np.subtract(self.input_size, 1), np.subtract(self.heatmap_size, 1)
        stride = np.divide(*last_pixels, dtype=np.float32)
        maps = heatmaps.reshape(-1, height, width)  # (N*K, H, W)
        _paste(maps, points.reshape(-1, 2), weights.reshape(-1), stride, np.float32(self.sigma))
        return heatmaps, weights

    def decode(self, heatmaps: Any) -> tuple[F32, F32]:
        """Find the maximum of each heatmap (K, H, W) or (N, K, H, W) to a fraction of a pixel.

        Returns keypoints (..., K, 2) and scores (..., K), the maxima. Keypoints are fractions of
        the box times input_size, as published: multiply by (input_size - 1) / input_size for the
        pixels of the input. A heatmap without a positive value gives a point at (-1, -1) heatmap
        pixels or, as published, one that depends on the channel before; where the published code
        gives NaN the point stays at (-1, -1). Raises ValueError for wrong shapes, NaN and inf.
        """
        maps = check_heatmaps(heatmaps, self.heatmap_size)
        points, scores = find_maxima(maps)  # (N*K, 2), (N*K,)
        shape = np.shape(heatmaps)[:-2]
        blur = blur_weights(self.blur_size, self.sigma)
        move_dark_udp(maps, points, scores, shape[-1], blur)
        # Not the stride of encode: decoded / input_size is the fraction of the box, whose ends are
        # the first and last pixel centres, as the published conversion to the image expects.
        points *= np.divide(self.input_size, np.subtract(self.heatmap_size, 1), dtype=np.float32)
        return points.reshape(*shape, 2), scores.reshape(shape)


@jit
def _paste(maps: F32, points: F32, weights: F32, stride: F32, sigma: np.float32) -> None:
    """Draw a Gaussian into maps (M, H, W) at points (M, 2); set the weight of outsiders to 0."""
    _, height, width = maps.shape
    radius = int(3 * sigma)
    for m in range(len(maps)):
        if weights[m] < 0.5:
            continue
        px, py = points[m, 0] / stride[0], points[m, 1] / stride[1]
        if not (abs(px) < FAR and abs(py) < FAR):
            weights[m] = 0
            continue
        # The window is rounded as in MSRA targets, with the same cases at the border.
        x, y = int(px + np.float32(0.5)), int(py + np.float32(0.5))
        if x - radius >= width or y - radius >= height or min(x, y) + radius + 1 < 0:
            weights[m] = 0
            continue
        for row in range(max(0, y - radius), min(height, y + radius + 1)):
            for column in range(max(0, x - radius), min(width, x + radius + 1)):
                squared = (column - px) ** 2 + (row - py) ** 2
                maps[m, row, column] = np.exp(-squared / (2 * sigma**2))
