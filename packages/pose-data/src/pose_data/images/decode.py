"""Decode image files, or say why not; a cache of decoded images."""

import io
import logging
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError, printable
from pose_data.images.channels import check_channels
from pose_data.images.depth import MOST, check_bits, to_8_bits
from pose_data.images.headers import (
    EXIFS,
    FRAMES,
    MOST_PIXELS,
    Exif,
    jpeg_header,
    stated_size,
    too_large,
    upright_size,
)
from pose_data.images.warp import MAX_SIDE, WARPS
from pose_data.opencv import cv2

Decode = Literal["exact", "fast"]
DECODES: tuple[Decode, ...] = ("exact", "fast")
Image = NDArray[np.uint8]
Size = tuple[int, int]

_log = logging.getLogger("pose_data")


class Decoded(NamedTuple):
    """Pixels (h, w[, C]) uint8 of an image, or of a part; each stands for a block of the image's.

    step: the blocks' width and height. corner: x, y at which the first of them begins: below 0
    where it is not a whole one.
    """

    pixels: Image
    step: tuple[float, float] = (1, 1)
    corner: tuple[float, float] = (0, 0)

    def matrix(self, mirrored_width: int | None = None) -> NDArray[np.float64]:
        """Return the (3, 3) matrix from these pixels to the image's; centres at integers.

        mirrored_width: of an image that is mirrored left to right, and these pixels with it.
        """
        (sx, sy), (x, y) = self.step, self.corner
        if mirrored_width is not None:
            x = mirrored_width - x - sx * self.pixels.shape[1]
        return np.array([[sx, 0, x + (sx - 1) / 2], [0, sy, y + (sy - 1) / 2], [0, 0, 1]])


def check_choices(warp: str, decode: str, exif: str, bits: int | None, channels: int) -> None:
    """Raise ValueError for a setting that is not one of its choices."""
    check_bits(bits)
    check_channels(channels)
    choices = {"warp": (warp, WARPS), "decode": (decode, DECODES), "exif": (exif, EXIFS)}
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def read_picture(
    path: Path,
    size: Size | None = None,
    reduce: int = 1,
    exif: Exif = "auto",
    bits: int | None = None,
    channels: int | None = None,
) -> Decoded:
    """Decode an image file as decode_picture does; raises DatasetError also for a missing one.

    channels: 3 for RGB with an unused fourth channel (H, W, 4), with which OpenCV 5 warps in half
    the time; 1 for grey pixels (H, W), None for BGR.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise DatasetError(f"image {path} {reason}") from error
    except ValueError as error:  # a name that no file can have
        raise DatasetError(f"image {str(path)!r}: {error}") from error
    image = decode_picture(data, f"image {path}", size, reduce, exif, bits)
    if channels is None:
        return image
    code = cv2.COLOR_BGR2RGBA if channels == 3 else cv2.COLOR_BGR2GRAY
    return image._replace(pixels=cv2.cvtColor(image.pixels, code))  # type: ignore[arg-type]


def decode_picture(
    data: bytes,
    where: str,
    size: Size | None = None,
    reduce: int = 1,
    exif: Exif = "auto",
    bits: int | None = None,
) -> Decoded:
    """Decode the bytes of an image file as 8-bit BGR, upright as `exif` says.

    where: the image in messages. Grey images get three channels, 16 bits become 8, CMYK becomes
    BGR, alpha is left out. `reduce` 2, 4 or 8 decodes a JPEG at that fraction of its size; other
    formats come in full.

    size: the (w, h) in the annotations, None where unknown. exif: "auto" turns a JPEG upright by
    its EXIF orientation, unless `size` is that of the stored pixels and not of the upright image;
    "apply" always does, "ignore" never. bits: how many of 16 are in use (8 to 16, None for all),
    see `to_8_bits`.

    Raises DatasetError for a file that is empty, truncated or not an image, for one of another
    size, of float or 32-bit numbers, and with a side above 32766. Damage in the middle of a JPEG is
    not an error: OpenCV decodes it as well as it goes.
    """
    _check_file(data, where)
    is_jpeg = data[:2] == b"\xff\xd8"
    reduce = reduce if is_jpeg else 1
    header = jpeg_header(io.BytesIO(data)) if is_jpeg and b"Exif\0\0" in data else None
    orientation = 1
    if header is not None and exif != "ignore":
        is_stored = size == (header.width, header.height) != upright_size(header)
        orientation = 1 if exif == "auto" and is_stored else header.orientation
    ignored = cv2.IMREAD_IGNORE_ORIENTATION if orientation == 1 else 0  # else OpenCV applies it
    flag = "IMREAD_COLOR" if reduce == 1 else f"IMREAD_REDUCED_COLOR_{reduce}"
    pixels = _pixels(data, getattr(cv2, flag) | ignored, bits, where)
    h, w = pixels.shape[:2]
    if max(w, h) * reduce > MAX_SIDE + reduce:
        raise DatasetError(f"{where} is {w * reduce}x{h * reduce}, no side may exceed {MAX_SIDE}")
    if size is not None and (w, h) != (expected := (-(-size[0] // reduce), -(-size[1] // reduce))):
        hint, reduced = "", f" when reduced by {reduce}" * (reduce > 1)
        if (h, w) == expected:
            is_turned = header is not None and header.orientation >= 5
            lost = "was its EXIF orientation lost after it was annotated"
            hint = f"; it looks turned: {f'is exif={exif} right' if is_turned else lost}?"
        text = f"is {w}x{h}{reduced}, the annotations say {size[0]}x{size[1]}{hint}"
        raise DatasetError(f"{where} {text}")
    if header is None or orientation == 1 or reduce == 1:
        return Decoded(pixels, (reduce, reduce))
    # Blocks are counted from the stored corner; of a turned image, incomplete ones may come first.
    width, height = upright_size(header)
    x = width - reduce * w if orientation in (2, 3, 6, 7) else 0
    y = height - reduce * h if orientation in (3, 4, 7, 8) else 0
    return Decoded(pixels, (reduce, reduce), (x, y))


def _pixels(data: bytes, flags: int, bits: int | None, where: str) -> Image:
    """Decode an image file as 8-bit BGR; raises DatasetError."""
    buffer = np.frombuffer(data, np.uint8)
    try:
        pixels = cv2.imdecode(buffer, flags | cv2.IMREAD_ANYDEPTH)
        stored = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if pixels is None else pixels
    except cv2.error as error:  # more pixels than OpenCV accepts
        raise DatasetError(f"{where} cannot be decoded: {error.err}") from error
    if stored is not None and stored.dtype not in (np.uint8, np.uint16):
        raise DatasetError(
            f"{where} holds numbers of type {stored.dtype}, from {stored.min():.6g} to "
            f"{stored.max():.6g}: images have 8 or 16 bits a channel; choose a range, and write it "
            "as a 16-bit PNG or TIFF"
        )
    if pixels is None:
        raise DatasetError(f"{where} cannot be decoded: not an image, or damaged")
    if pixels.dtype == np.uint16:
        converted = to_8_bits(pixels.astype(np.uint16, copy=False), bits, where)
        if bits not in (None, MOST) or data[:4] == b"\x89PNG":
            return converted
        # All 16 bits of other formats are converted by OpenCV: it rounds those of colour TIFFs.
        pixels = cv2.imdecode(buffer, flags)
        if pixels is None:
            raise DatasetError(f"{where} cannot be decoded as 8 bits: damaged")
    return pixels.astype(np.uint8, copy=False)


def _check_file(data: bytes, where: str) -> None:
    """Raise DatasetError for a file that should not be decoded: too large an image, or cut short.

    Decoders fill the missing part with grey, and a few kilobytes can stand for gigabytes of it.
    """
    if not data:
        raise DatasetError(f"{where} is empty (0 bytes)")
    size, is_cut = None, False
    if data[:4] == b"\x89PNG":
        is_cut = data.rfind(b"IEND") < 0
    elif data[:2] == b"\xff\xd8":
        scan = 2  # where the first one starts: before it, an EXIF thumbnail has an end of its own
        while scan + 9 <= len(data) and data[scan] == 0xFF and data[scan + 1] >= 0xC0:
            marker = data[scan + 1]
            if marker == 0xDA or 0xD0 <= marker <= 0xD9 or marker == 0xFF:
                break
            if marker in FRAMES and size is None:
                h, w = struct.unpack_from(">HH", data, scan + 5)
                size = (w, h)
            scan += 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        has_end = data[-2:] == b"\xff\xd9"
        is_cut = not has_end and (
            data[scan : scan + 2] != b"\xff\xda" or data.rfind(b"\xff\xd9") < scan
        )
    if is_cut:
        raise DatasetError(f"{where} is cut short: it ends in the middle of the data")
    size = size or stated_size(data)  # of other formats, and of what is not written as usual
    if size and size[0] * size[1] > MOST_PIXELS:
        raise too_large(size, where)


def possible_reduction(ratio: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the largest of 1, 2, 4 and 8 that `ratio` stored pixels per needed pixel allow."""
    return 2 ** np.floor(np.log2(np.clip(ratio, 1, 8))).astype(np.int64)


