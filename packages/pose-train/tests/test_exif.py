"""EXIF orientations: training, testing and prediction see the same image."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pose_data import DatasetError
from pose_train import Predictor
from pose_train.config.load import load_config
from pose_train.config.schema import Config
from pose_train.distributed import Ranks
from pose_train.files.boxes import read_boxes, read_ids
from pose_train.files.images import Image
from pose_train.files.inputs import find_inputs
from pose_train.inference.load import load_tested, load_trained, predict_rows
from pose_train.inference.predict import predict_inputs
from pose_train.recipes import bottomup, topdown
from pose_train.recipes.data import load_annotated

# np.rot90's number of turns that makes what a camera stores of an upright image.
TURNS = {1: 0, 3: 2, 6: 1, 8: 3}


def write_turned(path: Path, image: Image, orientation: int) -> None:
    """Write an upright image as a camera held in that orientation does, tag and all."""
    stored = np.ascontiguousarray(np.rot90(image, TURNS[orientation]))
    data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])


@pytest.fixture
def turned_data(drawn_data: Path, tmp_path: Path) -> Path:
    """Copy the drawn set; its images become a phone's, the annotations stay as upright ones."""
    root = tmp_path / "turned"
    shutil.copytree(drawn_data, root)
    for number, path in enumerate(sorted([*root.glob("val2017/*"), *root.glob("train2017/*")])):
        write_turned(path, cv2.imread(str(path)), (6, 3, 8, 1)[number % 4])
    return root


def test_training_testing_and_prediction_agree(
    run_dir: Path, turned_data: Path, tmp_path: Path
) -> None:
    trained = load_trained(run_dir, overrides=["eval.nms=none", f"data.root={turned_data}"])
    val, boxes = load_tested(trained.config)
    rows = predict_rows(trained, val, boxes, Ranks(), trained.device)
    predictor = Predictor(trained, trained.config.eval.flip_test)
    file = turned_data / "annotations/person_keypoints_val2017.json"
    inputs = find_inputs([str(turned_data / "val2017")])
    without_gt = [str(tmp_path / "a"), str(tmp_path / "b")]
    for out, gt in zip(without_gt, (None, read_ids(file)), strict=True):
        summary = predict_inputs(predictor, inputs, Path(out), read_boxes(file), gt)
        assert summary.problems == []
        found = json.loads((Path(out) / "predictions.json").read_text())
        by_box = {tuple(np.round(row["bbox"])): row["keypoints"] for row in found}
        assert len(found) == len(rows)
        for row in rows:
            other = by_box[tuple(np.round(row["bbox"]))]
            np.testing.assert_allclose(other, row["keypoints"], atol=1e-2)
    ignoring = load_trained(run_dir, overrides=[f"data.root={turned_data}", "data.exif=ignore"])
    with pytest.raises(DatasetError, match="looks turned: is exif=ignore right"):
        predict_rows(ignoring, val, boxes, Ranks(), trained.device)


@pytest.mark.parametrize("size", [(60, 40), (40, 60), None])
def test_drawings_lie_as_the_annotations_do(
    run_dir: Path, tmp_path: Path, size: tuple[int, int] | None
) -> None:
    """Upright without annotations, else as their size says."""
    path = tmp_path / "turned.jpg"
    write_turned(path, np.zeros((60, 40, 3), np.uint8), 6)
    listed = {"id": 8, "file_name": "turned.jpg"}
    listed |= {} if size is None else {"width": size[0], "height": size[1]}
    (tmp_path / "gt.json").write_text(json.dumps({"images": [listed]}))
    predictor = Predictor.from_checkpoint(run_dir)
    for image in (path, path.read_bytes()):
        assert predictor(image).bboxes.tolist() == [[0, 0, 40, 60]]
    gt = read_ids(tmp_path / "gt.json")
    predict_inputs(predictor, find_inputs([str(path)]), tmp_path / "out", gt=gt)
    w, h = size or (40, 60)
    assert cv2.imread(str(tmp_path / "out/turned.jpg")).shape == (h, w, 3)


def test_the_config_reaches_the_samples(drawn_data: Path) -> None:
    def config(name: str, *more: str) -> Config:
        return load_config(name, ["data.synthetic=null", f"data.root={drawn_data}", *more])

    plan = config("demo", "data.exif=ignore")
    persons = load_annotated(drawn_data, plan.data.train, "coco", "data.root")
    _, codec = topdown.build(plan, 17)
    cpu = torch.device("cpu")
    assert topdown.samples(plan, persons, codec, cpu, True).exif == "ignore"
    plan = config("demo_higherhrnet", "data.exif=apply")
    _, grouping = bottomup.build(plan, 17)
    assert bottomup.samples(plan, persons, grouping, cpu, True).exif == "apply"
    assert config("demo").data.exif == "auto"
