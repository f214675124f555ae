"""Samples of one channel."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_data import (
    Augmentation,
    BottomUp,
    Persons,
    SceneAugmentation,
    TopDown,
    load_coco,
    read_image,
    synthesize,
)
from pose_data.images.channels import from_input, in_channels, to_input
from pose_data.images.decode import read_picture
from pose_data.view.gallery import augmented_samples


@pytest.fixture
def persons(tmp_path: Path) -> Persons:
    synthesize(tmp_path, num_train=3, num_val=1, image_size=(96, 80))
    annotations = tmp_path / "annotations/person_keypoints_train2017.json"
    return load_coco(annotations, tmp_path / "train2017")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_a_grey_file_keeps_its_values(suffix: str, tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), grey)
    stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(in_channels(read_picture(path).pixels, 1), stored)


def test_there_and_back() -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    assert in_channels(image, 3) is image
    np.testing.assert_array_equal(from_input(to_input(image)), image)
    grey = in_channels(image, 1)
    luma = image @ np.array([0.114, 0.587, 0.299])
    assert np.abs(grey - luma).max() <= 0.51
    assert to_input(grey).shape == (6, 8, 1)
    np.testing.assert_array_equal(from_input(to_input(grey)), np.dstack([grey] * 3))


@pytest.mark.parametrize("warp", ["cv2", "opencv4"])
@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_crops(persons: Persons, warp: str, decode: str) -> None:
    """The same draws and targets as in colour, and what the colours would give, to rounding."""
    options = {"warp": warp, "decode": decode, "augment": Augmentation()}
    colour, grey = (
        TopDown(persons, (48, 64), lambda *each: each, **options, channels=n) for n in (3, 1)
    )
    for key in [(epoch, index) for epoch in range(3) for index in range(len(persons))]:
        one, other = colour[key], grey[key]
        assert other["image"].shape == (64, 48, 1)
        assert other["image"].dtype == np.uint8
        for name in ("matrix", "center", "scale", "heatmaps", "weights"):
            np.testing.assert_array_equal(one[name], other[name])
        luma = in_channels(from_input(one["image"]), 1)
        assert np.abs(luma.astype(int) - other["image"][..., 0]).max() <= 2


@pytest.mark.parametrize("warp", ["cv2", "opencv4"])
def test_whole_images(persons: Persons, warp: str) -> None:
    colour, grey = (
        BottomUp(persons, (64, 64), [(16, 16)], augment=SceneAugmentation(), warp=warp, channels=n)
        for n in (3, 1)
    )
    flipped = set()
    for key in [(epoch, index) for epoch in range(3) for index in range(3)]:
        one, other = colour[key], grey[key]
        flipped.add(other["mirrored"])
        assert other["image"].shape == (64, 64, 1)
        luma = in_channels(from_input(one["image"]), 1)
        assert np.abs(luma.astype(int) - other["image"][..., 0]).max() <= 2
        np.testing.assert_array_equal(one["keypoints"][0], other["keypoints"][0])
    assert flipped == {True, False}
    tested = BottomUp(persons, (64, 64), [], warp=warp, scale_factors=(1, 2), channels=1)[0]
    assert [image.shape[2] for image in tested["images"]] == [1, 1]


def test_samples_are_drawn(persons: Persons) -> None:
    """Grey, with skeletons and masks in colour."""
    crops = TopDown(persons, (48, 64), augment=Augmentation(), channels=1)
    scenes = BottomUp(persons, (64, 64), [(64, 64)], augment=SceneAugmentation(), channels=1)
    for dataset in (crops, scenes):
        (shown,) = augmented_samples(dataset, [0], draws=2)
        assert shown.image.shape[2] == 3
        is_grey = (shown.image == shown.image[..., :1]).all(axis=2)
        assert 0.02 < 1 - is_grey.mean() < 0.9


def test_the_cache_keeps_grey(persons: Persons) -> None:
    dataset = TopDown(persons, (48, 64), channels=1)
    dataset[0]
    (kept,) = dataset._images._held.values()
    expected = cv2.cvtColor(read_image(persons, 0), cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(kept.pixels, expected)


def test_other_numbers_are_refused(persons: Persons) -> None:
    for dataset in (TopDown, BottomUp):
        with pytest.raises(ValueError, match=r"channels must be 3 \(RGB\) or 1 \(grey\), got 4"):
            dataset(persons, (64, 64), channels=4)
