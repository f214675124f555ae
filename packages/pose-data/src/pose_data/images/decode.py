"""Read pictures: one function that decodes or says why not; what a process keeps of its results."""

import io
import logging
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.images.channels import check_channels, in_channels
from pose_data.images.depth import check_bits, say_if_black, to_8_bits
from pose_data.images.headers import (
    EXIFS,
    Exif,
    Header,
    applied_orientation,
    jpeg_header,
    png_header,
)
from pose_data.images.warp import MAX_SIDE, WARPS

Decode = Literal["exact", "fast"]
DECODES: tuple[Decode, ...] = ("exact", "fast")

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # cv2.flip's code; 5 to 8 are transposed before
_log = logging.getLogger("pose_data")


class Picture(NamedTuple):
    """Pixels (H / n, W / n, 3) uint8 BGR, rounded up; each stands for n x n of the image.

    For networks of one channel the pixels are replaced by grey ones, (H / n, W / n).

    corner: x, y at which the first of these blocks begins: below 0 where it is not a whole one.
    """

    pixels: NDArray[np.uint8]
    reduced_by: int
    corner: tuple[int, int] = (0, 0)

    def matrix(self) -> NDArray[np.float64]:
        """Return the (3, 3) matrix from these pixels to the image's; centres at integers."""
        n, shift = self.reduced_by, (self.reduced_by - 1) / 2
        x, y = self.corner
        return np.array([[n, 0, shift + x], [0, n, shift + y], [0, 0, 1]], np.float64)


def check_choices(warp: str, decode: str, exif: str, bits: int | None, channels: int) -> None:
    """Raise ValueError for a setting that is none of its choices."""
    check_bits(bits)
    check_channels(channels)
    choices = {"warp": (warp, WARPS), "decode": (decode, DECODES), "exif": (exif, EXIFS)}
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def read_picture(
    path: Path,
    size: tuple[int, int] | None = None,
    reduce: int = 1,
    exif: Exif = "auto",
    bits: int | None = None,
) -> Picture:
    """Decode an image file as decode_picture does; raises DatasetError also for a missing one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise DatasetError(f"image {path} {reason}") from error
    except ValueError as error:  # a name that no file can have
        raise DatasetError(f"image {str(path)!r}: {error}") from error
    return decode_picture(data, f"image {path}", size, reduce, exif, bits)


def decode_picture(
    data: bytes,
    where: str,
    size: tuple[int, int] | None = None,
    reduce: int = 1,
    exif: Exif = "auto",
    bits: int | None = None,
) -> Picture:
    """Decode the bytes of an image file as 8-bit BGR, upright as `applied_orientation` says.

    where: the image in messages. Grey images get three channels, 16 bits become 8, CMYK becomes
    BGR, alpha is left out. `reduce` 2, 4 or 8 decodes a JPEG at that fraction of its size; other
    formats come in full.

    size: the (w, h) that the annotations give, None where unknown. bits: how many of 16 are in use
    (8 to 16, None for all): those of 12-bit data become 8 by value >> 4, see `to_8_bits`. Raises
    DatasetError for a file that is empty, cut short or no picture, for one of another size, of
    float or 32-bit numbers, and with a side above 32766. What is damaged in the middle of a JPEG is
    decoded as well as it goes, without an error.
    """
    if not data:
        raise DatasetError(f"{where} is empty (0 bytes)")
    if _is_cut_short(data):
        raise DatasetError(f"{where} is cut short: it ends in the middle of the data")
    header = jpeg_header(io.BytesIO(data)) if data[:2] == b"\xff\xd8" else None
    reduce = 1 if header is None else reduce
    flags = _REDUCED[reduce] | cv2.IMREAD_IGNORE_ORIENTATION
    png = png_header(io.BytesIO(data))
    may_be_deep = header is None and (png is None or png.bits > 8)
    try:
        pixels = _pixels(np.frombuffer(data, np.uint8), flags, bits, where, may_be_deep)
    except cv2.error as error:  # more pixels than OpenCV accepts
        raise DatasetError(f"{where} cannot be decoded: {error.err}") from error
    picture = Picture(pixels, reduce)
    question = "was its EXIF orientation lost after it was annotated"
    if header is not None:
        picture = _upright(picture, header, applied_orientation(header, size, exif))
        question = f"is exif={exif} right" if header.orientation >= 5 else question
    _check_size(picture.pixels.shape, size, reduce, where, question)
    return picture


def _pixels(
    data: NDArray[np.uint8], flags: int, bits: int | None, where: str, may_be_deep: bool
) -> NDArray[np.uint8]:
    """Decode an image file as 8-bit BGR; raises DatasetError.

    may_be_deep: it may have 16 bits a channel, which takes a second look.
    """
    if may_be_deep and bits not in (None, 16):
        deep = cv2.imdecode(data, flags | cv2.IMREAD_ANYDEPTH)
        if deep is not None and deep.dtype == np.uint16:
            return to_8_bits(deep.astype(np.uint16, copy=False), bits, where)
    decoded = cv2.imdecode(data, flags)
    if decoded is not None:
        pixels = decoded.astype(np.uint8, copy=False)
        if may_be_deep and bits is None:
            say_if_black(pixels, data, where)
        return pixels
    other = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if other is None or other.dtype in (np.uint8, np.uint16):
        raise DatasetError(f"{where} cannot be decoded: no picture, or damaged")
    raise DatasetError(
        f"{where} holds numbers of type {other.dtype}, from {other.min():.6g} to {other.max():.6g}:"
        " images have 8 or 16 bits a channel; choose a range, and write it as a 16-bit PNG or TIFF"
    )


def _upright(picture: Picture, header: Header, orientation: int) -> Picture:
    """Turn a picture by an EXIF orientation; reduced, its incomplete blocks may come first."""
    pixels, n = picture.pixels, picture.reduced_by
    h, w = header.height, header.width
    if orientation >= 5:
        pixels, w, h = cv2.transpose(pixels), h, w  # type: ignore[assignment]
    flip = _FLIPS.get(orientation)
    if flip is None:
        return Picture(pixels, n)
    corner = w - n * pixels.shape[1] if flip else 0, h - n * pixels.shape[0] if flip < 1 else 0
    return Picture(cv2.flip(pixels, flip), n, corner)  # type: ignore[arg-type]


def _is_cut_short(data: bytes) -> bool:
    """Tell whether a JPEG or PNG lacks its end: decoders fill up what is missing with grey."""
    if data[:4] == b"\x89PNG":
        return data.rfind(b"IEND") < 0
    if data[:2] != b"\xff\xd8" or data[-2:] == b"\xff\xd9":
        return False
    scan = 2  # where the first one starts: before it, an EXIF thumbnail has an end of its own
    while scan + 4 <= len(data) and data[scan] == 0xFF and data[scan + 1] != 0xDA:
        scan += 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    return data[scan : scan + 2] != b"\xff\xda" or data.rfind(b"\xff\xd9") < scan


def _check_size(
    shape: tuple[int, ...], size: tuple[int, int] | None, reduce: int, where: str, question: str
) -> None:
    h, w = shape[:2]
    if max(w, h) * reduce > MAX_SIDE + reduce:
        raise DatasetError(f"{where} is {w * reduce}x{h * reduce}, no side may exceed {MAX_SIDE}")
    if size is None or (w, h) == (expected := (-(-size[0] // reduce), -(-size[1] // reduce))):
        return
    hint = f"; it looks turned: {question}?" * ((h, w) == expected)
    found = f"{w}x{h}" if reduce == 1 else f"{w}x{h} when reduced by {reduce}"
    raise DatasetError(f"{where} is {found}, the annotations say {size[0]}x{size[1]}{hint}")


def possible_reduction(ratio: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the largest of 1, 2, 4 and 8 that `ratio` stored pixels per needed pixel allow."""
    return 2 ** np.floor(np.log2(np.clip(ratio, 1, 8))).astype(np.int64)


