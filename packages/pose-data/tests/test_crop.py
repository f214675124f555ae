"""Top-down geometry."""

import numpy as np
import pytest

from pose_data import COCO, Augmentation, SceneAugmentation, keypoints_to_image
from pose_data.samples.crop import (
    NO_AUGMENTATION,
    box_to_center_scale,
    crop_matrix,
    fix_aspect,
    half_body_box,
    sample_augmentation,
    transform_points,
)

INPUT_SIZE = (192, 256)


def test_augmentation_out_of_range_names_the_field() -> None:
    for options, words in (
        ({"flip_prob": 2}, "flip_prob must be from 0 to 1, got 2"),
        ({"scale": 1.5}, "scale must be from 0 to 0.9, got 1.5"),
        ({"rotate": float("nan")}, "rotate must be from 0 to 180, got nan"),
        ({"half_body_min_keypoints": -1}, "half_body_min_keypoints must be at least 0"),
    ):
        with pytest.raises(ValueError, match=words):
            Augmentation(**options)
    with pytest.raises(ValueError, match=r"scale must be in order, the lowest first, got \[2, 1\]"):
        SceneAugmentation(scale=(2, 1))
    with pytest.raises(ValueError, match=r"scale\[0\] must be above 0, got 0"):
        SceneAugmentation(scale=(0, 1))


@pytest.mark.parametrize("seed", range(20))
def test_crop_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner, extent = rng.uniform(0, 300, 2), rng.uniform(20, 300, 2)
    box = np.concatenate([corner, corner + extent]).astype(np.float32)
    points = rng.uniform(0, 600, (17, 2)).astype(np.float32)
    center, scale = box_to_center_scale(box)
    scale = fix_aspect(scale, INPUT_SIZE)
    assert scale[0] / scale[1] == pytest.approx(INPUT_SIZE[0] / INPUT_SIZE[1])
    in_crop = transform_points(points, crop_matrix(center, scale, 0.0, INPUT_SIZE))
    np.testing.assert_allclose(
        keypoints_to_image(in_crop, center, scale, INPUT_SIZE), points, atol=2e-2
    )


def test_rotation_keeps_the_center_and_turns_the_rest() -> None:
    center, scale = np.array([50, 40], np.float32), np.array([96, 128], np.float32)
    matrix = crop_matrix(center, scale, 90.0, INPUT_SIZE)
    middle, right = transform_points(np.array([[50, 40], [60, 40]], np.float32), matrix)
    np.testing.assert_allclose(middle, [96, 128], atol=1e-3)
    # The sampled region turns by +90 degrees (clockwise on screen), so its content by -90.
    np.testing.assert_allclose(right - middle, [0, -20], atol=1e-3)


def test_a_draw_stays_in_its_bounds_and_depends_on_the_rng_alone() -> None:
    aug = Augmentation()
    draws = [sample_augmentation(np.random.default_rng(i), aug) for i in range(2000)]
    assert draws[5] == sample_augmentation(np.random.default_rng(5), aug)
    assert max(abs(s) for d in draws for s in d.shift) <= 0.16
    assert all(0.5 <= d.scale <= 1.5 and abs(d.rotation) <= 80 for d in draws)
    for share, expected in [
        (np.mean([d.flip for d in draws]), 0.5),
        (np.mean([d.half_body for d in draws]), 0.3),
        (np.mean([d.rotation != 0 for d in draws]), 0.6),
        (np.std([d.scale for d in draws]), 0.5 * 0.53956),  # truncated, not clipped, normal
    ]:
        assert share == pytest.approx(expected, abs=0.04)


def test_switched_off_augmentation_changes_nothing() -> None:
    off = Augmentation(flip_prob=0, half_body_prob=0, shift_prob=0, scale_prob=0, rotate_prob=0)
    params = sample_augmentation(np.random.default_rng(0), off)
    assert params == NO_AUGMENTATION._replace(prefer_upper=params.prefer_upper)


def test_half_body_takes_the_preferred_half_that_has_enough_joints() -> None:
    keypoints = np.arange(34, dtype=np.float32).reshape(17, 2)
    visible = np.ones(17, np.float32)
    upper = half_body_box(keypoints, visible, COCO, prefer_upper=True, min_keypoints=9)
    lower = half_body_box(keypoints, visible, COCO, prefer_upper=False, min_keypoints=9)
    assert upper is not None
    assert lower is not None
    np.testing.assert_allclose(upper[0], keypoints[:11].mean(axis=0))
    np.testing.assert_allclose(lower[0], keypoints[11:].mean(axis=0))
    np.testing.assert_allclose(lower[1], 1.5 * np.ptp(keypoints[11:], axis=0))
    visible[13:] = 0  # two lower joints are too few
    only = half_body_box(keypoints, visible, COCO, prefer_upper=False, min_keypoints=9)
    assert only is not None
    np.testing.assert_allclose(only[0], keypoints[:11].mean(axis=0))
    assert half_body_box(keypoints, visible, COCO, prefer_upper=True, min_keypoints=14) is None
