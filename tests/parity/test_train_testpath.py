"""The whole top-down test against MMPose 1.3.2, as it is typed: pictures in, rows and AP out.

`pose-train test` reads detections and pictures, crops, looks twice (flip test), decodes, rescores,
removes duplicates (OKS-NMS), writes rows and evaluates them. Its crops must be the reference's to
the last bit, because a network with drawn weights amplifies what another warp does (test_data.py
compares the crops themselves).
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from reference import FOLDER, data_file, find_pictures, read, ten_numbers
from rule_weights import draw, topdown_rule
from typed_commands import as_published, evaluated, lay_out, run_test, save_published

from pose_backbones import create_model
from pose_data import load_coco, load_detections
from pose_train.config.load import load_config
from pose_train.inference.topdown import Poses, result_rows

PRESET = "hrnet_w32_coco_aic_merge_256x192"  # what all cases ran
DEFAULTS = {
    "score_mode": "bbox_keypoint",
    "keypoint_score_thr": 0.2,
    "nms_mode": "oks_nms",
    "nms_thr": 0.9,
}
NMS = {"none": "none", "oks_nms": "oks", "soft_oks_nms": "soft"}
CERTAIN = 1e-2  # two maxima closer than this can swap between machines

Arrays = dict[str, NDArray[Any]]


def read_case() -> tuple[dict[str, Any], Arrays, list[dict[str, Any]]]:
    """Return what is said of the test, its predictions, and its result rows."""
    names = ("testpath.json", "predictions.npz", "results.keypoints.json")
    about, case, written = (read(f"topdown/testpath/{name}") for name in names)
    about["metric"] = DEFAULTS | about.get("metric", {})
    return about, case, written


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about, case, written = read_case()
    gt = data_file(about["ann_file"])
    detections = json.loads(data_file(about["det_file"]).read_text())
    annotations, pictures = json.loads(gt.read_text()), find_pictures(gt)
    weights, words = tmp_path / "weights.pth", settings(about)
    model = load_config(PRESET).model
    net = create_model(model.name, num_keypoints=case["keypoints"].shape[1])
    entries = [(name, list(tensor.shape)) for name, tensor in net.state_dict().items()]
    save_published(draw(entries, topdown_rule), weights, about["versions"]["mmpose"])

    root = lay_out(tmp_path / "coco", annotations, pictures, detections)
    rows, stats = run_test(capsys, PRESET, weights, root, *words)
    order = predictions_of(written, case)
    assert len(rows) == len(written) == about.get("num_results", len(written))
    for row, theirs, i in zip(rows, written, order, strict=True):
        check_row(row, theirs, case, i)
    wanted = ten_numbers(about["metrics"])
    assert as_published(stats) == pytest.approx(wanted, abs=1e-9)

    # What NMS removed is not in the file; these boxes by themselves, so that all are compared.
    removed = [i for i in range(len(case["id"])) if i not in set(order)]
    if removed:
        people = [row for row in detections if row["category_id"] == 1]
        alone = [people[case["id"][i]] for i in removed]
        root = lay_out(tmp_path / "removed", annotations, pictures, alone)
        rows, _ = run_test(capsys, PRESET, weights, root, *words, "eval.nms=none")
        images = list(dict.fromkeys(case["img_id"][removed].tolist()))  # rows come by picture
        removed.sort(key=lambda i: images.index(case["img_id"][i]))
        for row, i in zip(rows, removed, strict=True):
            check_prediction(row, case, i)
    weights.unlink()  # pytest keeps its folders for a while, and this is large


def settings(about: dict[str, Any]) -> list[str]:
    """Return what the command needs besides the preset to test as the reference did."""
    theirs = about["versions"]["opencv"].partition(".")[0]
    if theirs != "4" and theirs != cv2.__version__.partition(".")[0]:
        pytest.skip(f"crops as OpenCV {theirs} makes them need that version")
    metric = about["metric"]
    rescoring = metric["score_mode"], metric["keypoint_score_thr"]
    if rescoring != (DEFAULTS["score_mode"], DEFAULTS["keypoint_score_thr"]):
        pytest.skip(f"rescoring {rescoring} is not of the published protocol")
    nms = [f"eval.nms={NMS[metric['nms_mode']]}", f"eval.nms_threshold={metric['nms_thr']}"]
    return ["--batch-size", "16", f"data.warp={'opencv4' if theirs == '4' else 'cv2'}", *nms]


def predictions_of(rows: list[dict[str, Any]], case: Arrays) -> list[int]:
    """Return which prediction each of the reference's rows is, by its picture and keypoints."""
    known = {
        (int(image), keypoints.tobytes()): i
        for i, (image, keypoints) in enumerate(zip(case["img_id"], case["keypoints"], strict=True))
    }
    xy = [np.float32(row["keypoints"]).reshape(-1, 3)[:, :2] for row in rows]
    return [known[row["image_id"], each.tobytes()] for row, each in zip(rows, xy, strict=True)]


def check_row(row: dict[str, Any], theirs: dict[str, Any], case: Arrays, i: int) -> None:
    assert row.keys() == theirs.keys()
    assert (row["image_id"], row["category_id"]) == (theirs["image_id"], theirs["category_id"])
    assert row["score"] == pytest.approx(theirs["score"], rel=1e-4)
    assert row["bbox"] == pytest.approx(theirs["bbox"], rel=1e-6)
    check_prediction(row, case, i)


def check_prediction(row: dict[str, Any], case: Arrays, i: int) -> None:
    """Compare a row with prediction i: its box, its keypoints to 1e-3 pixels, their scores."""
    assert row["image_id"] == case["img_id"][i]
    if "bbox_xyxy" in case:
        x1, y1, x2, y2 = case["bbox_xyxy"][i].tolist()
        assert row["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], rel=1e-6)
    points = np.array(row["keypoints"]).reshape(-1, 3)
    if "keypoint_scores" in case:
        largest = np.abs(case["keypoint_scores"]).max()
        np.testing.assert_allclose(
            points[:, 2], case["keypoint_scores"][i], rtol=0, atol=1e-4 * largest
        )
    far = np.abs(points[:, :2] - case["keypoints"][i]).max(axis=1) > 1e-3
    assert not far[case["top2_gap"][i] >= CERTAIN].any(), (
        f"box {i}: keypoints {np.flatnonzero(far)}"
    )


def test_results_of_the_stored_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    """From the reference's own predictions exactly its file, and from that its ten numbers."""
    about, case, written = read_case()
    gt, metric = data_file(about["ann_file"]), about["metric"]
    boxes = load_detections(data_file(about["det_file"]), load_coco(gt, find_pictures(gt)))
    keypoints, scores = case["keypoints"], case["keypoint_scores"]
    poses = Poses(np.arange(len(boxes)), keypoints, scores, case["input_scale"].prod(axis=1))
    rows = result_rows(
        poses,
        boxes,
        rescoring=metric["score_mode"],
        score_threshold=metric["keypoint_score_thr"],
        nms=NMS[metric["nms_mode"]],
        nms_threshold=metric["nms_thr"],
    )
    for row, theirs in zip(rows, written, strict=True):
        for key in ("image_id", "category_id", "keypoints"):
            assert row[key] == theirs[key]
        assert row["score"] == pytest.approx(theirs["score"], rel=1e-6)
        assert row["bbox"] == pytest.approx(theirs["bbox"], rel=1e-6)
    file = FOLDER / "topdown" / "testpath" / "results.keypoints.json"
    wanted = ten_numbers(about["metrics"])
    assert as_published(evaluated(capsys, file, gt)) == pytest.approx(wanted, abs=1e-9)