class PictureCache:
    """The pictures that this process read last; a copy for another process starts empty."""

    def __init__(self, megabytes: float) -> None:
        self.megabytes = megabytes
        self._held: dict[tuple[Path, int], Picture] = {}
        self._bytes = 0

    def __reduce__(self) -> tuple[type["PictureCache"], tuple[float]]:
        return PictureCache, (self.megabytes,)

    def read(
        self,
        path: Path,
        size: tuple[int, int],
        reduce: int = 1,
        exif: Exif = "auto",
        bits: int | None = None,
        channels: int = 3,
    ) -> Picture:
        """Return what read_picture does, whose pixels must not be changed; raises DatasetError.

        channels: 1 for grey pixels (H, W).
        """
        key = (path, reduce)
        picture = self._held.pop(key, None)
        if picture is None:
            picture = read_picture(path, size, reduce, exif, bits)
            picture = picture._replace(pixels=in_channels(picture.pixels, channels))
            picture.pixels.flags.writeable = False
            self._bytes += picture.pixels.nbytes
        self._held[key] = picture  # behind the others: the next to go comes first
        while self._bytes > self.megabytes * 1e6:
            self._bytes -= self._held.pop(next(iter(self._held))).pixels.nbytes
        return picture


class BrokenPictures:
    """The pictures that this process skipped in training, and how many it may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reasons: dict[Path, str] = {}

    def skip(self, path: Path, error: DatasetError) -> None:
        """Count and log a picture, once; raise DatasetError for the first beyond the limit."""
        if path in self.reasons:
            return
        if len(self.reasons) >= self.limit:
            skipped = f"; {self.limit} were skipped before, which is max_broken" * (self.limit > 0)
            raise DatasetError(f"{error}{skipped}") from error
        self.reasons[path] = str(error)
        _log.warning("skipped: %s", error)


def start_worker(worker: int = 0) -> None:
    """Prepare a process that makes samples; for torch's DataLoader(worker_init_fn=start_worker).

    The processes are the parallelism: OpenCV's own threads only get in their way.
    """
    cv2.setNumThreads(0)
