"""16-bit images of which fewer bits are in use, as real writers leave them."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import (
    Augmentation,
    BottomUp,
    DatasetError,
    Persons,
    SceneAugmentation,
    TopDown,
    check,
    load_coco,
    read_image,
    synthesize,
)
from pose_data.__main__ import main
from pose_data.images import depth
from pose_data.images.decode import decode_picture, read_picture
from pose_data.images.depth import Depth, bits_in_use, measure_depth, to_8_bits
from pose_data.view.gallery import annotated_images

ALL = np.arange(65536, dtype=np.uint16).reshape(256, 256)
COLOUR = np.stack([ALL, ALL[::-1], ALL.T], axis=-1)  # BGR


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    depth._said.clear()
    yield
    depth._said.clear()


def written(path: Path, image: NDArray[np.generic]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def in_colour(image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return image if image.ndim == 3 else np.dstack([image] * 3)


def to_8_bits_plainly(image: NDArray[np.uint16], bits: int) -> NDArray[np.int64]:
    """Return floor(value * 256 / 2^bits), at most 255."""
    return np.minimum(image.astype(np.int64) * 256 // 2**bits, 255)


def deep_set(root: Path, shift: int, suffix: str = ".png") -> Persons:
    """Return drawn people in 16-bit images that are 8-bit ones << shift."""
    synthesize(root, num_train=3, num_val=1, image_size=(96, 80))
    file, folder = root / "annotations/person_keypoints_train2017.json", root / "train2017"
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        image = cv2.imread(str(folder / name))
        assert image is not None
        written(folder / f"{name}{suffix}", image.astype(np.uint16) << shift)
        file.write_text(file.read_text().replace(name, name + suffix))
    return load_coco(file, folder)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jp2"])
@pytest.mark.parametrize("image", [ALL, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("bits", [8, 9, 10, 12, 15])
def test_bits_in_use(image: NDArray[np.uint16], bits: int, suffix: str, tmp_path: Path) -> None:
    pixels = read_picture(written(tmp_path / f"a{suffix}", image), bits=bits).pixels
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, to_8_bits_plainly(in_colour(image), bits))


@pytest.mark.parametrize("image", [ALL, COLOUR], ids=["grey", "colour"])
def test_16_bits_are_what_opencv_makes_of_them(image: NDArray[np.uint16], tmp_path: Path) -> None:
    """It drops the low byte; of TIFF in colour it rounds another way, and that stays so."""
    for name in ("a.png", "a.tiff"):
        path = written(tmp_path / name, image)
        opencv = cv2.imread(str(path), cv2.IMREAD_COLOR)
        for bits in (None, 16):
            np.testing.assert_array_equal(read_picture(path, bits=bits).pixels, opencv)
        if name == "a.png":
            np.testing.assert_array_equal(opencv, in_colour(image) >> 8)
    np.testing.assert_array_equal(to_8_bits(image, None, ""), image >> 8)
    np.testing.assert_array_equal(to_8_bits(image, 16, ""), image >> 8)


def test_pillow_writes_the_same(tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    image = pil.fromarray(ALL >> 4)
    assert image.mode == "I;16"
    for name in ("a.png", "a.tiff"):
        image.save(tmp_path / name)
        pixels = read_picture(tmp_path / name, bits=12).pixels
        np.testing.assert_array_equal(pixels[..., 1], ALL >> 8)


def test_8_bit_images_and_alpha_stay(tmp_path: Path) -> None:
    image = (COLOUR >> 8).astype(np.uint8)
    for name in ("a.png", "a.tiff", "a.jpg", "a.bmp"):
        path = written(tmp_path / name, image)
        np.testing.assert_array_equal(read_picture(path, bits=12).pixels, read_picture(path).pixels)
    deep = np.dstack([COLOUR >> 4, np.full_like(ALL, 65535)])
    pixels = read_picture(written(tmp_path / "b.png", deep), bits=12).pixels
    np.testing.assert_array_equal(pixels, COLOUR >> 8)


def test_values_above_the_range_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "a.png", ALL)
    for _ in range(2):
        read_picture(path, bits=12)
    assert [r.getMessage() for r in caplog.records] == [
        f"image {path} has values up to 65,535: with bits=12 what is above 4,095 is cut off"
    ]
    caplog.clear()
    read_picture(written(path, ALL >> 4), bits=12)
    assert not caplog.records


def test_a_nearly_black_image_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for image in (np.zeros_like(ALL), ALL, ALL >> 2, np.zeros((8, 8), np.uint8)):
        read_picture(written(tmp_path / "a.png", image))
    assert not caplog.records, "black, bright and dim ones, and such of 8 bits"
    path = written(tmp_path / "a.tiff", COLOUR >> 4)
    for _ in range(2):
        read_picture(path)
    assert [r.getMessage() for r in caplog.records] == [
        f"image {path} has 16 bits a channel and values up to 4,095, so it is read nearly black: "
        "if its range is 12 bits, say so with bits=12 (data.bits, predict --bits)"
    ]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.linspace(0, 300.5, 64, dtype=np.float32).reshape(8, 8), "float32, from 0 to 300.5:"),
        (
            np.full((8, 8, 3), 2.5, np.float32),
            r"float32, from 2\.\d+ to 2\.\d+:",
        ),  # OpenCV 4.9 writes these with loss
        (np.full((8, 8), 70000, np.int32), "int32, from 70000 to 70000:"),
    ],
    ids=["float", "float-colour", "int"],
)
@pytest.mark.parametrize("bits", [None, 12])
def test_numbers_that_are_no_pixels_are_named(
    image: NDArray[np.generic], message: str, bits: int | None, tmp_path: Path
) -> None:
    """Such TIFFs come from thermal and depth cameras."""
    path = written(tmp_path / "a.tiff", image)
    with pytest.raises(DatasetError, match=rf"a\.tiff holds numbers of type {message}.* 16-bit"):
        read_picture(path, bits=bits)


def test_every_reader_takes_bits(tmp_path: Path) -> None:
    persons, shallow = deep_set(tmp_path / "d", 4), deep_set(tmp_path / "s", 8)
    assert read_image(shallow, 0).max() > 200
    np.testing.assert_array_equal(read_image(persons, 0, bits=12), read_image(shallow, 0))
    sets = zip((persons, shallow), (12, None), strict=True)
    augment, scene = Augmentation(), SceneAugmentation()
    crops, scenes, tested = [], [], []
    for each, bits in sets:
        crops.append(TopDown(each, (48, 64), augment=augment, bits=bits)[(1, 2)]["image"])
        scenes.append(BottomUp(each, (64, 64), [], augment=scene, bits=bits)[(1, 1)]["image"])
        tested.append(BottomUp(each, (64, 64), [], bits=bits)[0]["images"][0])
    for first, second in (crops, scenes, tested):
        np.testing.assert_array_equal(first, second)
    drawn = [annotated_images(p, [0], bits=b)[0].image for p, b in ((persons, 12), (shallow, 16))]
    np.testing.assert_array_equal(*drawn)
    for bits in (7, 17):
        with pytest.raises(ValueError, match=f"bits must be from 8 to 16, .* got {bits}"):
            TopDown(persons, (48, 64), bits=bits)


def test_show_takes_bits(tmp_path: Path) -> None:
    deep_set(tmp_path, 4)
    data = [str(tmp_path / "annotations/person_keypoints_train2017.json")]
    data.append(str(tmp_path / "train2017"))
    dark, right = tmp_path / "dark.png", tmp_path / "right.png"
    assert main(["show", *data, "-o", str(dark), "--draws", "1"]) == 0
    assert main(["show", *data, "-o", str(right), "--draws", "1", "--bits", "12"]) == 0
    means = [np.mean(read_picture(path).pixels) for path in (dark, right)]
    assert means[1] > means[0] + 10
    with pytest.raises(SystemExit):
        main(["show", *data, "-o", str(right), "--bits", "7"])


def test_check_says_how_many_bits_are_used(tmp_path: Path) -> None:
    persons = deep_set(tmp_path, 4)
    highest = max(int(read_image(persons, i, bits=12).max()) for i in range(len(persons))) << 4
    (found,) = [f for f in check(persons.annotation_file, persons.image_dir) if f.slug != "not-rgb"]
    assert (found.slug, found.is_error, found.count) == ("unused-bits", False, 3)
    assert found.records == [
        f"3 of 3 images looked at have 16 bits a channel, with values up to {highest:,}: they use "
        "12 bits; set data.bits=12"
    ]
    name = persons.file_names[0]
    assert cv2.imwrite(str(tmp_path / "train2017/a.tiff"), np.full((80, 96), 21.5, np.float32))
    (tmp_path / "train2017/a.tiff").replace(tmp_path / "train2017" / name)
    found = next(f for f in check(persons.annotation_file, persons.image_dir))
    assert (found.slug, found.count) == ("wrong-depth", 1)
    assert "float32, from 21.5 to 21.5" in found.records[0]


def test_a_set_that_uses_all_bits_is_no_finding(tmp_path: Path) -> None:
    persons = deep_set(tmp_path, 8)
    assert {f.slug for f in check(persons.annotation_file, persons.image_dir)} == {"not-rgb"}


def test_depth_of_images(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{i}.png", np.full((4, 4), 10 * i, np.uint16)) for i in range(99)]
    found = measure_depth(paths)
    assert found == Depth(40, 40, 980), "evenly spread, the last among them"
    assert found.bits == 10
    with_others = [*paths[:2], tmp_path / "gone.png"]
    with_others.append(written(tmp_path / "a.jpg", np.zeros((4, 4), np.uint8)))
    assert measure_depth(with_others) == Depth(3, 2, 10)
    assert measure_depth([]) == Depth(0)
    assert (Depth(3).describe(), Depth(3, 3, 0).bits) == ("", 16)


@pytest.mark.parametrize(
    ("highest", "bits", "end"),
    [
        (3981, None, "values up to 3,981: they use 12 bits; set data.bits=12"),
        (65535, None, "values up to 65,535"),
        (3981, 12, "values up to 3,981; data.bits is 12"),
        (3981, 14, "values up to 3,981; data.bits is 14"),
        (
            3981,
            10,
            "values up to 3,981: data.bits is 10, and what is above 1,023 is cut off; set "
            "data.bits=12",
        ),
    ],
)
def test_depth_in_words(highest: int, bits: int | None, end: str) -> None:
    start = "40 of 40 images looked at have 16 bits a channel, with "
    assert Depth(40, 40, highest).describe(bits) == start + end


def test_bits_of_sensors() -> None:
    assert [bits_in_use(2**n - 1) for n in (8, 9, 10, 11, 12, 13, 14, 15, 16)] == [
        *(8, 10, 10, 12, 12, 14, 14, 16, 16)
    ]


def test_bytes_in_memory() -> None:
    data = cv2.imencode(".png", ALL >> 4)[1].tobytes()
    np.testing.assert_array_equal(decode_picture(data, "a", bits=12).pixels[..., 0], ALL >> 8)


def test_reading_is_logged_by_the_package(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pose_data"):
        to_8_bits(ALL, 15, "image b")
    assert caplog.records[0].name == "pose_data"


def test_a_replaced_dataset_reads_anew(tmp_path: Path) -> None:
    """`replace` keeps no decoded pictures of another depth."""
    dataset = TopDown(deep_set(tmp_path, 4), (48, 64))
    dark = dataset[0]["image"]
    assert replace(dataset, bits=12)[0]["image"].max() > 10 * dark.max()
