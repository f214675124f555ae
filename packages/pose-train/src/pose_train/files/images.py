"""An image in any form that Python programs hold one in, as the pixels that networks are given.

And images at URLs, as bytes.
"""

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_data.images.decode import decode_picture, read_picture
from pose_data.images.depth import to_8_bits
from pose_data.opencv import cv2
from pose_train.files.write import whole_file

Image = NDArray[np.uint8]

_ORIENTATION = 0x0112  # EXIF's tag

# Of a download.
TIMEOUT = 30.0  # seconds without an answer
MOST_SECONDS = 120.0
MOST_BYTES = 64 * 2**20


def read_pixels(image: Any, bits: int | None = None) -> Image:
    """Return an image as (H, W, 3) uint8 BGR.

    image: one of
    - a path, or the bytes of an encoded file: turned upright by its EXIF orientation;
    - an array (H, W, 3) in BGR order as OpenCV reads, or grey (H, W) or (H, W, 1), uint8 or uint16;
    - a PIL image of 8 bits a channel, or grey of 16, as its pixels are, with a warning where its
      EXIF orientation says that they are not upright;
    - a torch tensor uint8 as torchvision reads: in RGB order (3, H, W), or (H, W, 3); grey
      (1, H, W).

    bits: how many of 16 are in use, None for all; what is above their range is cut off.
    Neither PIL nor torch is imported: their images are known by their methods. Raises DatasetError
    for a file that cannot be read, ValueError for a wrong shape or type of pixels, TypeError for
    what is no image.
    """
    if isinstance(image, np.ndarray):
        return _of_array(image, bits)
    if isinstance(image, str | os.PathLike):
        return read_picture(Path(image).expanduser(), bits=bits).pixels
    if isinstance(image, bytes | bytearray | memoryview):
        where = f"image of {len(image)} bytes in memory"
        return decode_picture(bytes(image), where, bits=bits).pixels
    if hasattr(image, "detach") and hasattr(image, "cpu"):
        return _of_tensor(image)
    if hasattr(type(image), "__array_interface__") and hasattr(image, "convert"):
        return _of_pil(image, bits)
    raise TypeError(
        "an image must be a path, the bytes of an image file, a numpy array, a PIL image or a "
        f"torch tensor, got {type(image).__module__}.{type(image).__qualname__}"
    )


def _of_array(image: NDArray[Any], bits: int | None) -> Image:
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
    if not is_image or image.dtype not in (np.uint8, np.uint16) or not image.size:
        hint = "; several images are given as a list" if image.ndim == 4 else ""
        raise ValueError(
            "an image must be (H, W, 3) in BGR order or (H, W), uint8 or uint16, got "
            f"{image.shape} {image.dtype}{hint}"
        )
    if image.dtype == np.uint16:
        image = to_8_bits(image, bits, f"an array of {image.shape}")
    image = np.ascontiguousarray(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    return image


def _of_tensor(tensor: Any) -> Image:
    shape = tuple(tensor.shape)
    is_image = len(shape) == 3 and (3 in (shape[0], shape[2]) or shape[0] == 1) and min(shape) > 0
    if not is_image or str(tensor.dtype) != "torch.uint8":
        hint = "; several images are given as a list" if len(shape) == 4 else ""
        raise ValueError(
            "a tensor must be uint8 (0 to 255), in RGB order (3, H, W) or (H, W, 3), or grey "
            f"(1, H, W), got {shape} {tensor.dtype}{hint}"
        )
    rgb = tensor.detach().cpu().numpy()
    if shape[0] == 3 or shape[2] != 3:
        rgb = rgb.transpose(1, 2, 0)  # (H, W, C)
    return _of_array(rgb[..., ::-1], None)


def _of_pil(image: Any, bits: int | None) -> Image:
    is_deep = image.mode.startswith("I;16")
    if image.mode[0] in "IF" and not is_deep:
        raise ValueError(
            f"a PIL image must have 8 bits a channel, or be grey of 16, got mode {image.mode}"
        )
    if image.getexif().get(_ORIENTATION, 1) not in (0, 1):
        warnings.warn(
            "a PIL image is taken as its pixels are, and the EXIF orientation of this one says "
            "that they are turned: PIL.ImageOps.exif_transpose(image) makes it upright",
            stacklevel=2,
        )
    try:
        if is_deep:  # of either byte order
            return _of_array(np.asarray(image).astype(np.uint16, copy=False), bits)
        rgb = np.asarray(image.convert("RGB"))  # (H, W, 3)
    except OSError as error:  # PIL decodes when pixels are first asked for
        raise DatasetError(f"the PIL image cannot be decoded: {error}") from error
    return _of_array(rgb[..., ::-1], None)


def write_image(path: Path, image: Image) -> None:
    """Write a PNG or JPEG, by the name's suffix, whole or not at all; raises RunDirError."""
    with whole_file(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def url_type(url: str) -> tuple[str, bool]:
    """Return the media type at a URL, and whether its length is known; raises DatasetError."""
    with _opened(url) as response:
        return response.headers.get_content_type(), "Content-Length" in response.headers


def download(url: str) -> bytes:
    """Return what is at a URL of http or https; raises DatasetError, with the reason alone."""
    content, end = bytearray(), time.monotonic() + MOST_SECONDS
    with _opened(url) as response:
        while chunk := response.read1(1 << 20):
            content += chunk
            if len(content) > MOST_BYTES:
                raise DatasetError(f"it is larger than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > end:
                raise DatasetError(f"it takes longer than {MOST_SECONDS:g} seconds")
        if response.length:  # what is missing, where the server has said how much there is
            raise DatasetError(f"the download is cut short, {response.length} bytes are missing")
    return bytes(content)


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    """Yield the answer of a server; see `open_url` for redirects.

    What goes wrong, also while it is read, is a DatasetError.
    """
    import urllib.error
    from http.client import HTTPException
    from urllib.parse import quote

    from pose_backbones.web import open_url

    quoted = quote(url, safe="%/:?#[]@!$&'()*+,;=~")
    try:
        # Some servers refuse Python's own name.
        with open_url(quoted, TIMEOUT, {"User-Agent": "pose-train"}) as response:
            yield response
    except urllib.error.HTTPError as error:
        error.close()
        raise DatasetError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise DatasetError(f"it cannot be downloaded: {error.reason}") from error
    except TimeoutError as error:
        raise DatasetError(f"the server has not answered for {TIMEOUT:g} seconds") from error
    except (OSError, HTTPException) as error:
        raise DatasetError(f"the download broke off: {type(error).__name__}: {error}") from error
