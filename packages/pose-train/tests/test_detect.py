"""Detectors: functions, modules and ONNX files; how boxes are chosen; whom a predictor finds."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pose_codecs import AssociativeEmbedding
from pose_train import ConfigError, Predictor, RunError, load_detector
from pose_train.files.images import Image
from pose_train.inference.detect import box_nms, choose_boxes, class_ids
from pose_train.inference.predictor import load_network

# x1, y1, x2, y2, score: the second overlaps the first (IoU 0.81), the third is of nobody.
BOXES = [[10, 10, 60, 80, 0.8], [12, 12, 62, 82, 0.9], [0, 0, 30, 40, 0.1], [70, 5, 140, 60, 0.6]]


# Choosing among boxes


def brute_force_nms(boxes: np.ndarray, max_iou: float) -> list[int]:
    """Greedy NMS on the cells of a grid: boxes (N, 4) of whole numbers, best first."""
    cells = [
        {(x, y) for x in range(x1, x2) for y in range(y1, y2)} for x1, y1, x2, y2 in boxes.tolist()
    ]
    kept: list[int] = []
    for i, own in enumerate(cells):
        if all(len(own & cells[j]) / len(own | cells[j]) <= max_iou for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("max_iou", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_nms_is_the_greedy_one(max_iou: float) -> None:
    rng = np.random.default_rng(3)
    corners = rng.integers(0, 12, (60, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 10, (60, 2))], axis=1)
    boxes[50:] = boxes[:10]  # the very same
    kept = box_nms(boxes.astype(np.float32), max_iou)
    assert kept == brute_force_nms(boxes, max_iou)
    assert (len(kept) == 60) == (max_iou == 1)


def test_boxes_are_clipped_sorted_and_chosen() -> None:
    boxes = np.array(
        [[-5, -5, 50, 40], [60, 10, 130, 95], [110, 0, 100, 9], [130, 0, 140, 9], [0, 0, 9, 9]],
        np.float64,
    )
    scores = np.array([0.5, 0.75, 0.9, 0.9, 0.25])
    chosen = choose_boxes(boxes, scores, (120, 90), 0.5, 0.7)
    np.testing.assert_array_equal(chosen, [[60, 10, 120, 90, 0.75], [0, 0, 50, 40, 0.5]])
    assert chosen.dtype == np.float32
    assert choose_boxes(boxes[:0], scores[:0], (120, 90), 0.5, 0.7).shape == (0, 5)
    boxes[0, 0] = np.nan
    with pytest.raises(RunError, match="NaN or infinite"):
        choose_boxes(boxes, scores, (120, 90), 0.5, 0.7)


def test_classes_go_by_name_or_number() -> None:
    names = {0: "person", 1: "bicycle", 16: "Dog"}
    assert class_ids(["Person", "dog", 1, "16"], names, "net") == [0, 16, 1, 16]
    assert class_ids("person", names, "net") == [0]
    assert class_ids(["7"], {1: "person"}, "net", is_named=False) == [7]
    for wrong, message in {
        "persn": r"detector net has no class 'persn'; did you mean person\?",
        "tree": r"no class 'tree'; it has 0 person, 1 bicycle, 16 Dog$",
        7: r"no class 7; it has 0 person",
    }.items():
        with pytest.raises(ConfigError, match=message):
            class_ids([wrong], names, "net")
    with pytest.raises(ConfigError, match=r"does not name its classes: give numbers \(1 person\)"):
        class_ids(["tree"], {1: "person"}, "net", is_named=False)
    with pytest.raises(ConfigError, match="at least one"):
        class_ids([], names, "net")


# Functions and modules


def test_a_function_is_a_detector(image: Image) -> None:
    found = load_detector(lambda pixels: BOXES)(image)
    expected = np.array([BOXES[1], [70, 5, 120, 60, 0.6]], np.float32)  # clipped
    np.testing.assert_array_equal(found, expected)
    assert len(np.asarray(load_detector(lambda pixels: BOXES, score=0, nms=1)(image))) == 4
    without_scores = load_detector(lambda pixels: [[10, 10, 60, 80]])(image)
    np.testing.assert_array_equal(without_scores, [[10, 10, 60, 80, 1]])
    assert np.shape(load_detector(lambda pixels: [])(image)) == (0, 5)
    with pytest.raises(ValueError, match=r"bboxes must be \(P, 4\)"):
        load_detector(lambda pixels: [1, 2, 3])(image)
    with pytest.raises(ConfigError, match="given as a function has no class 'dog'"):
        load_detector(lambda pixels: [], classes=["dog"])
    for name, value in (("score", 1.5), ("nms", -1.0), ("score", float("nan"))):
        with pytest.raises(ConfigError, match=f"{name} of a detector must be from 0 to 1"):
            load_detector(lambda pixels: [], **{name: value})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be a folder, .* got int"):
        load_detector(7)  # type: ignore[arg-type]


class Boxes(nn.Module):
    """Has the interface of torchvision's detection models; scores are the means of R, G and B."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes = nn.Parameter(torch.tensor([[0.0, 0, 50, 40], [60, 0, 90, 80], [9, 9, 99, 80]]))

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        return [
            {
                "boxes": self.boxes * 1,
                "labels": torch.tensor([1, 1, 18]),
                "scores": image.mean(dim=(1, 2)),
            }
            for image in images
        ]


