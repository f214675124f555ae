"""Bottom-up samples and their geometry."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import (
    COCO,
    BottomUp,
    DatasetError,
    Persons,
    SceneAugmentation,
    TopDown,
    inverse,
    keypoints_to_image,
    load_coco,
    merge,
    synthesize,
)
from pose_data.regions import decode_rle, trained_pixels
from pose_data.samples.crop import transform_points
from pose_data.samples.scene import (
    SceneParams,
    resize_for_test,
    sample_scene,
    scene_matrix,
    translation_reach,
)

STRAIGHT = SceneParams(scale=1.0, rotation=0.0, shift=(0, 0), flip=False)
MAPS = ((32, 32), (64, 64))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Persons:
    root = tmp_path_factory.mktemp("people")
    synthesize(root, num_train=6, num_val=1, image_size=(160, 120), seed=5)
    return load_coco(root / "annotations/person_keypoints_train2017.json", root / "train2017")


def training(people: Persons, **options: Any) -> BottomUp:
    return BottomUp(people, (128, 128), MAPS, augment=SceneAugmentation(), **options)


def draws() -> list[SceneParams]:
    rng = np.random.default_rng(0)
    return [sample_scene(rng, SceneAugmentation(), (640, 480)) for _ in range(1000)]


def test_a_draw_stays_in_its_bounds_and_depends_on_the_rng_alone() -> None:
    assert draws()[7] == draws()[7]
    for params in draws():
        assert 0.75 <= params.scale <= 1.5
        assert abs(params.rotation) <= 30
        reach = translation_reach((640, 480), params.scale)
        assert all(-int(r) <= d < int(r) for r, d in zip(reach, params.shift, strict=True))
    assert np.mean([params.flip for params in draws()]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([params.scale for params in draws()]) == pytest.approx(1.125, abs=0.02)
    # The upper end is exclusive, as published: on average half a pixel to the left and up.
    assert np.std([params.shift[0] for params in draws()]) > 70


def test_no_translation_is_possible() -> None:
    still = SceneAugmentation(translate=0.0)
    params = sample_scene(np.random.default_rng(0), still, (640, 480))
    assert params.shift == (0, 0)


@pytest.mark.parametrize(("side", "corners"), [("short", (80, 560)), ("long", (0, 640))])
def test_the_region_is_as_long_as_the_chosen_side(side: Any, corners: tuple[int, int]) -> None:
    matrix = scene_matrix((640, 480), STRAIGHT, (512, 512), side)
    ends = transform_points(np.array([[corners[0], 240], [corners[1], 240]], np.float32), matrix)
    np.testing.assert_allclose(ends, [[0, 256], [512, 256]], atol=1e-3)
    wide = scene_matrix((640, 480), STRAIGHT, (256, 128), side)
    scale = wide[0, 0]
    expected = {"short": 256 / 640, "long": 128 / 480}[side]
    assert scale == pytest.approx(expected)


def test_the_picture_turns_clockwise_for_a_positive_rotation() -> None:
    matrix = scene_matrix((400, 400), STRAIGHT._replace(rotation=90.0), (400, 400))
    right = transform_points(np.array([[300, 200]], np.float32), matrix)
    np.testing.assert_allclose(right, [[200, 100]], atol=1e-3)


@pytest.mark.parametrize("factors", [(1.0,), (0.5, 1.0, 2.0), (0.75, 1.0, 1.25)])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (333, 500), (37, 911), (64, 64)])
def test_test_sizes(size: tuple[int, int], factors: tuple[float, ...]) -> None:
    smallest = resize_for_test(size, 512, min(factors), min(factors))
    assert all(side % 64 == 0 for side in smallest.size)
    for factor in factors:
        resized = resize_for_test(size, 512, factor, min(factors))
        zoom = np.divide(resized.size, smallest.size)
        np.testing.assert_allclose(zoom, factor / min(factors), rtol=1e-2)
        assert min(size) == pytest.approx(resized.scale[int(size[1] <= size[0])], rel=1e-6)
        # Inside, the picture's own points come back: over the matrix and as published.
        points = np.array([[0, 0], [size[0] / 3, size[1] / 2], [size[0] - 1, 5]], np.float32)
        there = transform_points(points, resized.matrix())
        np.testing.assert_allclose(inverse(there, resized.matrix()), points, atol=1e-2)
        back = keypoints_to_image(there, resized.center, resized.scale, resized.size)
        np.testing.assert_allclose(back, points, atol=1e-2)


def test_keypoints_follow_the_picture_and_map_back(people: Persons) -> None:
    """In every map and the image, mirrored or not; `inverse` finds the annotated places again."""
    dataset = training(people)
    for epoch in range(8):
        sample = dataset[(epoch, 2)]
        regions = people.regions
        assert regions is not None
        rows = regions.image_index == dataset.images[2]
        order = list(COCO.flip_indices) if sample["mirrored"] else list(range(17))
        expected = regions.keypoints[rows][:, order]
        in_image = transform_points(expected, sample["matrix"])
        np.testing.assert_allclose(inverse(in_image, sample["matrix"]), expected, atol=1e-2)
        for points, (size, _) in zip(sample["keypoints"], MAPS, strict=True):
            step = 128 / size
            # Each map mirrors about its own middle pixel, so it is up to a pixel away.
            away = points - in_image / step
            assert np.abs(away).max() < 1
            assert sample["mirrored"] or np.abs(away).max() < 1e-3


def test_image_and_masks_show_the_same_region(people: Persons) -> None:
    """Black, outside of the picture, is masked in every map; the picture is not."""
    dataset = training(people)
    for epoch in range(6):
        sample = dataset[(epoch, 1)]
        outside = np.full((120, 160), 255, np.uint8)
        covered = cv2.warpAffine(outside, sample["matrix"], (128, 128)) > 127
        for mask, (size, _) in zip(sample["masks"], MAPS, strict=True):
            assert mask.shape == (size, size)
            assert mask.dtype == bool
            step = 128 // size
            assert (mask == covered[step // 2 :: step, step // 2 :: step]).mean() > 0.95
        assert sample["image"].shape == (128, 128, 3)


def test_crowds_and_unlabelled_people_are_masked(people: Persons) -> None:
    regions = people.regions
    assert regions is not None
    row = np.array([0])
    size = (160, 120)
    everything = trained_pixels(regions, row, size)
    assert (everything == 255).all()
    ignored = replace(regions, **polygons(len(regions), [(20, 30), (60, 30), (60, 70), (20, 70)]))
    crowd = replace(ignored, is_crowd=np.arange(len(regions)) == 0)
    unlabelled = replace(ignored, num_keypoints=np.where(np.arange(len(regions)) == 0, 0, 5))
    for changed in (crowd, unlabelled):
        mask = trained_pixels(changed, row, size)
        assert (mask[32:68, 22:58] == 0).all()
        assert (mask == 0).sum() == pytest.approx(1600, abs=100)
    assert (trained_pixels(ignored, row, size) == 255).all()


def polygons(count: int, corners: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the segmentation columns of regions whose first has one polygon, the others none."""
    first = np.minimum(np.arange(count + 1), 1)
    return {
        "polygon_first": first,
        "point_first": np.array([0, len(corners)]),
        "points": np.array(corners, float),
        "rle_first": np.zeros(count + 1, int),
        "rle_bytes": np.zeros(0, np.uint8),
    }


