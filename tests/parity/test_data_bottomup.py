"""pose-data against stored samples of MMPose 0.29: regions, matrices, crops, masks, test sizes."""

import hashlib
from functools import cache
from typing import Any

import numpy as np
from reference import FOLDER, Numbers, data_file, found, read

from pose_codecs import encode_people, keypoint_indices
from pose_data import BottomUp, Persons, SceneAugmentation, load_coco, warp_affine
from pose_data.images.decode import read_picture
from pose_data.samples.crop import flip_points, transform_points
from pose_data.samples.scene import SceneParams, resize_for_test, scene_matrix, translation_reach

Case = dict[str, Any]


def load(name: str) -> tuple[Case, Case]:
    """Return NAME.json and the arrays of NAME.npz (none if it is not there)."""
    arrays = FOLDER / "bottomup" / f"{name}.npz"
    stored = read(arrays) if arrays.is_file() else Numbers({}, arrays.name)
    return read(arrays.with_suffix(".json")), stored


@cache
def coco_mini(split: str) -> Persons:
    annotations = data_file(f"coco-mini/annotations/person_keypoints_{split}.json")
    return load_coco(annotations, data_file(f"coco-mini/{split}"))


def drawn(image: Case) -> SceneParams:
    shift = image["dx"], image["dy"]
    return SceneParams(image["aug_scale"], image["aug_rot"], shift, image["flipped"])


def unpack(packed: Any, width: int, height: int) -> Any:
    return np.unpackbits(packed, count=width * height).reshape(height, width).astype(bool)


def test_matrices_and_joints(subtests: Any) -> None:
    described, arrays = load("targets")
    for image in described["images"]:
        with subtests.test(image.get("index")):
            prefix, params = f"{image['index']}/", drawn(image)
            size, side = (image["width"], image["height"]), image["image_size"]
            if f"{prefix}matrix_image" in arrays:
                matrix = scene_matrix(size, params, (side, side))
                np.testing.assert_array_equal(matrix, arrays[f"{prefix}matrix_image"])
            for q, map_side in enumerate(image["heatmap_size"]):
                matrix = scene_matrix(size, params, (map_side, map_side))
                check_joints(matrix, image, map_side, arrays, prefix, q)


def check_joints(matrix: Any, image: Case, side: int, arrays: Case, prefix: str, q: int) -> None:
    if f"{prefix}matrix_heatmap{q}" in arrays:
        np.testing.assert_array_equal(matrix, arrays[f"{prefix}matrix_heatmap{q}"])
    if f"{prefix}raw_joints" not in arrays:
        return
    points = transform_points(arrays[f"{prefix}raw_joints"][..., :2], matrix)
    if f"{prefix}affine_joints{q}" in arrays:
        expected = arrays[f"{prefix}affine_joints{q}"][..., :2]
        np.testing.assert_allclose(points, expected, rtol=0, atol=1e-4)
    if f"{prefix}flip_joints{q}" in arrays:
        if image["flipped"]:
            points = flip_points(
                points[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]], side
            )
        expected = arrays[f"{prefix}flip_joints{q}"][..., :2]
        np.testing.assert_allclose(points, expected, rtol=0, atol=1e-4)


def test_masks_of_stored_masks(subtests: Any) -> None:
    """Warp the stored mask of each picture: no picture is needed for that."""
    described, arrays = load("targets")
    for image in described["images"]:
        prefix = f"{image.get('index')}/"
        if f"{prefix}raw_mask_packed" not in arrays:
            continue
        with subtests.test(image.get("index")):
            size = image["width"], image["height"]
            raw = unpack(arrays[f"{prefix}raw_mask_packed"], *size).astype(np.uint8) * np.uint8(255)
            for q, side in enumerate(image["heatmap_size"]):
                matrix = scene_matrix(size, drawn(image), (side, side))
                mask = warp_affine(raw, matrix, (side, side), "opencv4") > 127
                mask = mask[:, ::-1] if image["flipped"] else mask
                expected = unpack(arrays[f"{prefix}mask{q}_packed"], side, side)
                np.testing.assert_array_equal(mask, expected)


def test_translation_reach(subtests: Any) -> None:
    described, _ = load("targets")
    for image in described["images"]:
        if "randint_half_range" in image:
            with subtests.test(image.get("index")):
                reach = translation_reach((image["width"], image["height"]), image["aug_scale"])
                assert reach == tuple(image["randint_half_range"])


def encode(keypoints: Any, visible: Any, size: tuple[int, int]) -> Any:
    return encode_people(keypoints, visible, size), keypoint_indices(keypoints, visible, size, 30)


