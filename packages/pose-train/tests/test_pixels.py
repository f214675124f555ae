"""One image in every form that Python programs hold it in."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pose_data import DatasetError
from pose_train.files.images import Image, read_pixels

IMAGE = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)  # BGR
RGB = IMAGE[..., ::-1]


class PilImage:
    """What read_pixels sees of a PIL.Image.Image, where Pillow is not installed."""

    def __init__(self, rgb: Image, mode: str = "RGB", orientation: int | None = None) -> None:
        self.rgb, self.mode, self.size = rgb, mode, rgb.shape[1::-1]
        self.exif = {} if orientation is None else {0x0112: orientation}

    @property
    def __array_interface__(self) -> dict[str, Any]:
        assert self.mode == "RGB"
        data = self.rgb.tobytes()
        return {"shape": self.rgb.shape, "typestr": "|u1", "version": 3, "data": data}

    def convert(self, mode: str) -> "PilImage":
        return PilImage(self.rgb, mode)

    def getexif(self) -> dict[int, int]:
        return self.exif


@pytest.mark.parametrize(
    "image",
    [
        IMAGE,
        np.asfortranarray(IMAGE),
        RGB[..., ::-1],  # a view with negative strides
        cv2.imencode(".png", IMAGE)[1].tobytes(),
        bytearray(cv2.imencode(".png", IMAGE)[1].tobytes()),
        memoryview(cv2.imencode(".png", IMAGE)[1].tobytes()),
        torch.from_numpy(RGB.copy()),
        torch.from_numpy(RGB.transpose(2, 0, 1).copy()),
        PilImage(RGB),
        PilImage(RGB, "P"),
    ],
    ids=lambda image: type(image).__name__,
)
def test_every_form_gives_the_same_pixels(image: Any) -> None:
    pixels = read_pixels(image)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, IMAGE)


@pytest.mark.parametrize(
    "image",
    [
        IMAGE[..., 1],
        IMAGE[..., 1:2],
        np.asfortranarray(IMAGE[..., 1]),
        torch.from_numpy(IMAGE[None, ..., 1].copy()),
        IMAGE[..., 1].astype(np.uint16) << 8,
    ],
)
def test_grey_in_every_form(image: Any) -> None:
    np.testing.assert_array_equal(read_pixels(image), np.dstack([IMAGE[..., 1]] * 3))


def test_16_bits_of_an_array(caplog: pytest.LogCaptureFixture) -> None:
    """As of a file: the high byte, or that of the bits in use."""
    image = IMAGE.astype(np.uint16)
    np.testing.assert_array_equal(read_pixels(image << 8), IMAGE)
    np.testing.assert_array_equal(read_pixels((image << 4) + 15, bits=12), IMAGE)
    encoded = cv2.imencode(".png", image << 4)[1].tobytes()
    np.testing.assert_array_equal(read_pixels(encoded, bits=12), IMAGE)
    assert not caplog.records


def test_pillow_itself() -> None:
    pil = pytest.importorskip("PIL.Image")
    image = pil.fromarray(np.ascontiguousarray(RGB))
    np.testing.assert_array_equal(read_pixels(image), IMAGE)
    opaque = image.copy()
    opaque.putalpha(7)
    np.testing.assert_array_equal(read_pixels(opaque), IMAGE)
    grey = read_pixels(image.convert("L"))
    np.testing.assert_array_equal(grey, np.repeat(grey[..., :1], 3, axis=2))
    assert read_pixels(image.convert("1")).max() == 255
    assert read_pixels(image.convert("CMYK")).shape == IMAGE.shape
    deep = pil.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    assert deep.mode == "I;16"
    swapped = pil.frombytes("I;16B", deep.size, np.asarray(deep).astype(">u2").tobytes())
    for each in (deep, swapped):
        pixels = read_pixels(each, bits=12)
        np.testing.assert_array_equal(pixels[..., 2], np.asarray(deep) >> 4)
    for mode in ("I", "F"):
        with pytest.raises(ValueError, match=f"or be grey of 16, got mode {mode}$"):
            read_pixels(deep.convert("I").convert(mode))
    image.getexif()[0x0112] = 6
    with pytest.warns(UserWarning, match="exif_transpose"):
        read_pixels(image)


def test_paths_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png"), "~/a.png"):
        np.testing.assert_array_equal(read_pixels(path), IMAGE)


def test_a_turned_pil_image_is_said() -> None:
    with pytest.warns(UserWarning, match=r"that they are turned: PIL\.ImageOps\.exif_transpose"):
        pixels = read_pixels(PilImage(RGB, orientation=6))
    np.testing.assert_array_equal(pixels, IMAGE)
    read_pixels(PilImage(RGB, orientation=1))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((8, 8)), ValueError, r"uint8 or uint16, got \(8, 8\) float64$"),
        (np.zeros((8, 8, 3), np.int32), ValueError, r"got \(8, 8, 3\) int32$"),
        (np.zeros((0, 8), np.uint8), ValueError, r"got \(0, 8\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), ValueError, "several images are given as a list"),
        (np.zeros((0, 8, 3), np.uint8), ValueError, r"got \(0, 8, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), ValueError, r"got \(8, 8, 4\)"),
        (torch.zeros(3, 8, 8), ValueError, r"uint8 \(0 to 255\), .* got \(3, 8, 8\) torch.float32"),
        (torch.zeros(2, 3, 8, 8).byte(), ValueError, "several images are given as a list"),
        (torch.zeros(2, 8, 8).byte(), ValueError, r"grey \(1, H, W\), got \(2, 8, 8\)"),
        (torch.zeros(1, 8, 8), ValueError, r"got \(1, 8, 8\) torch.float32"),
        (torch.zeros(3, 0, 8).byte(), ValueError, r"got \(3, 0, 8\)"),
        (PilImage(RGB, "F"), ValueError, "8 bits a channel, or be grey of 16, got mode F"),
        (b"", DatasetError, r"image of 0 bytes in memory is empty"),
        (b"GIF89a...", DatasetError, r"image of 9 bytes in memory cannot be decoded"),
        ("gone.jpg", DatasetError, r"gone\.jpg does not exist"),
        (None, TypeError, r"a path, the bytes of .* got builtins\.NoneType"),
        ({"image": IMAGE}, TypeError, r"got builtins\.dict"),
        (3, TypeError, r"got builtins\.int"),
    ],
)
def test_what_is_no_image_is_named(image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_pixels(image)


def test_a_pil_image_that_is_cut_short() -> None:
    class Cut(PilImage):
        def convert(self, mode: str) -> PilImage:
            raise OSError("image file is truncated (3 bytes not processed)")

    with pytest.raises(DatasetError, match="cannot be decoded: image file is truncated"):
        read_pixels(Cut(RGB))
