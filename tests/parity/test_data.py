"""pose-data against stored transforms of MMPose 1.3.2: boxes, matrices, crops, augmentation."""

import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from reference import Numbers, data_file, find_pictures, found, read

from pose_data import (
    COCO,
    Augmentation,
    Persons,
    TopDown,
    load_coco,
    load_detections,
    warp_affine,
)
from pose_data.samples.crop import (
    NO_AUGMENTATION,
    AugmentationParams,
    box_to_center_scale,
    crop_matrix,
    decide,
    fix_aspect,
    flip_points,
    half_body_box,
    move_box,
    transform_points,
    udp_matrix,
)

Case = dict[str, Any]


def cases(name: str) -> dict[str, Case]:
    """Group the arrays of `CASE|NAME` keys by case."""
    arrays = read(f"topdown/transforms/{name}")
    names = dict.fromkeys(key.partition("|")[0] for key in arrays)
    return Numbers({case: arrays.below(f"{case}|") for case in names}, arrays.file)


def numbered_cases(name: str, described: list[Case]) -> list[tuple[str, Case, Case]]:
    """Return name, arrays and description of cases such as crop0: the number is the place."""
    places = dict(enumerate(described))
    return [
        (case, arrays, places.get(int(re.sub(r"\D", "", case)), Numbers({}, f"of {case}")))
        for case, arrays in cases(name).items()
    ]


def description() -> Case:
    return read("topdown/transforms/transforms.json")


def check_warp(
    case: Case, kind: str, scale: Any, rotation: float, input_size: tuple[int, int], image: Any
) -> None:
    """Compare matrix, keypoints and crop of one warp, plain or UDP, with the stored ones."""
    center = case["center" if "center" in case else "bbox_center"].reshape(2)
    scale = fix_aspect(scale, input_size)
    make_matrix = udp_matrix if kind.startswith("udp") else crop_matrix
    matrix = make_matrix(center, scale, rotation, input_size)
    if f"{kind}|input_scale" in case:
        np.testing.assert_allclose(scale, case[f"{kind}|input_scale"].reshape(2), atol=1e-4)
    np.testing.assert_allclose(matrix, case[f"{kind}|warp_mat"], atol=1e-6)
    if f"{kind}|transformed_keypoints" in case:
        points = transform_points(case["keypoints"], matrix)
        np.testing.assert_allclose(points, case[f"{kind}|transformed_keypoints"], atol=1e-3)
    if image is not None and f"{kind}|img" in case and cv2.__version__.startswith("5."):
        crop = warp_affine(image, matrix, input_size, "cv2")
        np.testing.assert_array_equal(crop, case[f"{kind}|img"])


def load_described(dataset: Case) -> Persons:
    """Load the set that the numbers describe."""
    annotations = data_file(f"{Path(dataset['root']).name}/{dataset['ann']}")
    return load_coco(annotations, annotations.parent)


def test_boxes_and_their_order() -> None:
    dataset = description()["dataset"]
    persons = load_described(dataset)
    assert persons.ids.tolist() == dataset["topdown_instance_ids_in_order"]
    np.testing.assert_allclose(persons.bbox_xyxy, dataset["bbox_xyxy"], atol=1e-4)
    assert persons.image_ids[persons.image_index].tolist() == dataset["img_ids"]


def test_crops_of_real_pictures(subtests: pytest.Subtests) -> None:
    for name, case, info in numbered_cases("affine.npz", description()["affine"]):
        with subtests.test(name):
            image = cv2.imread(str(data_file(info["file"])))
            if zlib.crc32(image) != info["decoded_crc32"]:
                image = None  # another JPEG decoder: geometry can be compared, pixels cannot
            center, scale = box_to_center_scale(case["bbox_xyxy"].reshape(4))
            np.testing.assert_allclose(center, case["bbox_center"].reshape(2), atol=1e-4)
            np.testing.assert_allclose(scale, case["bbox_scale"].reshape(2), atol=1e-4)
            for kind in kinds(case):
                rotation = info["rotation"] if kind.endswith("_rot") else 0.0
                check_warp(case, kind, scale, rotation, tuple(info["input_size"]), image)


