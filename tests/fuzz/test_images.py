"""Image files, damaged byte by byte."""

import contextlib
from io import BytesIO
from pathlib import Path
from random import Random

import cv2
import numpy as np
from harness import fuzzed
from mutations import damaged
from PIL import Image

from pose_data import DatasetError
from pose_data.images.decode import decode_picture
from pose_data.images.headers import read_header
from pose_eval.render.overlay import read_image
from pose_train.files.images import read_pixels

PIXELS = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)


def encoded() -> list[tuple[str, bytes]]:
    """Return the suffix and the bytes of an image in each form: EXIF, CMYK, 16 bits, floats."""
    files = []
    for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp", ".jp2", ".ppm", ".gif"):
        files.append((suffix, cv2.imencode(suffix, PIXELS)[1].tobytes()))
    files.append((".png", cv2.imencode(".png", PIXELS.astype(np.uint16) * 200)[1].tobytes()))
    files.append((".tiff", cv2.imencode(".tiff", PIXELS.astype(np.float32))[1].tobytes()))
    exif = Image.Exif()
    exif[0x0112] = 6
    for options, mode in (({"exif": exif}, "RGB"), ({}, "CMYK")):
        Image.fromarray(PIXELS).convert(mode).save(buffer := BytesIO(), "JPEG", **options)
        files.append((".jpg", buffer.getvalue()))
    return files


FILES = encoded()


@fuzzed(400)
def test_decoding(tmp_path: Path, rng: Random) -> None:
    suffix, data = rng.choice(FILES)
    data = damaged(data, rng)
    file = tmp_path / f"x{suffix}"
    file.write_bytes(data)
    size = rng.choice((None, (128, 96), (96, 128)))
    reduce, exif, bits = (
        rng.choice((1, 2, 8)),
        rng.choice(("auto", "apply")),
        rng.choice((None, 12)),
    )
    for read in (
        lambda: decode_picture(data, "image", size, reduce, exif, bits),
        lambda: read_header(file),
        lambda: read_pixels(data),
    ):
        with contextlib.suppress(DatasetError):
            read()
    read_image(tmp_path, file.name)
