"""Read what the first bytes of an image file say: size, channels, bit depth, EXIF orientation."""

import struct
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from pose_data.errors import DatasetError
from pose_data.opencv import cv2

Exif = Literal["auto", "apply", "ignore"]
EXIFS: tuple[Exif, ...] = ("auto", "apply", "ignore")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette decodes to three
_FRAMES = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}  # SOF markers of JPEG
_ORIENTATION = 0x0112


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
        elif marker[0] in _FRAMES:
            if len(body) < 6:
                return None
            bits, height, width, channels = struct.unpack(">BHHB", body[:6])
            return Header("jpeg", width, height, channels, bits, orientation)
    return None


def _exif_orientation(tiff: bytes) -> int:
    """Return the orientation (1 to 8) of a TIFF header's first directory; 1 where it has none."""
    order = ">" if tiff[:2] == b"MM" else "<"
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # cut short: as if it were not there
        pass
    return 1


def _png_header(start: bytes) -> Header | None:
    if len(start) < 26 or start[12:16] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack(">IIBB", start[16:])
    return Header("png", width, height, _PNG_CHANNELS.get(colour, 3), bits)


def _decoded(path: Path) -> Header | None:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        return None
    channels = image.shape[2] if image.ndim == 3 else 1
    return Header("other", image.shape[1], image.shape[0], channels, 8 * image.itemsize)
