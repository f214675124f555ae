"""The whole top-down test against MMPose 1.3.2: detections, crops, flip test, decoding, results.

The crops are compared where OpenCV is of the same major version; with rule weights a network
amplifies what another warp does, so that the keypoints are, too.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rule_weights import draw, topdown_rule

from pose_backbones import create_model
from pose_codecs import MSRAHeatmap
from pose_data import Persons, TopDown, load_coco, load_detections
from pose_eval import evaluate
from pose_train.predict import Poses, predict_poses, result_rows
from pose_train.ranks import Ranks
from pose_train.sets import eval_loader

INPUT_SIZE, HEATMAP_SIZE = (192, 256), (48, 64)  # of the merge config, which all cases run
CERTAIN = 1e-2  # two maxima closer than this can swap between machines


@pytest.fixture(scope="module")
def case(parity_dir: Path) -> tuple[Path, dict[str, Any], Persons]:
    folder = parity_dir / "topdown" / "testpath"
    if not (folder / "testpath.json").is_file():
        pytest.skip("no topdown/testpath among these reference numbers")
    if "POSE_DATA_DIR" not in os.environ:
        pytest.skip("POSE_DATA_DIR is not set: the test path needs real pictures")
    about = json.loads((folder / "testpath.json").read_text())
    data = Path(os.environ["POSE_DATA_DIR"])
    gt = data / about["ann_file"].removeprefix("data/")
    names = {image["file_name"] for image in json.loads(gt.read_text())["images"]}
    name = min(names)
    found = sorted(gt.parent.rglob(Path(name).name))
    assert found, f"no picture {name} below {gt.parent}"
    pictures = load_coco(gt, Path(str(found[0]).removesuffix(name)))
    boxes = load_detections(data / about["det_file"].removeprefix("data/"), pictures)
    return folder, about, boxes


def test_crops(case: tuple[Path, dict[str, Any], Persons]) -> None:
    folder, about, boxes = case
    stored = np.load(folder / "predictions.npz")
    assert len(boxes) == len(stored["id"]) == about["num_detections"]
    np.testing.assert_array_equal(boxes.ids, stored["id"])
    np.testing.assert_array_equal(boxes.image_ids[boxes.image_index], stored["img_id"])
    np.testing.assert_allclose(boxes.bbox_xyxy, stored["bbox_xyxy"], atol=1e-4)
    assert boxes.scores is not None
    np.testing.assert_allclose(boxes.scores, stored["bbox_score"], rtol=1e-6)
    same_opencv = cv2.__version__.partition(".")[0] == about["versions"]["opencv"].partition(".")[0]
    dataset = TopDown(boxes, INPUT_SIZE)
    for i in range(len(dataset)):
        sample = dataset[i]
        np.testing.assert_allclose(sample["center"], stored["input_center"][i], atol=1e-4)
        np.testing.assert_allclose(sample["scale"], stored["input_scale"][i], atol=1e-3)
        if same_opencv and "crop_crc32" in stored:
            crop = np.ascontiguousarray(sample["image"][..., ::-1])  # BGR
            assert zlib.crc32(crop.tobytes()) == stored["crop_crc32"][i], f"crop {i}"


def test_predictions_and_results(case: tuple[Path, dict[str, Any], Persons]) -> None:
    """Run all detections through the network, and write what the reference wrote."""
    folder, about, boxes = case
    stored = np.load(folder / "predictions.npz")
    if cv2.__version__.partition(".")[0] != about["versions"]["opencv"].partition(".")[0]:
        pytest.skip("another major version of OpenCV: rule weights amplify the crops' difference")
    net = create_model("hrnet_w32", num_keypoints=stored["keypoints"].shape[1])
    entries = [(name, list(tensor.shape)) for name, tensor in net.state_dict().items()]
    net.load_state_dict(draw(entries, topdown_rule))
    poses = predict_poses(
        net.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        eval_loader(TopDown(boxes, INPUT_SIZE), 16, 0, torch.device("cpu"), Ranks()),
        MSRAHeatmap(INPUT_SIZE, HEATMAP_SIZE).decode,
        input_size=INPUT_SIZE,
        device=torch.device("cpu"),
        flip_indices=boxes.skeleton.flip_indices,
    )
    certain = stored["top2_gap"] >= CERTAIN  # (N, K)
    distance = np.abs(poses.keypoints - stored["keypoints"]).max(axis=-1)
    assert distance[certain].max() <= 1e-3, f"{(distance[certain] > 1e-3).sum()} keypoints differ"
    np.testing.assert_allclose(poses.scores, stored["keypoint_scores"], rtol=1e-3, atol=1e-3)

    rows = result_rows(poses, boxes)
    written = json.loads((folder / "results.keypoints.json").read_text())
    assert len(rows) == about["num_results"] == len(written)
    order = about.get("image_order_in_results")
    if order is not None:
        assert list(dict.fromkeys(row["image_id"] for row in rows)) == order
    compare(rows, written, tolerance=1e-3)
    stats = evaluate(rows, gt_file(case), sigmas=boxes.skeleton.sigmas).stats
    want = [max(value, 0.0) for value in about["metrics"].values()]
    assert [value or 0.0 for value in stats.values()] == pytest.approx(want, abs=1e-9)


def test_results_of_the_stored_predictions(case: tuple[Path, dict[str, Any], Persons]) -> None:
    """From the reference's own predictions, exactly the reference's file."""
    folder, _, boxes = case
    stored = np.load(folder / "predictions.npz")
    poses = Poses(
        np.arange(len(boxes)),
        stored["keypoints"],
        stored["keypoint_scores"],
        stored["input_scale"].prod(axis=1),
    )
    written = json.loads((folder / "results.keypoints.json").read_text())
    compare(result_rows(poses, boxes), written, tolerance=0.0)


def gt_file(case: tuple[Path, dict[str, Any], Persons]) -> Path:
    return Path(os.environ["POSE_DATA_DIR"]) / case[1]["ann_file"].removeprefix("data/")


def compare(rows: list[dict[str, Any]], written: list[dict[str, Any]], tolerance: float) -> None:
    """Compare rows in their order, positions to `tolerance` pixels where that can be asked."""
    for got, want in zip(rows, written, strict=True):
        assert got["image_id"] == want["image_id"]
        assert got["category_id"] == want["category_id"]
        assert got["score"] == pytest.approx(want["score"], rel=1e-6 if not tolerance else 1e-4)
        np.testing.assert_allclose(got["bbox"], want["bbox"], rtol=1e-6)
        ours, theirs = (points(row) for row in (got, want))
        if not tolerance:
            np.testing.assert_array_equal(ours, theirs)
        else:  # a keypoint whose two maxima are near-equal may jump
            far = np.abs(ours[:, :2] - theirs[:, :2]).max(axis=1) > tolerance
            assert far.sum() <= 1, f"image {got['image_id']}: {far.sum()} keypoints differ"


def points(row: dict[str, Any]) -> NDArray[np.float64]:
    return np.array(row["keypoints"]).reshape(-1, 3)
