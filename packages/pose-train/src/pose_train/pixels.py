"""An image in any form that Python programs hold one in, as the pixels that networks are given."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_data.images.decode import decode_picture, read_picture

Image = NDArray[np.uint8]

_ORIENTATION = 0x0112  # EXIF's tag


def read_pixels(image: Any) -> Image:
    """Return an image as (H, W, 3) uint8 BGR.

    image: one of
    - a path, or the bytes of an encoded file: turned upright by its EXIF orientation;
    - an array (H, W, 3) uint8 in BGR order, as OpenCV reads;
    - a PIL image of 8 bits a channel, as its pixels are, with a warning where its EXIF orientation
      says that they are not upright;
    - a torch tensor uint8 in RGB order, as torchvision reads: (3, H, W), or (H, W, 3).

    Neither PIL nor torch is imported: their images are known by their methods. Raises DatasetError
    for a file that cannot be read, ValueError for a wrong shape or type of pixels, TypeError for
    what is no image.
    """
    if isinstance(image, np.ndarray):
        return _checked(image)
    if isinstance(image, str | os.PathLike):
        return read_picture(Path(image).expanduser()).pixels
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_picture(bytes(image), f"image of {len(image)} bytes in memory").pixels
    if hasattr(image, "detach") and hasattr(image, "cpu"):
        return _of_tensor(image)
    if hasattr(type(image), "__array_interface__") and hasattr(image, "convert"):
        return _of_pil(image)
    raise TypeError(
        "an image must be a path, the bytes of an image file, a numpy array, a PIL image or a "
        f"torch tensor, got {type(image).__module__}.{type(image).__qualname__}"
    )


def _checked(image: NDArray[Any]) -> Image:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        hint = ""
        if image.ndim == 4:
            hint = "; several images are given as a list"
        elif image.ndim == 2 and image.dtype == np.uint8:
            hint = "; cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) makes one of a grey image"
        raise ValueError(
            f"an image must be (H, W, 3) uint8 in BGR order, got {image.shape} {image.dtype}{hint}"
        )
    return np.ascontiguousarray(image)


def _of_tensor(tensor: Any) -> Image:
    shape = tuple(tensor.shape)
    is_image = len(shape) == 3 and 3 in (shape[0], shape[2]) and min(shape) > 0
    if not is_image or str(tensor.dtype) != "torch.uint8":
        hint = "; several images are given as a list" if len(shape) == 4 else ""
        raise ValueError(
            "a tensor must be uint8 (0 to 255) in RGB order, (3, H, W) or (H, W, 3), got "
            f"{shape} {tensor.dtype}{hint}"
        )
    rgb = tensor.detach().cpu().numpy()
    if shape[0] == 3:
        rgb = rgb.transpose(1, 2, 0)  # (H, W, 3)
    return np.ascontiguousarray(rgb[..., ::-1])


def _of_pil(image: Any) -> Image:
    if image.mode[0] in "IF":
        raise ValueError(
            f"a PIL image must have 8 bits a channel, got mode {image.mode}; a path is read at any "
            "depth"
        )
    if image.getexif().get(_ORIENTATION, 1) not in (0, 1):
        warnings.warn(
            "a PIL image is taken as its pixels are, and the EXIF orientation of this one says "
            "that they are turned: PIL.ImageOps.exif_transpose(image) makes it upright",
            stacklevel=2,
        )
    try:
        rgb = np.asarray(image.convert("RGB"))  # (H, W, 3)
    except OSError as error:  # PIL decodes when pixels are first asked for
        raise DatasetError(f"the PIL image cannot be decoded: {error}") from error
    return _checked(rgb[..., ::-1])
