"""Changes of pixels: what albumentations does, and nothing unless asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import (
    Augmentation,
    Blur,
    BottomUp,
    Colour,
    Erase,
    Noise,
    Persons,
    SceneAugmentation,
    TopDown,
    load_coco,
    synthesize,
)
from pose_data.samples.pixels import PIXELS, UNCHANGED, PixelParams, change_pixels, sample_pixels

# An image, and what albumentations 2.0.8 made of it: "brightness 0.6" and the like by the functions
# of its ColorJitter, "blur 5 2.0" (kernel, sigma) by its GaussianBlur.
THEIRS = np.load(Path(__file__).with_name("albumentations.npz"))
ALL: dict[str, Any] = {name: cls(p=1.0) for name, cls in PIXELS.items()}


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> Persons:
    root = tmp_path_factory.mktemp("people")
    synthesize(root, num_train=3, num_val=1, image_size=(96, 64), seed=2)
    return load_coco(root / "annotations/person_keypoints_train2017.json", root / "train2017")


def top_down(persons: Persons, **changes: Any) -> TopDown:
    return TopDown(persons, (48, 64), lambda *both: both, Augmentation(**changes))


def bottom_up(persons: Persons, **changes: Any) -> BottomUp:
    return BottomUp(persons, (64, 64), ((16, 16),), augment=SceneAugmentation(**changes))


def flat(channels: int = 3) -> NDArray[np.uint8]:
    return np.full((64, 48, channels), 128, np.uint8)


@pytest.mark.parametrize("name", [name for name in THEIRS.files if name != "image"])
def test_the_same_as_albumentations_but_for_rounding(name: str) -> None:
    what, *numbers = name.split()
    values = [float(number) for number in numbers]
    params = PixelParams(colour=((what, values[0]),))
    if what == "blur":
        kernel = int(values[0])
        blur = Blur((kernel, kernel), (values[1], values[1]), 1.0)
        params = sample_pixels(np.random.default_rng(0), None, blur, None, None)
    found = change_pixels(THEIRS["image"], params).astype(int)
    assert np.abs(found - THEIRS[name]).max() <= 1
    assert np.abs(found - THEIRS["image"]).max() > 20


def test_noise_is_normal_in_each_pixel_and_channel() -> None:
    image = np.full((200, 200, 3), 128, np.uint8)
    noise = change_pixels(image, PixelParams(noise=(20.0, 7))).astype(float) - 128
    assert abs(noise.mean()) < 0.3
    assert noise.std() == pytest.approx(20, rel=0.01)
    assert (np.abs(noise) > 40).mean() == pytest.approx(0.0428, abs=0.003)  # from 40.5 on
    assert abs(np.corrcoef(noise.reshape(-1, 3).T)[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.02
    white = change_pixels(np.full((9, 9, 3), 255, np.uint8), PixelParams(noise=(20.0, 7)))
    assert white.min() > 150, "cut at 255, not wrapped around"


def test_erased_boxes_have_their_number_size_and_value() -> None:
    erase = Erase((2, 3), (0.25, 0.25), (0.5, 0.5), fill=9, p=1.0)
    counts = set()
    for seed in range(30):
        params = sample_pixels(np.random.default_rng(seed), None, None, None, erase)
        counts.add(len(params.holes))
        image = change_pixels(flat(), params._replace(holes=params.holes[:1]))
        rows, columns = np.nonzero((image == 9).all(axis=2))
        assert np.ptp(rows) + 1 in (15, 16)  # one less where rounding cuts it at the border
        assert np.ptp(columns) + 1 in (23, 24)
        assert (image == 9).sum() == 3 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert counts == {2, 3}


def test_draws_stay_in_their_ranges_and_come_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    colour = Colour((0.5, 0.6), (1, 1), (1.5, 2.5), (-0.1, 0.1), p=0.25)
    blur, noise = Blur((3, 7), (1.0, 2.0), p=0.75), Noise((0.1, 0.2), p=0.5)
    drawn = [sample_pixels(rng, colour, blur, noise, None) for _ in range(2000)]
    ranges = {"brightness": (0.5, 0.6), "saturation": (1.5, 2.5), "hue": (-0.1, 0.1)}
    changed = [params.colour for params in drawn if params.colour]
    assert len(changed) == pytest.approx(500, abs=60)
    assert {frozenset(dict(each)) for each in changed} == {frozenset(ranges)}, "1 is no change"
    assert {each[0][0] for each in changed} == set(ranges), "in random order"
    for name, factor in (one for each in changed for one in each):
        assert ranges[name][0] <= factor <= ranges[name][1]
    blurred = [params.blur for params in drawn if params.blur]
    assert len(blurred) == pytest.approx(1500, abs=60)
    assert {kernel for kernel, _ in blurred} == {3, 5, 7}
    assert all(1 <= sigma <= 2 for _, sigma in blurred)
    stds = [params.noise[0] for params in drawn if params.noise]
    assert len(stds) == pytest.approx(1000, abs=80)
    assert 25.5 <= min(stds) <= max(stds) <= 51


@pytest.mark.parametrize("make", [top_down, bottom_up])
def test_geometry_and_labels_do_not_depend_on_pixels(persons: Persons, make: Any) -> None:
    plain, changed = make(persons), make(persons, **ALL)
    never = make(persons, **{name: replace(each, p=0.0) for name, each in ALL.items()})
    for index in range(len(plain)):
        one, other = plain[(3, index)], changed[(3, index)]
        assert (one["image"] == never[(3, index)]["image"]).all()
        assert (one["image"] != other["image"]).mean() > 0.5
        for key in one.keys() - {"image"}:
            np.testing.assert_equal(one[key], other[key])
        assert (other["image"] == changed[(3, index)]["image"]).all(), "the key decides"
        assert (other["image"] != changed[(3, index, 1)]["image"]).any()


def test_nothing_is_drawn_for_what_is_off() -> None:
    rng = np.random.default_rng(5)
    assert sample_pixels(rng, None, None, None, None) == UNCHANGED
    assert rng.random() == np.random.default_rng(5).random()
    image = flat()
    assert change_pixels(image, UNCHANGED) is image


def test_images_are_not_changed_in_place_and_may_be_grey() -> None:
    for channels in (1, 3):
        image = flat(channels)
        rng = np.random.default_rng(1)
        for name, each in ALL.items():
            settings = {**dict.fromkeys(PIXELS), name: each}
            found = change_pixels(image, sample_pixels(rng, **settings))
            assert found.shape == image.shape
            assert found.dtype == np.uint8
            assert (image == 128).all()
    grey = flat(1)
    grey[:32] = 64
    for change in ("saturation", "hue"):
        assert (change_pixels(grey, PixelParams(colour=((change, 0.5),))) == grey).all()
    assert set(change_pixels(grey, PixelParams(colour=(("contrast", 0.5),))).ravel()) == {80, 112}
    assert set(change_pixels(grey, PixelParams(colour=(("brightness", 1.5),))).ravel()) == {96, 192}


def test_settings_out_of_range_name_the_field() -> None:
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (Colour, {"brightness": (-0.1, 1)}, r"brightness\[0\] must be at least 0, got -0.1"),
        (Colour, {"contrast": (1.2, 0.8)}, r"contrast must be in order, .*got \[1.2, 0.8\]"),
        (Colour, {"hue": (-0.6, 0)}, r"hue\[0\] must be from -0.5 to 0.5, got -0.6"),
        (Colour, {"p": 2}, "p must be from 0 to 1, got 2"),
        (Blur, {"blur_limit": (3, 4)}, r"blur_limit\[1\] must be odd or 0, got 4"),
        (Blur, {"sigma_limit": (0, 1)}, r"sigma_limit\[0\] must be above 0, got 0"),
        (Noise, {"std_range": (0, 30)}, r"std_range\[1\] must be from 0 to 1, got 30"),
        (Erase, {"num_holes_range": (0, 1)}, r"num_holes_range\[0\] must be at least 1, got 0"),
        (Erase, {"fill": 256}, "fill must be from 0 to 255, got 256"),
    ]
    for cls, options, words in wrong:
        with pytest.raises(ValueError, match=words):
            cls(**options)
