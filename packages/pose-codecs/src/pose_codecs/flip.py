"""Undo the mirroring of a network's input on its outputs (flip test)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def flip_heatmaps(
    heatmaps: NDArray[np.floating], flip_indices: Sequence[int], shift: bool = True
) -> NDArray[np.floating]:
    """Turn the heatmaps (..., K, H, W) of a mirrored image into those of the image.

    `flip_indices[k]` is the keypoint that keypoint k becomes in a mirror. With `shift`, column i
    takes column i - 1 and column 0 keeps its value: an image mirrored at (W - 1) / 2 is off by
    stride - 1 input pixels in a heatmap, and this one heatmap pixel is the published remedy.
    """
    order = check_flip_indices(flip_indices, heatmaps.shape[-3])
    flipped = heatmaps[..., order, :, ::-1]  # (..., K, H, W)
    if not shift:
        return np.ascontiguousarray(flipped)
    shifted = np.empty(flipped.shape, flipped.dtype)
    shifted[..., 0] = flipped[..., 0]
    shifted[..., 1:] = flipped[..., :-1]
    return shifted


def flip_tags(
    tags: NDArray[np.floating], flip_indices: Sequence[int], shift: bool = False
) -> NDArray[np.floating]:
    """Turn the tags (..., K, H, W) of a mirrored image into those of the image.

    As flip_heatmaps; published associative embedding shifts neither.
    """
    return flip_heatmaps(tags, flip_indices, shift)


def check_flip_indices(flip_indices: Sequence[int], num_keypoints: int) -> list[int]:
    """Return flip_indices as a list; raise ValueError unless it orders all the keypoints."""
    order = [int(index) for index in flip_indices]
    if sorted(order) != list(range(num_keypoints)):
        raise ValueError(
            f"flip_indices must order the {num_keypoints} keypoints of the heatmaps, got {order}"
        )
    return order