def test_crops_of_a_noise_picture(subtests: pytest.Subtests) -> None:
    stored = cases("affine_synth.npz")
    recipe = description()["affine_synth"]
    image = noise_picture(recipe["image"])
    assert zlib.crc32(image) == recipe["crc32"]
    for name, case in stored.items():
        with subtests.test(name):
            size, rotation = tuple(int(v) for v in case["input_size"]), float(case["rotation"])
            for kind in kinds(case):
                check_warp(case, kind, case["scale"].reshape(2), rotation, size, image)


def kinds(case: Case) -> list[str]:
    """Return the warps that a case holds: plain, plain_rot, udp, udp_rot."""
    return sorted(key.partition("|")[0] for key in case if key.endswith("|warp_mat"))


def noise_picture(recipe: str) -> Any:
    """Make the picture that a text such as `...RandomState(1).randint(0,256,(9,9,3))...` says."""
    numbers = [int(n) for n in "".join(c if c.isdigit() else " " for c in recipe).split()]
    seed, low, high, *shape = numbers[:6]
    return np.random.RandomState(seed).randint(low, high, shape).astype(np.uint8)


def test_flip() -> None:
    case = cases("random.npz")["flip"]
    width = case["img_in"].shape[1]
    order = list(COCO.flip_indices)
    assert case["flip_indices"].tolist() == order
    np.testing.assert_array_equal(cv2.flip(case["img_in"], 1), case["img"])
    points = flip_points(case["keypoints_in"][:, order], width)
    np.testing.assert_allclose(points, case["keypoints"], atol=1e-5)
    np.testing.assert_array_equal(case["visible_in"][:, order], case["visible"])
    center = flip_points(case["bbox_center_in"], width)
    np.testing.assert_allclose(center, case["bbox_center"], atol=1e-5)


def test_half_body() -> None:
    case = cases("random.npz")["halfbody"]
    aug = Augmentation()
    for i, (apply, upper) in enumerate(case["u"].tolist()):
        params = decide([1, apply, upper, 1, 1, 1], [0] * 4, aug)
        half = None
        if params.half_body:
            keypoints, visible = case["keypoints"][i], case["visible"][i]
            least = aug.half_body_min_keypoints
            half = half_body_box(keypoints, visible, COCO, params.prefer_upper, least)
        assert (half is not None) == case["applied"][i]
        center, scale = half or (case["center_in"][i], case["scale_in"][i])
        np.testing.assert_allclose(center, case["center"][i], rtol=1e-5)
        np.testing.assert_allclose(scale, case["scale"][i], rtol=1e-5)


def test_shift_scale_rotation() -> None:
    case = cases("random.npz")["bboxtf"]
    for i, normals in enumerate(case["random_v"].tolist()):
        uniforms = [float(case[name][i]) for name in ("u_shift", "u_scale", "u_rot")]
        params = decide([1, 1, 1, *uniforms], normals, Augmentation())
        center, scale = move_box(case["center_in"][i], case["scale_in"][i], params)
        np.testing.assert_allclose(center, case["center"][i], rtol=1e-6)
        np.testing.assert_allclose(scale, case["scale"][i], rtol=1e-6)
        assert params.rotation == pytest.approx(float(case["rotation"][i]), rel=1e-5)


def test_no_augmentation_is_the_identity() -> None:
    box = np.array([3, 4], np.float32), np.array([50, 60], np.float32)
    np.testing.assert_array_equal(move_box(*box, NO_AUGMENTATION), box)