def test_whole_training_samples(subtests: Any) -> None:
    """Make the stored samples from their files: image, masks, targets, tag indices."""
    described, arrays = load("targets")
    for image in described["images"]:
        if "file_name" not in image:
            continue
        with subtests.test(image.get("index")):
            side, sizes = image["image_size"], [(q, q) for q in image["heatmap_size"]]
            dataset = BottomUp(
                coco_mini(image["split"]),
                (side, side),
                sizes,
                encode,
                SceneAugmentation(),
                warp="opencv4",
            )
            found(dataset.persons.image_dir / image["file_name"])
            ids = dataset.persons.image_ids[dataset.images].tolist()
            sample = dataset.sample(ids.index(image["image_id"]), drawn(image))
            check_regions(dataset.persons, image)
            check_sample(sample, image, arrays)


def check_regions(persons: Persons, image: Case) -> None:
    regions = persons.regions
    assert regions is not None
    rows = np.flatnonzero(persons.image_ids[regions.image_index] == image["image_id"])
    assert regions.ids[rows].tolist() == image["all_ann_ids"]
    assert regions.ids[rows[regions.is_ignored[rows]]].tolist() == image["masked_ann_ids"]
    assert regions.ids[rows[regions.is_crowd[rows]]].tolist() == image["crowd_ann_ids"]


def check_sample(sample: Case, image: Case, arrays: Case) -> None:
    prefix = f"{image['index']}/"
    for q, side in enumerate(image["heatmap_size"]):
        if f"{prefix}mask{q}_packed" in arrays:
            expected = unpack(arrays[f"{prefix}mask{q}_packed"], side, side)
            np.testing.assert_array_equal(sample["masks"][q], expected)
        if "mask_true" in image:
            assert sample["masks"][q].sum() == image["mask_true"][q]
        if f"{prefix}joints_index{q}" in arrays:
            np.testing.assert_array_equal(sample["indices"][q], arrays[f"{prefix}joints_index{q}"])
        if f"{prefix}target{q}" in arrays:
            target = arrays[f"{prefix}target{q}"]
            stride = -(-side // target.shape[1])
            ours = sample["heatmaps"][q][:, ::stride, ::stride]
            np.testing.assert_allclose(ours, target, rtol=0, atol=1e-6)
    if is_decoded_alike(image):
        straight = sample["image"][:, ::-1] if image["flipped"] else sample["image"]
        means = straight.mean(axis=(0, 1), dtype=np.float64)
        np.testing.assert_allclose(means, image["affine_image_channel_mean"], atol=1e-9)
        np.testing.assert_array_equal(straight[::7, ::7], arrays[f"{prefix}affine_image_s7"])


def is_decoded_alike(image: Case) -> bool:
    """Tell whether this JPEG decoder gives the stored pixels."""
    persons = coco_mini(image["split"])
    pixels = read_picture(persons.image_dir / image["file_name"]).pixels[..., ::-1]
    # One stored digest lacks its end.
    digest = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()
    return digest.startswith(image["decoded_rgb_sha256"][:56])


def test_sizes_of_tests() -> None:
    described, _ = load("testtime")
    for case in described["sizes"]:
        if not {"wh", "image_size", "test_scale_factor"} <= case.keys():
            continue
        size, smallest = tuple(case["wh"]), min(case["test_scale_factor"])
        base = resize_for_test(size, case["image_size"], 1.0, smallest)
        assert list(base.size) == case.get("base_size", list(base.size)), case
        assert base.center.tolist() == case.get("center", base.center.tolist()), case
        np.testing.assert_allclose(base.scale / 200, case.get("scale", base.scale / 200), rtol=1e-6)
        for factor, expected, scale in case.get("resized_wh_and_scale", []):
            resized = resize_for_test(size, case["image_size"], factor, smallest)
            assert list(resized.size) == expected, case
            np.testing.assert_allclose(resized.scale / 200, scale, rtol=1e-6)


def test_whole_test_samples(subtests: Any) -> None:
    """Resize the stored pictures as for a test, and map stored predictions back."""
    described, arrays = load("testtime")
    for name, run in described.get("runs", {}).items():
        with subtests.test(name):
            image = described["images"][run["image"]]
            side, factors = run["image_size"], run["test_scale_factor"]
            dataset = BottomUp(
                coco_mini(image["split"]), (side, side), scale_factors=factors, warp="opencv4"
            )
            found(dataset.persons.image_dir / image["file_name"])
            sample = dataset[dataset.persons.image_ids.tolist().index(image["image_id"])]
            assert list(sample["base_size"]) == run["base_size"]
            assert sample["center"].tolist() == run["center"]
            np.testing.assert_allclose(sample["scale"] / 200, run["scale"], rtol=1e-6)
            for k, picture in enumerate(sample["images"]):
                assert [1, 3, *picture.shape[:2]] == run["aug_shapes"][k]
                if is_decoded_alike(image):
                    check_normalised(
                        picture, arrays[f"{name}/aug{k}_s9"], run["aug_channel_mean"][k]
                    )


def check_normalised(picture: Any, expected: Any, means: Any) -> None:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    values = ((picture / 255 - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(values[:, ::9, ::9], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(values.mean(axis=(1, 2)), np.ravel(means), rtol=0, atol=1e-6)
