"""Top-down samples."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import COCO, Augmentation, DatasetError, Persons, TopDown, draw_people
from pose_data.transforms import NO_AUGMENTATION

SIZE = (96, 128)


@pytest.fixture
def persons(tmp_path: Path) -> Persons:
    """One person whose keypoint k is a bright dot at (20 + 5 k, 100 + 2 k) of a dark picture."""
    keypoints = np.stack([20 + 5 * np.arange(17), 100 + 2 * np.arange(17)], axis=1)
    image = np.zeros((200, 160, 3), np.uint8)
    for x, y in keypoints:
        cv2.circle(image, (int(x), int(y)), 1, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    return Persons(
        annotation_file=tmp_path / "gt.json",
        image_dir=tmp_path,
        skeleton=COCO,
        image_ids=np.array([7]),
        file_names=("a.png",),
        image_sizes=np.array([[160, 200]]),
        ids=np.array([1]),
        image_index=np.array([0]),
        bbox_xyxy=np.array([[10, 90, 120, 160]], np.float32),
        area=np.array([5000], np.float32),
        keypoints=keypoints[None].astype(np.float32),
        visible=np.full((1, 17), 2, np.float32),
    )


def keep_points(
    keypoints: NDArray[np.float32], visible: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return keypoints, visible


def test_test_sample(persons: Persons) -> None:
    sample = TopDown(persons, SIZE)[0]
    assert sample["image"].shape == (128, 96, 3)
    assert sample["image"].dtype == np.uint8
    assert sample["center"].tolist() == [65, 125]
    assert "heatmaps" not in sample


@pytest.mark.parametrize(
    "params",
    [
        NO_AUGMENTATION,
        NO_AUGMENTATION._replace(flip=True),
        NO_AUGMENTATION._replace(rotation=30.0, scale=0.9),
        NO_AUGMENTATION._replace(flip=True, rotation=-20.0, shift=(0.05, -0.1)),
        NO_AUGMENTATION._replace(half_body=True, prefer_upper=True),
    ],
)
def test_keypoints_follow_the_picture(persons: Persons, params: object) -> None:
    dataset = TopDown(persons, SIZE, keep_points, Augmentation())
    sample = dataset.sample(0, params)  # type: ignore[arg-type]
    points, weights = sample["heatmaps"], sample["weights"]
    assert (weights == 1).all()
    inside = [k for k, (x, y) in enumerate(points) if 2 < x < 93 and 2 < y < 125]
    assert len(inside) >= 10
    for k in inside:
        x, y = np.rint(points[k]).astype(int)
        assert sample["image"][y - 1 : y + 2, x - 1 : x + 2].max() > 120


def test_a_flip_swaps_left_and_right(persons: Persons) -> None:
    dataset = TopDown(persons, SIZE, keep_points, Augmentation())
    plain = dataset.sample(0, NO_AUGMENTATION)["heatmaps"]
    mirrored = dataset.sample(0, NO_AUGMENTATION._replace(flip=True))["heatmaps"]
    np.testing.assert_allclose(
        mirrored[:, 0], SIZE[0] - plain[list(COCO.flip_indices), 0], atol=1e-3
    )


def test_samples_depend_on_seed_epoch_and_index_alone(persons: Persons) -> None:
    dataset = TopDown(persons, SIZE, keep_points, Augmentation(), seed=3)
    first, again = dataset[(1, 0)], dataset[(1, 0)]
    assert (first["image"] == again["image"]).all()
    assert (first["heatmaps"] == again["heatmaps"]).all()
    assert (dataset[(2, 0)]["heatmaps"] != first["heatmaps"]).any()
    assert (replace(dataset, seed=4)[(1, 0)]["heatmaps"] != first["heatmaps"]).any()


def test_inputs_are_not_changed(persons: Persons) -> None:
    before = persons.keypoints.copy()
    TopDown(persons, SIZE, keep_points, Augmentation()).sample(
        0, NO_AUGMENTATION._replace(flip=True, half_body=True)
    )
    assert (persons.keypoints == before).all()


def test_occluded_joints_train_with_full_weight(persons: Persons) -> None:
    persons.visible[0, :3] = [0, 1, 2]
    weights = TopDown(persons, SIZE, keep_points)[0]["weights"]
    assert weights[:3].tolist() == [0, 1, 1]


def test_missing_and_broken_pictures_are_named(persons: Persons) -> None:
    path = persons.image_path(0)
    path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"annotation id 1: image .*a\.png cannot be decoded"):
        TopDown(persons, SIZE)[0]
    path.unlink()
    with pytest.raises(DatasetError, match=r"a\.png does not exist"):
        TopDown(persons, SIZE)[0]


def test_drawing_leaves_the_picture_alone_and_shows_only_sure_joints() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    keypoints = np.full((1, 17, 2), 50, np.float32)
    assert draw_people(image, keypoints, np.ones((1, 17), np.float32), COCO).any()
    assert not draw_people(image, keypoints, np.zeros((1, 17), np.float32), COCO).any()
    assert not image.any()