def test_whole_training_samples(subtests: pytest.Subtests) -> None:
    """Make stored training samples from their files, with the parameters that MMPose drew."""
    described = description()
    persons = load_described(described["dataset"])
    dataset = TopDown(
        persons, (192, 256), lambda points, weights: (points, weights), Augmentation()
    )
    for name, case, info in numbered_cases("pipeline.npz", described["pipeline"]):
        with subtests.test(name):
            bgr = case["inputs_uint8_chw_bgr"]
            dataset = replace(dataset, input_size=bgr.shape[:0:-1])
            index = persons.ids.tolist().index(info["ann_id"])
            found(persons.image_path(index))
            sample = dataset.sample(index, drawn_parameters(case, info))
            for key in ("center", "scale"):
                if f"input_{key}" in case:
                    np.testing.assert_allclose(sample[key], case[f"input_{key}"], atol=1e-3)
            if cv2.__version__.startswith("5."):
                # The shift is recovered from float32 centres: a matrix may differ in its last
                # digits.
                difference = np.abs(sample["image"].transpose(2, 0, 1)[::-1].astype(int) - bgr)
                assert difference.max() <= 1
                assert (difference > 0).mean() < 1e-3


def drawn_parameters(case: Case, info: Case) -> AugmentationParams:
    """Recover what was drawn for a sample from its boxes before and after each step."""
    center, scale = (case[f"RandomHalfBody|bbox_{name}"][0] for name in ("center", "scale"))
    moved, resized = (case[f"RandomBBoxTransform|bbox_{name}"][0] for name in ("center", "scale"))
    shift = ((moved - center) / scale).tolist()
    keypoints, visible = case["RandomFlip|keypoints"][0], case["RandomFlip|keypoints_visible"][0]
    chosen = [k for k in COCO.upper_body if visible[k] > 0]
    return AugmentationParams(
        flip=info["flip"],
        half_body=info["half_body"],
        prefer_upper=len(chosen) > 0 and np.allclose(keypoints[chosen].mean(axis=0), center),
        shift=(shift[0], shift[1]),
        scale=float(resized[0] / scale[0]),
        rotation=float(case["RandomBBoxTransform|bbox_rotation"][0]),
    )


def test_crops_of_detections() -> None:
    """Crop every stored detection of the test path from its file."""
    about = read("topdown/testpath/testpath.json")
    stored = read("topdown/testpath/predictions.npz")
    ground_truth = data_file(about["ann_file"])
    pictures = load_coco(ground_truth, find_pictures(ground_truth))
    boxes = load_detections(data_file(about["det_file"]), pictures)
    if "num_detections" in about:
        assert len(boxes) == about["num_detections"]
    compare_stored(stored, "id", boxes.ids)
    compare_stored(stored, "img_id", boxes.image_ids[boxes.image_index])
    compare_stored(stored, "bbox_xyxy", boxes.bbox_xyxy)
    compare_stored(stored, "bbox_score", boxes.scores)
    shapes = [array.shape for name, array in stored.items() if name.endswith("_hwc_bgr")]
    if not shapes:
        pytest.skip("no stored crop tells the size of the crops")
    height, width, _ = shapes[0]
    for i in range(len(boxes)):
        found(boxes.image_path(i))
    samples = list(map(TopDown(boxes, (width, height)).__getitem__, range(len(boxes))))
    compare_stored(stored, "input_center", [s["center"] for s in samples], atol=1e-4)
    compare_stored(stored, "input_scale", [s["scale"] for s in samples], rtol=1e-5)
    if cv2.__version__.startswith("5."):
        crops = [np.ascontiguousarray(s["image"][..., ::-1]) for s in samples]
        compare_stored(stored, "crop_crc32", [zlib.crc32(bgr) for bgr in crops])


def compare_stored(stored: Case, name: str, ours: Any, rtol: float = 0, atol: float = 0) -> None:
    """Compare a value for every detection with that which is stored, if it is."""
    if name in stored:
        theirs = stored[name].reshape(np.shape(ours))
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
