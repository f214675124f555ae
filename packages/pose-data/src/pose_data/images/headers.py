"""Read what the first bytes of an image file say: size, channels, bit depth, EXIF orientation."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from pose_data.errors import DatasetError
from pose_data.opencv import cv2

Exif = Literal["auto", "apply", "ignore"]
EXIFS: tuple[Exif, ...] = ("auto", "apply", "ignore")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette decodes to three
FRAMES = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}  # SOF markers of JPEG
_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT = 0x0112, 0x0100, 0x0101  # tags of TIFF
_LONG = 4  # TIFF's type of 32 bits
MOST_PIXELS = 1 << 28  # 16384 x 16384; decoded, these are 800 MB


class Header(NamedTuple):
    """Size in stored pixels; channels: 4 is CMYK in a JPEG, alpha in a PNG; orientation 1: up."""

    format: str
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    orientation: int = 1


def upright_size(header: Header) -> tuple[int, int]:
    """Return the (w, h) of an image when it is turned upright by its EXIF orientation."""
    size = header.width, header.height
    return size[::-1] if header.orientation >= 5 else size


def read_header(path: Path) -> Header:
    """Return the header of an image without decoding it (formats but JPEG and PNG are decoded).

    Raises DatasetError where the file is missing, empty, or not an image that OpenCV reads.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if start[:2] == b"\xff\xd8":
                header = jpeg_header(file)
            elif start == _PNG:
                header = _png_header(file.read(26))
            else:
                header = _decoded(path) if start else None
    except OSError as error:
        raise DatasetError(f"cannot read image {path}: {error.strerror}") from error
    except ValueError as error:  # a name that no file can have
        raise DatasetError(f"cannot read image {str(path)!r}: {error}") from error
    if header is None:
        reason = "is not an image, or cut short" if start else "is empty (0 bytes)"
        raise DatasetError(f"image {path} {reason}")
    return header


def jpeg_header(file: BinaryIO) -> Header | None:
    """Walk a JPEG's segments up to the frame header, with the size; None where it is missing."""
    file.seek(2)
    orientation = 1
    while byte := file.read(1):
        if byte != b"\xff":
            continue
        marker = file.read(1)
        while marker == b"\xff":  # fill bytes
            marker = file.read(1)
        if not marker or marker == b"\x00" or 0xD0 <= marker[0] <= 0xD8 or marker[0] == 0x01:
            continue
        length = file.read(2)
        if len(length) < 2 or marker[0] == 0xD9:
            return None
        body = file.read(struct.unpack(">H", length)[0] - 2)
        if marker[0] == 0xE1 and body[:6] == b"Exif\x00\x00":
            orientation = _exif_orientation(body[6:])
        elif marker[0] in FRAMES:
            if len(body) < 6:
                return None
            bits, height, width, channels = struct.unpack(">BHHB", body[:6])
            return Header("jpeg", width, height, channels, bits, orientation)
    return None


def _exif_orientation(tiff: bytes) -> int:
    """Return the orientation (1 to 8) of a TIFF header's first directory; 1 where it has none."""
    values = (short for tag, short, _ in _tiff_entries(tiff) if tag == _ORIENTATION)
    value = next(values, 1)
    return value if 1 <= value <= 8 else 1


def _tiff_entries(tiff: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the tags of a TIFF's first directory, and their values as 16 and as 32 bits."""
    order = ">" if tiff[:2] == b"MM" else "<"
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, short = struct.unpack_from(order + "HHIH", tiff, entry)
            long = struct.unpack_from(order + "I", tiff, entry + 8)[0] if kind == _LONG else short
            yield tag, short, long
    except struct.error:  # cut short: as if what follows were not there
        pass


def _png_header(start: bytes) -> Header | None:
    if len(start) < 26 or start[12:16] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack(">IIBB", start[16:])
    return Header("png", width, height, _PNG_CHANNELS.get(colour, 3), bits)


def too_large(size: tuple[int, int], where: str) -> DatasetError:
    """Return the error of an image whose header says more than MOST_PIXELS, before it is decoded.

    A few kilobytes can stand for gigabytes of one colour. Of formats other than those of
    `stated_size` nothing is known, and OpenCV refuses what has more than 2^30 pixels.
    """
    most = f"more than {MOST_PIXELS >> 20} million pixels"
    return DatasetError(f"{where} is {size[0]}x{size[1]}, {most}")


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Return the (w, h) that a JPEG, PNG, BMP, GIF, WebP, TIFF or JPEG 2000 says it has.

    None for other files, and for those that are cut short.
    """
    try:
        if data[:2] == b"\xff\xd8":
            header = jpeg_header(io.BytesIO(data))
            return None if header is None else (header.width, header.height)
        if data[:8] == _PNG:
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if data[:2] == b"BM":
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data[:4] == b"GIF8":
            width, height = struct.unpack_from("<HH", data, 6)
            return width, height
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            sides = {tag: long for tag, _, long in _tiff_entries(data)}
            return sides.get(_TIFF_WIDTH, 0), sides.get(_TIFF_HEIGHT, 0)
        if (place := data.find(b"ihdr", 0, 1 << 12)) >= 0:
            height, width = struct.unpack_from(">II", data, place + 4)
            return width, height
        if data[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000 without its container
            width, height = struct.unpack_from(">II", data, 8)
            return width, height
    except struct.error:
        pass
    return None


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":  # 24 bits each, less 1
        low = int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")
        return low[0] + 1, low[1] + 1
    if kind == b"VP8L":  # 14 bits each, less 1, behind a byte
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _decoded(path: Path) -> Header | None:
    data = path.read_bytes()
    size = stated_size(data)
    if size and size[0] * size[1] > MOST_PIXELS:
        raise too_large(size, f"image {path}")
    try:
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # more pixels than OpenCV accepts, or damage that it asserts
        raise DatasetError(f"image {path} cannot be decoded: {error.err}") from error
    if image is None:
        return None
    channels = image.shape[2] if image.ndim == 3 else 1
    return Header("other", image.shape[1], image.shape[0], channels, 8 * image.itemsize)
