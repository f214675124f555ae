"""Top-down samples."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import COCO, Augmentation, DatasetError, Persons, TopDown, draw_people, inverse
from pose_data.samples.crop import NO_AUGMENTATION

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
        image_folder=tmp_path,
        skeleton=COCO,
        image_ids=np.array([7]),
        file_names=("a.png",),
        image_sizes=np.array([[160, 200]]),
        ids=np.array([1]),
        category_ids=np.array([1]),
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


def test_the_sample_says_how_to_map_back(persons: Persons) -> None:
    """Whatever was drawn, `inverse` finds the keypoints in the picture again."""
    for udp in (False, True):
        dataset = TopDown(persons, SIZE, keep_points, Augmentation(), udp=udp)
        mirrored = set()
        for epoch in range(30):
            sample = dataset[(epoch, 0)]
            back = inverse(sample["heatmaps"], sample["matrix"])
            order = COCO.flip_indices if sample["mirrored"] else range(17)
            np.testing.assert_allclose(back, persons.keypoints[0][list(order)], atol=2e-2)
            mirrored.add(sample["mirrored"])
        assert mirrored == {False, True}


def test_unknown_options_are_named(persons: Persons) -> None:
    with pytest.raises(ValueError, match="warp must be one of cv2, opencv4"):
        TopDown(persons, SIZE, warp="cv4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decode must be one of exact, fast"):
        TopDown(persons, SIZE, decode="quick")  # type: ignore[arg-type]


def test_fast_decoding_shows_the_same_with_fewer_pixels(tmp_path: Path, persons: Persons) -> None:
    """A picture four times too large is read at a quarter; what it shows stays in its place."""
    y, x = np.mgrid[:801, :643]
    picture = np.stack([x * 255 / 643, y * 255 / 801, 128 + 90 * np.sin(x / 60)], axis=-1)
    cv2.imwrite(str(tmp_path / "a.jpg"), picture.astype(np.uint8))
    large = replace(
        persons,
        file_names=("a.jpg",),
        image_sizes=np.array([[643, 801]]),
        bbox_xyxy=persons.bbox_xyxy * 4,
        keypoints=persons.keypoints * 4,
    )
    assert TopDown(large, SIZE, decode="fast")._reduce.tolist() == [4]
    assert TopDown(persons, SIZE, decode="fast")._reduce.tolist() == [1]
    turned = NO_AUGMENTATION._replace(rotation=20.0, scale=0.8)
    for params in (NO_AUGMENTATION, turned, turned._replace(flip=True)):
        exact, fast = (
            TopDown(large, SIZE, keep_points, decode=decode).sample(0, params)
            for decode in ("exact", "fast")
        )
        inside = exact["image"].max(axis=2) > 0
        inside = cv2.erode(inside.astype(np.uint8), np.ones((9, 9))) > 0  # not the picture's border
        difference = np.abs(exact["image"].astype(int) - fast["image"])[inside]
        assert len(difference) > 5000
        assert difference.max() <= 6  # half a pixel of a shift would be about 1 of 255 per axis
        assert abs((exact["image"].astype(float) - fast["image"])[inside].mean()) < 0.1
        np.testing.assert_array_equal(exact["heatmaps"], fast["heatmaps"])


def test_a_broken_picture_is_replaced_in_training_only(tmp_path: Path, persons: Persons) -> None:
    several = replace(
        persons,
        file_names=("a.png", "broken.png"),
        image_ids=np.array([7, 8]),
        image_sizes=np.array([[160, 200], [160, 200]]),
        **{
            name: np.concatenate([getattr(persons, name)] * 4)
            for name in ("ids", "bbox_xyxy", "area", "keypoints", "visible")
        },
        image_index=np.array([0, 1, 0, 1]),
    )
    (tmp_path / "broken.png").write_bytes(b"no picture")
    dataset = TopDown(several, SIZE, keep_points, Augmentation())
    sample, again = dataset[(3, 1)], replace(dataset)[(3, 1)]
    assert sample["index"] in (0, 2)
    assert sample["index"] == again["index"]
    np.testing.assert_array_equal(sample["image"], again["image"])
    dataset[(4, 3)]
    assert list(dataset.broken.reasons) == [tmp_path / "broken.png"]
    with pytest.raises(DatasetError, match="cannot be decoded"):
        replace(dataset, max_broken=0)[(3, 1)]
    with pytest.raises(DatasetError, match="cannot be decoded"):
        TopDown(several, SIZE)[1]
    only_broken = replace(dataset, persons=replace(several, image_index=np.ones(4, int)))
    with pytest.raises(DatasetError, match="hardly any image can be read"):
        only_broken[(3, 1)]


def test_persons_of_a_picture_share_its_decoding(persons: Persons) -> None:
    dataset = TopDown(persons, SIZE, keep_points, Augmentation())
    dataset[(0, 0)]
    persons.image_path(0).unlink()
    dataset[(1, 0)]
    with pytest.raises(DatasetError):
        replace(dataset, cache_mb=0, max_broken=0)[(0, 0)]
    copied = pickle.loads(pickle.dumps(dataset))
    with pytest.raises(DatasetError):  # as in a worker that is spawned
        replace(copied, max_broken=0)[(0, 0)]
