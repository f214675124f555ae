"""EXIF orientations: which are applied, and that a turned image gives the upright one's samples."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import (
    COCO,
    Augmentation,
    BottomUp,
    DatasetError,
    Persons,
    SceneAugmentation,
    TopDown,
    check,
    load_coco,
    read_image,
)
from pose_data.images.decode import read_picture
from pose_data.images.headers import read_header, upright_size

Image = NDArray[np.uint8]
W, H = 83, 61  # upright; no multiples of 8, so that reduced blocks at the border are not whole

# What a camera stores of an upright image so that a viewer that obeys the tag shows it again.
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}


def upright(w: int = W, h: int = H) -> Image:
    y, x = np.mgrid[:h, :w]
    planes = [x * 255 / w, y * 255 / h, 128 + 60 * np.sin(x / 9)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def write_turned(path: Path, image: Image, orientation: int, order: str = "<") -> Path:
    """Write an upright image as a camera held in that orientation does, tag and all."""
    stored = np.ascontiguousarray(STORED[orientation](image))
    jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    entries = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    entries += struct.pack(order + "HHII", 0x0131, 2, 4, 0x616263)  # Software
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2)
    exif = b"Exif\0\0" + tiff + entries + bytes(4)
    jfif, rest = jpeg[:20], jpeg[20:]  # cameras and editors write Exif before or behind JFIF
    path.write_bytes(jfif + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + rest)
    return path


def almost(one: Image, other: Image, most: int = 12) -> None:
    """Compare images that were compressed in other orientations."""
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).max() <= most


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_image_is_upright_unless_its_size_is_the_stored_one(
    tmp_path: Path, orientation: int, order: str
) -> None:
    path = write_turned(tmp_path / "a.jpg", upright(), orientation, order)
    stored = np.ascontiguousarray(STORED[orientation](upright()))
    almost(cv2.imread(str(path)), upright())  # the tag works
    almost(read_picture(path).pixels, upright())
    almost(read_picture(path, (W, H)).pixels, upright())
    almost(read_picture(path, (W, H), exif="apply").pixels, upright())
    h, w = stored.shape[:2]
    if orientation >= 5:  # else the size does not tell
        almost(read_picture(path, (w, h)).pixels, stored)
        with pytest.raises(DatasetError, match="looks turned: is exif=apply right"):
            read_picture(path, (w, h), exif="apply")
        with pytest.raises(DatasetError, match="looks turned: is exif=ignore right"):
            read_picture(path, (W, H), exif="ignore")
    almost(read_picture(path, (w, h), exif="ignore").pixels, stored)
    almost(read_picture(path, exif="ignore").pixels, stored)
    header = read_header(path)
    assert (upright_size(header), (header.width, header.height)) == ((W, H), (w, h))
    with pytest.raises(DatasetError, match=f"is {W}x{H}, the annotations say 90x90"):
        read_picture(path, (90, 90))


@pytest.mark.parametrize("orientation", [3, 6])
def test_square_images_are_upright(tmp_path: Path, orientation: int) -> None:
    path = write_turned(tmp_path / "a.jpg", upright(64, 64), orientation)
    almost(read_picture(path, (64, 64)).pixels, upright(64, 64))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_a_turned_image_is_decoded_smaller_on_its_grid(
    tmp_path: Path, orientation: int, reduce: int
) -> None:
    """A reduced pixel is the mean of the block that its matrix says, at odd sizes, too."""
    path = write_turned(tmp_path / "a.jpg", upright(), orientation)
    picture = read_picture(path, (W, H), reduce)
    assert picture.pixels.shape[:2] == (-(-H // reduce), -(-W // reduce))
    x, y, _ = picture.matrix() @ (3, 2, 1)
    expected = np.array([x * 255 / W, y * 255 / H])
    assert np.abs(picture.pixels[2, 3, :2] - expected).max() < 3
    stored = read_picture(path, None, reduce, exif="ignore")
    turned = STORED[orientation](picture.pixels).shape
    assert (stored.pixels.shape, stored.corner) == (turned, (0, 0))


def one_person(folder: Path, name: str, size: tuple[int, int] = (W, H)) -> Persons:
    points = np.stack([np.linspace(15, 60, 17), np.linspace(10, 50, 17), np.full(17, 2)], axis=1)
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 60, 50], "area": 1590}
    row |= {"keypoints": points.ravel().tolist(), "num_keypoints": 17, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": name, "width": size[0], "height": size[1]}],
        "annotations": [row],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}],
    }
    (folder / f"{name}.json").write_text(json.dumps(content))
    return load_coco(folder / f"{name}.json", folder)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_samples_are_those_of_the_upright_image(
    tmp_path: Path, orientation: int, decode: str
) -> None:
    """Training and testing, top-down and bottom-up, mirrored and not."""
    image = upright(88, 64)  # whole blocks, so that reduced images meet the border alike
    write_turned(tmp_path / "upright.jpg", image, 1)
    write_turned(tmp_path / "turned.jpg", image, orientation)
    both = [one_person(tmp_path, name, (88, 64)) for name in ("upright.jpg", "turned.jpg")]
    for augment in (None, Augmentation(flip_prob=0), Augmentation(flip_prob=1)):
        wanted, got = (
            TopDown(each, (24, 32), lambda p, v: (p, v), augment, decode=decode)[(1, 0)]
            for each in both
        )
        almost(got["image"], wanted["image"], 16)
        np.testing.assert_array_equal(got["heatmaps"], wanted["heatmaps"])
    wanted, got = (
        BottomUp(each, (32, 32), [(16, 16)], augment=SceneAugmentation(), decode=decode)[(1, 0)]
        for each in both
    )
    almost(got["image"], wanted["image"], 16)
    np.testing.assert_array_equal(got["masks"][0], wanted["masks"][0])
    wanted, got = (BottomUp(each, (64, 64), decode=decode)[0]["images"][0] for each in both)
    almost(got, wanted, 16)
    almost(read_image(both[1], 0), image)


def test_check_warns_where_the_size_does_not_tell(tmp_path: Path) -> None:
    for orientation in (1, 3, 6, 8):
        write_turned(tmp_path / f"{orientation}.jpg", upright(), orientation)
    persons = one_person(tmp_path, "3.jpg")
    content = json.loads(persons.annotation_file.read_text())
    for number, (name, w, h) in enumerate([("1", W, H), ("6", W, H), ("8", H, W)], 2):
        listed = {"id": number, "file_name": f"{name}.jpg", "width": w, "height": h}
        content["images"].append(listed)
    persons.annotation_file.write_text(json.dumps(content))
    found = {each.slug: each for each in check(persons.annotation_file, tmp_path)}
    assert not {"exif-size", "size-differs"} & set(found)
    assert found["exif-rotation"].records == [
        f"{tmp_path / '3.jpg'}: orientation 3; 1 others are read as stored, by their sizes"
    ]
    assert not found["exif-rotation"].is_error


def test_the_option_reaches_the_images(tmp_path: Path) -> None:
    """With sizes as stored, an upside-down image cannot be told from an upright one."""
    write_turned(tmp_path / "a.jpg", upright(), 3)
    persons = one_person(tmp_path, "a.jpg")
    upside_down = upright()[::-1, ::-1]
    almost(read_image(persons, 0, "ignore"), upside_down)
    applied, ignored = (
        (TopDown(persons, (24, 32), exif=exif)[0], BottomUp(persons, (64, 64), exif=exif)[0])
        for exif in ("apply", "ignore")
    )
    assert np.abs(applied[0]["image"].astype(int) - ignored[0]["image"]).max() > 50
    assert np.abs(applied[1]["images"][0].astype(int) - ignored[1]["images"][0]).max() > 50
    for dataset in (TopDown, BottomUp):
        with pytest.raises(ValueError, match="exif must be one of auto, apply, ignore, got 'on'"):
            dataset(persons, (64, 64), exif="on")
