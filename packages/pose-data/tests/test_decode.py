"""Reading pictures: what is read as it is, what is converted, and what is an error."""

import logging
import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_data.images.decode import BrokenImages, ImageCache, read_picture
from pose_data.images.headers import read_header


def smooth(h: int = 48, w: int = 64, channels: int = 3) -> NDArray[np.uint8]:
    y, x = np.mgrid[:h, :w]
    planes = [x * 255 / w, y * 255 / h, 128 + 60 * np.sin(x / 9), 255 - 0 * x]
    return np.stack(planes[:channels], axis=-1).astype(np.uint8)


def write(path: Path, image: NDArray[np.generic]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_a_picture_is_read_as_bgr(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", smooth())
    picture = read_picture(path, (64, 48))
    np.testing.assert_array_equal(picture.pixels, smooth())
    assert picture.step == (1, 1)


def test_grey_becomes_three_channels(tmp_path: Path) -> None:
    grey = smooth()[..., 0]
    for name in ("a.png", "a.jpg"):
        pixels = read_picture(write(tmp_path / name, grey)).pixels
        assert pixels.shape == (48, 64, 3)
        assert np.abs(pixels.astype(int) - grey[..., None]).max() <= 8


def test_16_bits_become_8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", smooth().astype(np.uint16) * 257)
    pixels = read_picture(path).pixels
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - smooth()).max() <= 1


def test_alpha_is_left_out(tmp_path: Path) -> None:
    image = smooth(channels=4)
    image[:, :20, 3] = 0
    pixels = read_picture(write(tmp_path / "a.png", image)).pixels
    np.testing.assert_array_equal(pixels, image[..., :3])


def test_cmyk_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(cmyk_jpeg())
    assert read_picture(path, (8, 8)).pixels.shape == (8, 8, 3)


def cmyk_jpeg() -> bytes:
    """Make an 8x8 JPEG of four components, each of one grey level, by hand."""
    quantization = b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1] * 64)
    parts = b"".join(bytes([i, 0x11, 0]) for i in range(1, 5))
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 8 + 3 * 4, 8, 8, 8, 4) + parts
    table = bytes([1] + [0] * 15 + [0])  # one code of one bit, for 0
    dc = b"\xff\xc4" + struct.pack(">HB", 20, 0x00) + table
    ac = b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + table
    scan = b"\xff\xda" + struct.pack(">HB", 6 + 2 * 4, 4)
    scan += b"".join(bytes([i, 0]) for i in range(1, 5)) + bytes([0, 63, 0])
    return b"\xff\xd8" + quantization + frame + dc + ac + scan + b"\x00" + b"\xff\xd9"


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_a_jpeg_is_decoded_smaller_on_its_grid(tmp_path: Path, reduce: int) -> None:
    """A reduced pixel is the mean of the block that its matrix says, also at odd sizes."""
    path = write(tmp_path / "a.jpg", smooth(61, 83))
    picture = read_picture(path, (83, 61), reduce)
    assert picture.step == (reduce, reduce)
    assert picture.pixels.shape[:2] == (-(-61 // reduce), -(-83 // reduce))
    x, y, _ = picture.matrix() @ (3, 2, 1)
    expected = np.array([x * 255 / 83, y * 255 / 61])
    assert np.abs(picture.pixels[2, 3, :2] - expected).max() < 4


def test_other_formats_are_decoded_in_full(tmp_path: Path) -> None:
    picture = read_picture(write(tmp_path / "a.png", smooth()), (64, 48), 4)
    assert (picture.pixels.shape, picture.step) == ((48, 64, 3), (1, 1))


def broken(path: Path, match: str, size: tuple[int, int] | None = None) -> None:
    pattern = rf"^image .*{path.name} {match}"
    with pytest.raises(DatasetError, match=pattern):
        read_picture(path, size)


BOMB = 60_000
HEADERS = {
    "bmp": b"BM" + bytes(16) + struct.pack("<ii", BOMB, -BOMB),
    "gif": b"GIF89a" + struct.pack("<HH", BOMB, BOMB),
    "webp": b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + (BOMB - 1).to_bytes(3, "little") * 2,
    "tiff": b"II*\0" + struct.pack("<IHHHIIHHIHH", 8, 2, 256, 4, 1, BOMB, 257, 3, 1, BOMB, 0),
    "jp2": bytes(16) + b"ihdr" + struct.pack(">II", BOMB, BOMB),
    "j2k": b"\xff\x4f\xff\x51" + bytes(4) + struct.pack(">II", BOMB, BOMB),
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", BOMB, BOMB) + b"IEND",
    "jpg": b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", BOMB, BOMB) + bytes(9) + b"\xff\xd9",
    "jpeg": b"\xff\xd8\xff\xff\xc0\0\x11\x08"
    + struct.pack(">HH", BOMB, BOMB)
    + bytes(9)
    + b"\xff\xd9",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_too_many_pixels_are_refused_before_they_are_decoded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(HEADERS[kind] + bytes(8) * (kind not in ("png", "jpg", "jpeg")))
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it is decoded"))
    broken(path, "is 60000x60000, more than 256 million pixels")
    if kind not in ("png", "jpg", "jpeg"):
        with pytest.raises(DatasetError, match="million pixels"):
            read_header(path)


def test_files_that_are_no_picture_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    broken(path, "does not exist")
    path.write_bytes(b"")
    broken(path, r"is empty \(0 bytes\)")
    path.write_bytes(b"<html>404</html>")
    broken(path, "cannot be decoded")
    broken_folder = tmp_path / "folder.jpg"
    broken_folder.mkdir()
    broken(broken_folder, "Is a directory")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_cut_short(tmp_path: Path, name: str, kept: float) -> None:
    """OpenCV fills up what is missing of a JPEG with grey and says nothing."""
    path = write(tmp_path / name, np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    broken(path, "is cut short")


def test_a_thumbnail_does_not_hide_a_cut(tmp_path: Path) -> None:
    """An EXIF thumbnail is a whole JPEG with an end of its own inside of the file."""
    thumbnail = write(tmp_path / "t.jpg", smooth(16, 16)).read_bytes()
    path = write(tmp_path / "a.jpg", smooth())
    data = path.read_bytes()
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path.write_bytes(data[:2] + app1 + data[2:])
    assert read_picture(path).pixels.shape == (48, 64, 3)
    path.write_bytes(path.read_bytes()[:-50])
    broken(path, "is cut short")


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", smooth())
    path.write_bytes(path.read_bytes() + b"\x00" * 100)
    assert read_picture(path).pixels.shape == (48, 64, 3)


def test_another_size_than_annotated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", smooth())
    broken(path, r"is 64x48, the annotations say 64x50$", (64, 50))
    broken(path, r"is 64x48, the annotations say 48x64; it looks turned: was its EXIF", (48, 64))


def test_too_long_a_side(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.zeros((2, 33000, 3), np.uint8))
    broken(path, "is 33000x2, no side may exceed 32766")


def test_more_pixels_than_opencv_takes(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 2000000 2000000 255 " + bytes(99))
    broken(path, "cannot be decoded")


def test_the_cache_keeps_the_last_pictures(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.png", smooth()) for i in range(3)]
    cache = ImageCache(megabytes=2 * smooth().nbytes / 1e6)
    first = cache.read(paths[0], (64, 48))
    assert cache.read(paths[0], (64, 48)) is first
    cache.read(paths[1], (64, 48))
    assert cache.read(paths[0], (64, 48)) is first
    cache.read(paths[2], (64, 48))  # in place of 1, the least recently used
    for path in paths:
        path.unlink()
    assert cache.read(paths[0], (64, 48)) is first
    with pytest.raises(DatasetError):
        cache.read(paths[1], (64, 48))
    assert not first.pixels.flags.writeable
    with pytest.raises(DatasetError):  # a copy for another process starts empty
        pickle.loads(pickle.dumps(cache)).read(paths[0], (64, 48))


def test_broken_pictures_are_counted_once_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    skipped = BrokenImages(limit=2)
    with caplog.at_level(logging.WARNING, "pose_data"):
        for name in ("a", "b", "a"):
            skipped.skip(Path(name), DatasetError(f"{name} is broken"))
    assert [record.getMessage() for record in caplog.records] == [
        "skipped: a is broken",
        "skipped: b is broken",
    ]
    with pytest.raises(DatasetError, match=r"c is broken; 2 were skipped before, .* max_broken"):
        skipped.skip(Path("c"), DatasetError("c is broken"))
    with pytest.raises(DatasetError, match=r"c is broken$"):
        BrokenImages(limit=0).skip(Path("c"), DatasetError("c is broken"))