class ImageCache:
    """The images that this process decoded last; a copy for another process starts empty."""

    def __init__(self, megabytes: float) -> None:
        self.megabytes = megabytes
        self._held: dict[tuple[Path, int], Decoded] = {}
        self._bytes = 0

    def __reduce__(self) -> tuple[type["ImageCache"], tuple[float]]:
        return ImageCache, (self.megabytes,)

    def read(
        self,
        path: Path,
        size: Size,
        reduce: int = 1,
        exif: Exif = "auto",
        bits: int | None = None,
        channels: int | None = None,
    ) -> Decoded:
        """Return what read_picture does; the pixels must not be changed. Raises DatasetError."""
        key = (path, reduce)
        image = self._held.pop(key, None)
        if image is None:
            image = read_picture(path, size, reduce, exif, bits, channels)
            image.pixels.flags.writeable = False
            self._bytes += image.pixels.nbytes
        self._held[key] = image  # behind the others: the next to go comes first
        while self._bytes > self.megabytes * 1e6:
            self._bytes -= self._held.pop(next(iter(self._held))).pixels.nbytes
        return image


class BrokenImages:
    """The images that this process skipped in training, and how many it may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reasons: dict[Path, str] = {}

    def skip(self, path: Path, error: DatasetError) -> None:
        """Count and log an image, once; raise DatasetError for the first beyond the limit."""
        if path in self.reasons:
            return
        if len(self.reasons) >= self.limit:
            skipped = f"; {self.limit} were skipped before, which is max_broken" * (self.limit > 0)
            raise DatasetError(f"{error}{skipped}") from error
        self.reasons[path] = str(error)
        _log.warning("skipped: %s", printable(error))


def start_worker(worker: int = 0) -> None:
    """Prepare a process that makes samples; for torch's DataLoader(worker_init_fn=start_worker).

    The processes are the parallelism: OpenCV's own threads only get in their way.
    """
    cv2.setNumThreads(0)