def test_a_module_as_of_torchvision(image: Image) -> None:
    module = Boxes().eval()
    blue, green, red = image.mean(axis=(0, 1)) / 255
    found = load_detector(module, score=0)(image)
    expected = [[0, 0, 50, 40, red], [60, 0, 90, 80, green]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    dogs = load_detector(module, score=0, classes=[18])(image)
    np.testing.assert_allclose(dogs, [[9, 9, 99, 80, blue]], rtol=1e-6)
    with pytest.raises(ConfigError, match="Boxes has no class 'dog'; it does not name its classes"):
        load_detector(module, classes=["dog"])
    with pytest.raises(RunError, match=r"Identity must return a list with a dict .* got list"):
        load_detector(nn.Identity().eval())(image)
    with pytest.raises(ConfigError, match=r"is in training mode: call its eval\(\)"):
        load_detector(Boxes())


# ONNX


def save_onnx(
    path: Path,
    shape: Sequence[int | str],
    *,
    sizes: bool = False,
    labels: Sequence[int] | None = None,
    boxes: str = "boxes",
) -> Path:
    """Write a detector whose scores are the means of R, G and B; of an input (w, h) its boxes are
    (0, 0, w / 2, h), (0, 0, w, h / 2) and (0, 0, w, h).
    """
    onnx = pytest.importorskip("onnx", reason="onnx comes with pose-train[export]")
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with pose-train[export]")
    helper, kinds = onnx.helper, onnx.TensorProto
    spatial = [len(shape) - 1, len(shape) - 2]  # axes of w, h
    constants = {
        "ends": np.array([[0.5, 1], [1, 0.5], [1, 1]], np.float32),
        "starts": np.zeros((3, 2), np.float32),
        "spatial": np.array(spatial, np.int64),
        "row": np.array([1, 2], np.int64),
        "three": np.array([1, 3] if sizes else [3], np.int64),
        "four": np.array([1, 3, 4] if sizes else [3, 4], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image", "spatial"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "three"], ["scores"]),
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "spatial"], ["sides"]),
        helper.make_node("Reshape", ["orig_target_sizes" if sizes else "sides", "row"], ["wh"]),
        helper.make_node("Cast", ["wh"], ["size"], to=kinds.FLOAT),
        helper.make_node("Mul", ["ends", "size"], ["corners"]),
        helper.make_node("Concat", ["starts", "corners"], ["flat"], axis=1),
        helper.make_node("Reshape", ["flat", "four"], [boxes]),
    ]
    outputs = [boxes, "scores"]
    if labels is not None:
        constants["numbers"] = np.array(labels, np.int64)
        nodes.append(helper.make_node("Reshape", ["numbers", "three"], ["labels"]))
        outputs.insert(0, "labels")
    inputs = [helper.make_tensor_value_info("image", kinds.FLOAT, shape)]
    if sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", kinds.INT64, ["n", 2]))
    graph = helper.make_graph(
        nodes,
        "detector",
        inputs,
        [
            helper.make_tensor_value_info(each, kinds.INT64 if each == "labels" else 1, None)
            for each in outputs
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, producer_name="test"
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("shape", "sizes", "person"),
    [
        ((3, "h", "w"), False, 1),
        ((3, 45, 40), False, 1),
        (("n", 3, "h", "w"), False, 1),
        ((1, 3, 200, 240), False, 1),
        (("n", 3, 64, 64), True, 0),
    ],
    ids=["torchvision", "fixed", "batch", "fixed batch", "orig_target_sizes"],
)
def test_onnx_files(
    shape: Sequence[int | str], sizes: bool, person: int, tmp_path: Path, image: Image
) -> None:
    path = save_onnx(tmp_path / "net.onnx", shape, sizes=sizes, labels=[person, person, 7])
    blue, green, red = image.mean(axis=(0, 1)) / 255
    found = load_detector(path, score=0)(image)
    # Resizing keeps means nearly, and boxes of (120, 90) exactly.
    np.testing.assert_allclose(found[:, 4], [red, green], atol=0.01)
    np.testing.assert_allclose(found[:, :4], [[0, 0, 60, 90], [0, 0, 120, 45]], rtol=1e-6)
    other = load_detector(str(path), score=0, classes=[7])(image)
    np.testing.assert_allclose(other, [[0, 0, 120, 90, blue]], atol=0.01)
    with pytest.raises(ConfigError, match=rf"give numbers \({person} person\)"):
        load_detector(path, classes=["dog"])


def test_onnx_files_without_labels(tmp_path: Path, image: Image) -> None:
    path = save_onnx(tmp_path / "net.onnx", (3, "h", "w"))
    assert len(np.asarray(load_detector(path, score=0)(image))) == 3
    with pytest.raises(ConfigError, match=r"net\.onnx has no class 'dog'; it has 1 person"):
        load_detector(path, classes=["dog"])


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, "h", "w"), {"boxes": "dets"}),
        ((2, 3, 64, 64), {}),
        ((1, "h", "w"), {}),
        ((1, 3, "h", "w"), {"sizes": True}),
        ((1, 3, 64, "w"), {}),
    ],
    ids=["names", "two images", "grey", "free sides", "one free side"],
)
def test_onnx_files_that_are_not_understood(
    shape: Sequence[int | str], options: Mapping[str, Any], tmp_path: Path
) -> None:
    path = save_onnx(tmp_path / "net.onnx", shape, **options)
    message = r"cannot be used as a detector: its inputs are image tensor\(float\) .* Expected"
    with pytest.raises(RunError, match=message):
        load_detector(path)
    with pytest.raises(RunError, match=r"gone\.onnx: there is no such file"):
        load_detector(tmp_path / "gone.onnx")
    with pytest.raises(ConfigError, match="device of an ONNX file must be"):
        load_detector(path, device="tpu")


