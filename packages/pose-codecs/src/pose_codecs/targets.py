"""Associative embedding, training targets: heatmaps of all people and where to read their tags.

As in MMPose 0.29. Keypoints are in heatmap pixels here; people lie along the first axis.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose_codecs._jit import F32, I64, Bools, jit_later
from pose_codecs.msra import gaussian


def encode_people(
    keypoints: ArrayLike, visible: ArrayLike, heatmap_size: tuple[int, int], sigma: float = 2.0
) -> F32:
    """Draw the visible keypoints (P, K, 2) of all people into heatmaps (K, H, W), by maximum.

    A Gaussian has its centre in the pixel int(x), int(y), truncated towards zero, and is cut
    3 sigma + 1 pixels from it. `heatmap_size` is (w, h); sigma -1 stands for sqrt(w * h) / 64.
    """
    pixels, inside = visible_pixels(keypoints, visible, heatmap_size)
    width, height = heatmap_size
    reach, patch = gaussian_patch(heatmap_size, sigma)
    heatmaps = np.zeros((pixels.shape[1], height, width), np.float32)
    # Rounded half to even: with a fractional sigma the windows change width, as published.
    starts, stops = np.rint(pixels - reach), np.rint(pixels + reach + 1)
    windows = np.concatenate([starts, stops], axis=2).astype(np.int64)  # (P, K, 4)
    _paste_maxima(heatmaps, inside.nonzero()[1], windows[inside], patch)
    return heatmaps


def gaussian_patch(heatmap_size: tuple[int, int], sigma: float) -> tuple[float, F32]:
    """Return the Gaussian (S, S) of one keypoint and how far it reaches from its middle."""
    width, height = heatmap_size
    sigma = float(np.sqrt(width * height) / 64 if sigma < 0 else sigma)
    reach = 3 * sigma + 1
    x = np.arange(0, 2 * reach + 1, dtype=np.float32) - np.float32(reach)
    return reach, gaussian(x, sigma)


@jit_later()
def _paste_maxima(heatmaps: F32, channels: I64, windows: I64, patch: F32) -> None:
    """Paste patch into channels (M,) of heatmaps (K, H, W) at windows (M, 4), two corners xy."""
    _, height, width = heatmaps.shape
    size = len(patch)
    for m in range(len(channels)):
        k, (left, top, right, bottom) = channels[m], windows[m]
        for row in range(max(0, top), min(height, bottom, top + size)):
            for column in range(max(0, left), min(width, right, left + size)):
                value = patch[row - top, column - left]
                heatmaps[k, row, column] = max(heatmaps[k, row, column], value)


def keypoint_indices(
    keypoints: ArrayLike,
    visible: ArrayLike,
    heatmap_size: tuple[int, int],
    max_instances: int = 30,
    tag_per_keypoint: bool = True,
) -> NDArray[np.int32]:
    """Tell where the tags of each person are in flattened tag maps (K * H * W).

    Returns (max_instances, K, 2): the rows (index, 1) of a person's keypoints that are visible and
    inside, then rows of zeros. The index is k * H * W + y * W + x, without the first term if the
    keypoints share one tag map. Raises ValueError for a person beyond max_instances with a keypoint
    to index.
    """
    pixels, inside = visible_pixels(keypoints, visible, heatmap_size)
    width, height = heatmap_size
    indices = np.zeros((max_instances, pixels.shape[1], 2), np.int32)
    if inside[max_instances:].any():
        raise ValueError(
            f"keypoints has {len(pixels)} people, more than max_instances={max_instances}"
        )
    for p, k_inside in enumerate(inside[:max_instances]):
        k = np.flatnonzero(k_inside)
        x, y = pixels[p, k].T
        offsets = k * height * width if tag_per_keypoint else 0
        indices[p, : len(k), 0] = offsets + y * width + x
        indices[p, : len(k), 1] = 1
    return indices


def visible_pixels(
    keypoints: ArrayLike, visible: ArrayLike, heatmap_size: tuple[int, int]
) -> tuple[I64, Bools]:
    """Return the pixels (P, K, 2) of keypoints and whether they are visible and inside (P, K).

    Truncated towards zero, so that what is less than a pixel outside on the left or top is inside,
    as published. Raises ValueError for wrong shapes and for a visible keypoint that is NaN.
    """
    points, shown = np.asarray(keypoints, np.float32), np.asarray(visible) > 0
    if points.ndim != 3 or points.shape != (*shown.shape, 2):
        raise ValueError(
            "keypoints and visible must be (P, K, 2) and (P, K), "
            f"got {points.shape} and {shown.shape}"
        )
    if np.isnan(points[shown]).any():
        raise ValueError("keypoints must be numbers where visible > 0, got NaN")
    inside = shown & ((points > -1) & (points < heatmap_size)).all(axis=2)
    return np.where(inside[..., None], points, 0).astype(np.int64), inside
