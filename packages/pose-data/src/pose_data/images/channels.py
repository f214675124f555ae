"""From BGR, as images are decoded, to the input of networks, RGB or grey, and back."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2

Image = NDArray[np.uint8]
Channels = Literal[1, 3]


def check_channels(channels: int) -> None:
    """Raise ValueError for a number of channels that no image has here."""
    if channels not in (1, 3):
        raise ValueError(f"channels must be 3 (RGB) or 1 (grey), got {channels}")


def in_channels(image: Image, channels: int) -> Image:
    """Return an image (H, W, 3) BGR itself, or for one channel its luma (H, W).

    Luma is 0.299 R + 0.587 G + 0.114 B; images that are grey keep their values.
    """
    return image if channels == 3 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def to_input(image: Image) -> Image:
    """Return a BGR image (h, w, 3) as RGB, a grey one (h, w) as (h, w, 1)."""
    return image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def from_input(image: Image) -> Image:
    """Return the image of a sample, (h, w, 3) RGB or (h, w, 1) grey, as (h, w, 3) BGR."""
    code = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(image, code)  # type: ignore[return-value]