def test_run_lengths_are_decoded_as_by_pycocotools() -> None:
    from pycocotools import mask as rle

    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 0.98, 1.0):
        for height, width in ((1, 1), (7, 300), (120, 90)):
            noise = rng.random((height, width)) < density
            mask = cv2.blur(noise.astype(np.float32), (1, 5)) > 0.4  # runs of many lengths
            counts = rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
            np.testing.assert_array_equal(decode_rle(counts, (width, height)), mask)


def encode(
    keypoints: NDArray[np.float32], visible: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    assert keypoints.shape == (*visible.shape, 2)
    return np.full((17, size[1], size[0]), len(keypoints), np.float32), np.zeros((4, 17, 2), int)


def test_targets_of_every_map(people: Persons) -> None:
    sample = training(people, encode=encode)[(0, 0)]
    assert [heatmaps.shape for heatmaps in sample["heatmaps"]] == [(17, 32, 32), (17, 64, 64)]
    assert [indices.shape for indices in sample["indices"]] == [(4, 17, 2)] * 2
    assert "keypoints" not in sample


def test_too_many_people_are_left_out_from_outside_first(people: Persons) -> None:
    regions = people.regions
    assert regions is not None
    dataset = training(people)
    rows = np.flatnonzero(regions.image_index == dataset.images[0])
    several = np.repeat(rows[:1], 5)  # the same person, once moved away and once without labels
    crowd = replace(
        regions,
        **{name: getattr(regions, name)[several] for name in ("ids", "image_index", "area")},
        bbox_xywh=regions.bbox_xywh[several],
        is_crowd=np.zeros(5, bool),
        num_keypoints=np.array([17, 17, 0, 17, 17]),
        keypoints=regions.keypoints[several] + np.array([0, 900, 0, 0, 0])[:, None, None],
        visible=np.array([2, 2, 0, 2, 2], np.float32)[:, None].repeat(17, axis=1),
        **polygons(5, []),
    )
    crowded = replace(people, regions=crowd)
    assert len(training(crowded).sample(0, STRAIGHT)["visible"]) == 5
    three = training(crowded, max_people=3).sample(0, STRAIGHT)
    np.testing.assert_array_equal(three["visible"], np.full((3, 17), 2))
    assert np.abs(three["keypoints"][0]).max() < 200  # not the one far outside
    four = training(crowded, max_people=4).sample(0, STRAIGHT)
    assert np.abs(four["keypoints"][0]).max() > 200
    # Slots behind the limit may be used as long as nobody with labels is in them.
    alone = replace(crowd, visible=crowd.visible * (np.arange(5) < 1)[:, None])
    one_labelled = training(replace(people, regions=alone), max_people=2)
    assert len(one_labelled.sample(0, STRAIGHT)["visible"]) == 5


def test_samples_depend_on_the_key_alone(people: Persons) -> None:
    first, again = training(people)[(1, 3)], training(people)[(1, 3)]
    np.testing.assert_array_equal(first["image"], again["image"])
    others = training(people)[(2, 3)], training(people)[(1, 3, 1)], training(people, seed=1)[(1, 3)]
    for other in others:
        assert not np.array_equal(first["matrix"], other["matrix"])


def test_a_test_sample_shows_the_picture_at_every_scale(people: Persons) -> None:
    dataset = BottomUp(people, (128, 128), scale_factors=(0.5, 1.0, 2.0))
    assert len(dataset) == len(people.image_ids)
    sample = dataset[0]
    assert [image.shape[:2] for image in sample["images"]] == [(256, 512), (128, 256), (64, 128)]
    assert sample["base_size"] == (256, 128)
    assert sample["image_id"] == people.image_ids[0]
    small, large = sample["images"][1], sample["images"][0]
    shrunk = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 6


def test_only_pictures_with_annotations_are_trained_on(people: Persons) -> None:
    regions = people.regions
    assert regions is not None
    all_in_one = replace(regions, image_index=np.full(len(regions), 4))
    dataset = training(replace(people, regions=all_in_one))
    assert dataset.images.tolist() == [4]
    assert len(BottomUp(replace(people, regions=all_in_one))) == 6


def test_fast_decoding_shows_the_same(tmp_path: Path, people: Persons) -> None:
    y, x = np.mgrid[:1203, :1601]
    picture = np.stack([x * 255 / 1601, y * 255 / 1203, 128 + 90 * np.sin(x / 90)], axis=-1)
    name = str(people.file_names[0])
    cv2.imwrite(str(tmp_path / name), picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 98])
    (tmp_path / name).rename(tmp_path / "a.jpg")
    sizes = people.image_sizes.copy()
    sizes[0] = 1601, 1203
    names = np.array(["a.jpg", *people.file_names[1:]])
    large = replace(people, image_folder=tmp_path, file_names=names, image_sizes=sizes)
    exact, fast = (training(large, decode=decode) for decode in ("exact", "fast"))
    assert [each._read(0).step[0] for each in (exact, fast)] == [1, 4]
    check_alike(exact.sample(0, STRAIGHT)["image"], fast.sample(0, STRAIGHT)["image"])
    exact, fast = (
        BottomUp(large, (128, 128), scale_factors=(1.0, 0.5), decode=decode)  # type: ignore[arg-type]
        for decode in ("exact", "fast")
    )
    assert [each._read(0).step[0] for each in (exact, fast)] == [1, 8]
    check_alike(exact[0]["images"][0], fast[0]["images"][0])