def test_onnx_files_need_no_torch(cpm_onnx: Path, tmp_path: Path, image: Image) -> None:
    detector = save_onnx(tmp_path / "detector.onnx", (1, 3, 64, 64), sizes=True, labels=[0, 0, 0])
    np.save(tmp_path / "image.npy", image)
    code = f"""
import sys
import numpy as np
from pose_train import Predictor, load_detector
predictor = Predictor({str(cpm_onnx)!r}, detector=load_detector({str(detector)!r}, score=0))
print(len(predictor(np.load({str(tmp_path / "image.npy")!r}))), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"]


# Predictor


class Counting:
    """A function that counts the images it is given."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, image: Image) -> list[list[float]]:
        self.count += 1
        return BOXES[: self.count]


def test_a_predictor_detects_people_where_boxes_are_not_given(run_dir: Path, image: Image) -> None:
    detect = Counting()
    predictor = Predictor(run_dir, detector=detect)
    alone = Predictor(run_dir)
    expected = alone([image] * 4, [BOXES[:1], BOXES[3:], BOXES[:2], BOXES[:3]])
    found = [*predictor([image, image], [None, BOXES[3:]]), *predictor([image, image])]
    assert detect.count == 3
    for people, others in zip(found, expected, strict=True):
        assert len(people) > 0
        np.testing.assert_allclose(people.keypoints, others.keypoints, atol=1e-3)
        np.testing.assert_allclose(people.person_scores, others.person_scores, rtol=1e-4)
    np.testing.assert_array_equal(predictor(image, BOXES[:1]).bboxes, [BOXES[0][:4]])
    assert len(predictor(image, lambda pixels: [])) == 0
    assert detect.count == 3


def test_a_predictor_loads_its_detector(run_dir: Path, tmp_path: Path, image: Image) -> None:
    path = save_onnx(tmp_path / "net.onnx", (1, 3, 64, 64), sizes=True, labels=[0, 0, 0])
    bright = np.maximum(image, 160)
    found = Predictor(run_dir, detector=path)(bright)
    np.testing.assert_allclose(found.bboxes, np.asarray(load_detector(path)(bright))[:, :4])
    assert len(found) == 3  # no two overlap by more than 0.5
    module = Predictor(run_dir, detector=Boxes().eval())(bright)
    np.testing.assert_allclose(module.bboxes, [[0, 0, 50, 40], [60, 0, 90, 80]])


def test_bottomup_networks_take_no_detector(run_dir: Path) -> None:
    network = load_network(run_dir)
    usage = replace(network.usage, codec=AssociativeEmbedding((64, 64), ()))
    with pytest.raises(ConfigError, match="finds people by itself: leave detector out"):
        Predictor(replace(network, usage=usage), detector=lambda pixels: BOXES)