def check_alike(exact: NDArray[np.uint8], fast: NDArray[np.uint8]) -> None:
    inside = cv2.erode((exact.max(axis=2) > 0).astype(np.uint8), np.ones((9, 9))) > 0
    difference = (exact.astype(int) - fast)[4:-4, 4:-4][inside[4:-4, 4:-4]]
    assert len(difference) > 8000
    assert np.abs(difference).max() <= 6
    assert abs(difference.mean()) < 0.15


def test_broken_pictures(tmp_path: Path, people: Persons) -> None:
    elsewhere = replace(people, image_folder=tmp_path)
    with pytest.raises(
        DatasetError, match=r"train2017\.json image id \d+: image .* does not exist"
    ):
        BottomUp(elsewhere)[0]
    with pytest.raises(DatasetError, match="3 were skipped before"):
        training(elsewhere, max_broken=3)[(0, 0)]
    name = str(people.file_names[training(people).images[0]])
    for other in people.file_names:
        if other != name:
            (tmp_path / str(other)).symlink_to(people.image_dir / str(other))
    dataset = training(elsewhere)
    assert dataset[(0, 0)]["index"] != 0
    assert len(dataset.broken.reasons) == 1


def test_merged_sources_are_read_from_their_folders(tmp_path: Path, people: Persons) -> None:
    root = synthesize(tmp_path / "other", num_train=2, num_val=1, image_size=(160, 120), seed=9)
    other = load_coco(root / "annotations/person_keypoints_train2017.json", root / "train2017")
    both = merge(people, other)
    dataset = training(both)
    alone = training(other)
    last = dataset.sample(len(dataset) - 1, STRAIGHT)
    np.testing.assert_array_equal(last["image"], alone.sample(len(alone) - 1, STRAIGHT)["image"])
    crops = TopDown(both, (48, 64)), TopDown(other, (48, 64))
    np.testing.assert_array_equal(
        crops[0][len(both) - 1]["image"], crops[1][len(other) - 1]["image"]
    )
    for picture in (root / "train2017").iterdir():
        picture.unlink()
    file = re.escape(str(other.annotation_file))
    with pytest.raises(DatasetError, match=rf"^{file} image id \d+: image .* does not exist"):
        dataset.sample(len(dataset) - 1, STRAIGHT)
    with pytest.raises(DatasetError, match=rf"^{file} annotation id \d+: image .* does not exist"):
        TopDown(both, (48, 64))[len(both) - 1]


def test_options_that_make_no_sense(people: Persons) -> None:
    with pytest.raises(ValueError, match="no regions to train on"):
        training(replace(people, regions=None))
    with pytest.raises(ValueError, match=r"scale_factors must be above 0, got \(1, 0\)"):
        BottomUp(people, scale_factors=(1, 0))
    with pytest.raises(ValueError, match="warp must be one of"):
        BottomUp(people, warp="cv3")  # type: ignore[arg-type]
