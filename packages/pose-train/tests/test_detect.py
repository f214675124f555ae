"""Detectors: boxes as the models themselves give them, and the people that are found in them."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pose_codecs import AssociativeEmbedding
from pose_data import synthesize_image
from pose_train import ConfigError, Predictor, RunError, load_detector
from pose_train.files.images import Image
from pose_train.inference.detect import box_nms, choose_boxes, class_ids
from pose_train.inference.detr import fitted, prepare, read_preparation
from pose_train.inference.predictor import load_network

# x1, y1, x2, y2, score: the second overlaps the first (IoU 0.81), the third is of nobody.
BOXES = [[10, 10, 60, 80, 0.8], [12, 12, 62, 82, 0.9], [0, 0, 30, 40, 0.1], [70, 5, 140, 60, 0.6]]


@pytest.fixture(scope="module")
def image() -> Image:
    """Noise (90, 120, 3) that is brightest in red and darkest in blue."""
    noise = np.random.default_rng(0).integers(0, 100, (90, 120, 3))
    return (noise + np.array([0, 50, 150])).astype(np.uint8)


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
    message = r"is no detector that is understood: its inputs are image tensor\(float\) .* Expected"
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


# transformers

COMMON = {
    "encoder_in_channels": [8, 16, 16],
    "encoder_hidden_dim": 16,
    "decoder_in_channels": [16, 16, 16],
    "d_model": 16,
    "num_queries": 20,
    "decoder_layers": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_denoising": 0,
    "id2label": {0: "person", 1: "bicycle", 2: "dog"},
}
BACKBONE = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
FEATURES = ["stage2", "stage3", "stage4"]
# As published: of RT-DETR v2 and D-FINE, and of DETR.
STRETCHED = {
    "do_normalize": False,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "RTDetrImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 64, "width": 96},
}
FITTED = STRETCHED | {
    "do_normalize": True,
    "image_processor_type": "DetrImageProcessor",
    "size": {"shortest_edge": 64, "longest_edge": 100},
}


@pytest.fixture(scope="module")
def transformers() -> Any:
    reason = "transformers comes with pose-train[detect]"
    return pytest.importorskip("transformers", minversion="4.52", reason=reason)


def rtdetr(transformers: Any) -> nn.Module:
    backbone = transformers.RTDetrResNetConfig(
        **BACKBONE, layer_type="basic", out_features=FEATURES
    )
    config = transformers.RTDetrV2Config(backbone_config=backbone, decoder_n_points=2, **COMMON)
    return transformers.RTDetrV2ForObjectDetection(config)


def dfine(transformers: Any) -> nn.Module:
    backbone = transformers.HGNetV2Config(
        **BACKBONE,
        out_features=FEATURES,
        stem_channels=[3, 4, 8],
        stage_in_channels=[8, 8, 8, 16],
        stage_mid_channels=[4, 4, 8, 8],
        stage_out_channels=[8, 8, 16, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
    )
    config = transformers.DFineConfig(
        backbone_config=backbone, decoder_n_points=[2, 2, 2], depth_mult=0.34, **COMMON
    )
    return transformers.DFineForObjectDetection(config)


def detr(transformers: Any) -> nn.Module:
    backbone = transformers.ResNetConfig(**BACKBONE, layer_type="basic", out_features=["stage4"])
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=20,
        id2label={0: "N/A", 1: "person", 2: "dog"},
    )
    return transformers.DetrForObjectDetection(config)


# How each is made, how its images are prepared, and a score that some of its boxes have.
MODELS: dict[str, tuple[Callable[[Any], nn.Module], dict[str, Any], float]] = {
    "RT-DETR v2": (rtdetr, STRETCHED, 0.85),
    "D-FINE": (dfine, STRETCHED, 0.85),
    "DETR": (detr, FITTED, 0.5),
}


@pytest.fixture(scope="module")
def folders(
    transformers: Any, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Tiny untrained models, saved as published, whose boxes of an image have varied scores."""
    found = {}
    for number, (name, (make, preparation, _)) in enumerate(MODELS.items()):
        torch.manual_seed(number)
        model = make(transformers).eval().requires_grad_(False)
        for key, weights in model.named_parameters():
            if weights.ndim > 1 and "backbone" not in key:
                nn.init.normal_(weights, 0, 2 if "query_position" in key else 0.25)
        *_, head = (
            m for key, m in model.named_modules() if re.search(r"class_(embed\.1|lab)", key)
        )
        found[name] = tmp_path_factory.mktemp("detectors") / make.__name__
        model.save_pretrained(found[name])
        settings = found[name] / "preprocessor_config.json"
        settings.write_text(json.dumps(preparation))
        pixels = prepare(image[:64, :96], read_preparation(settings))
        head.weight *= 2 / model(pixels).logits[0].std(0)[:, None]
        head.bias -= model(pixels).logits[0].mean(0)
        model.save_pretrained(found[name])
    return found


@pytest.fixture
def processor_of(transformers: Any) -> Callable[[Path], Any]:
    """Load transformers' own image processor, in the form that needs PIL and no torchvision."""
    pytest.importorskip("PIL.Image", reason="transformers' own image processors need PIL")
    is_old = transformers.__version__.startswith("4.")
    options: dict[str, Any] = {"use_fast": False} if is_old else {"backend": "pil"}

    def load(folder: Path) -> Any:
        return transformers.AutoImageProcessor.from_pretrained(folder, **options)

    return load


@pytest.mark.parametrize("name", MODELS)
def test_boxes_are_those_of_transformers(
    name: str,
    transformers: Any,
    processor_of: Callable[[Path], Any],
    folders: Mapping[str, Path],
    image: Image,
) -> None:
    """Of an image that is not resized, whose pixels are the same to the last bit."""
    folder, min_score, image = folders[name], MODELS[name][2], image[:64, :96]
    processor = processor_of(folder)
    model = transformers.AutoModelForObjectDetection.from_pretrained(folder).eval()
    with torch.inference_mode():
        output = model(**processor(image[..., ::-1].copy(), return_tensors="pt"))
    (expected,) = processor.post_process_object_detection(output, min_score, [(64, 96)])
    assert len(expected["labels"]) < 20  # of which it returns no more
    is_person = expected["labels"].numpy() == (1 if name == "DETR" else 0)
    assert 1 < is_person.sum() < len(is_person)
    boxes, scores = (expected[key].numpy()[is_person] for key in ("boxes", "scores"))
    found = load_detector(folder, score=min_score, nms=1)(image)
    chosen = choose_boxes(boxes, scores, (96, 64), 0, 1)
    np.testing.assert_allclose(found, chosen, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["RT-DETR v2", "DETR"])
def test_images_are_prepared_as_by_transformers(
    name: str, processor_of: Callable[[Path], Any], folders: Mapping[str, Path]
) -> None:
    processor = processor_of(folders[name])
    preparation = read_preparation(folders[name] / "preprocessor_config.json")
    step = (preparation.factor / preparation.std).max().item()  # of 1 in 255
    for size in ((90, 120), (120, 90), (200, 300), (30, 40), (61, 240), (64, 96), (79, 79)):
        image, _ = synthesize_image(np.random.default_rng(1), size)
        expected = processor(image[..., ::-1].copy(), return_tensors="pt")["pixel_values"]
        found = prepare(image, preparation)
        assert found.shape == expected.shape
        difference = (found - expected).abs()
        assert difference.max() < 1.01 * step
        assert difference.mean() < 0.25 * step


@pytest.mark.parametrize("name", MODELS)
def test_boxes_are_in_pixels_of_the_image(name: str, folders: Mapping[str, Path]) -> None:
    """Two images of one colour are the same to the network, whatever their size is."""
    detector = load_detector(folders[name], score=0, nms=1)
    boxes = []
    for height, width in ((64, 96), (90, 135)):
        found = np.asarray(detector(np.full((height, width, 3), (10, 90, 200), np.uint8)))
        boxes.append(found / [width, height, width, height, 1])
    assert len(boxes[0]) > 10
    np.testing.assert_allclose(boxes[1], boxes[0], rtol=0, atol=1e-5)


def test_sides_are_rounded_as_by_transformers(transformers: Any) -> None:
    expected = transformers.image_transforms.get_size_with_aspect_ratio
    for sides in np.random.default_rng(0).integers(1, 3000, (500, 2)).tolist():
        assert fitted(tuple(sides), 800, 1333) == expected(sides, 800, 1333)
    for sides in ((800, 800), (800, 1333), (1334, 800), (100, 1337), (1, 1)):
        assert fitted(sides, 800, 1333) == expected(sides, 800, 1333)


def test_models_that_cannot_be_used_are_named(
    transformers: Any, folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(folders["DETR"], tmp_path / "net")
    settings = folder / "preprocessor_config.json"
    for change, message in {
        "size": "'size' is missing, or not supported",
        "do_normalize": "'do_normalize' is missing",
    }.items():
        settings.write_text(json.dumps({k: v for k, v in FITTED.items() if k != change}))
        with pytest.raises(RunError, match=rf"preprocessor_config\.json: {message}"):
            load_detector(folder)
    for extra, message in {
        '"pad_size": {"height": 9, "width": 9}': "pad_size is not supported",
        '"do_resize": false': "do_resize false is not supported",
        '"resample": 1': "1 is missing, or not supported",
        '"size": "big"': "'shortest_edge' is missing|cannot be used",
        "7": "cannot be used",
    }.items():
        settings.write_text(json.dumps(FITTED)[:-1] + f", {extra}}}")
        with pytest.raises(RunError, match=message):
            load_detector(folder)
    settings.unlink()
    with pytest.raises(RunError, match=r"preprocessor_config\.json is missing: it says how"):
        load_detector(folder)
    settings.write_text(json.dumps(FITTED))
    with pytest.raises(ConfigError, match="no class 'persons'; did you mean person"):
        load_detector(folder, classes=["persons"])
    with pytest.raises(ConfigError, match="'tpu' cannot be used"):
        load_detector(folder, device="tpu")
    weights = load_file(folder / "model.safetensors")
    del weights["class_labels_classifier.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match=r"lacks class_labels_classifier\.bias and 0 other weights"):
        load_detector(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        RunError, match=r"transformers [\d.]+ cannot load it as a detector: .*model"
    ):
        load_detector(folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'pose-train\[detect\]', or give .*--boxes"):
        load_detector(folder)


def test_older_files_say_the_size_otherwise(
    transformers: Any, folders: Mapping[str, Path], tmp_path: Path, image: Image
) -> None:
    folder = shutil.copytree(folders["DETR"], tmp_path / "net")
    older = FITTED | {"size": 64, "max_size": 100}
    (folder / "preprocessor_config.json").write_text(json.dumps(older))
    found, expected = (
        load_detector(each, score=0, nms=1)(image) for each in (folder, folders["DETR"])
    )
    np.testing.assert_array_equal(found, expected)


def test_models_of_the_hub_come_from_its_cache(
    folders: Mapping[str, Path], tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with transformers")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    folder = tmp_path / "models--somebody--detector"
    missing = rf"somebody/detector is neither a folder nor, .* cache {tmp_path}"
    for download, offline, reason in (
        (False, "", r": `hf download somebody/detector` puts it there .*--boxes FILE"),
        (True, "1", ", and POSE_OFFLINE=1 forbids to download it$"),
        (True, "", ", and it cannot be downloaded: "),
    ):
        monkeypatch.setenv("POSE_OFFLINE", offline)
        with pytest.raises(ConfigError, match=missing + reason):
            load_detector("somebody/detector", download=download)
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("a" * 40)
    shutil.copytree(folders["RT-DETR v2"], folder / "snapshots" / ("a" * 40))
    expected = load_detector(folders["RT-DETR v2"], score=0, nms=1)(image)
    for name in ("somebody/detector", "hf://somebody/detector", f"somebody/detector@{'a' * 40}"):
        found = load_detector(name, score=0, nms=1)(image)
        np.testing.assert_array_equal(found, expected)
    (folder / "snapshots" / ("a" * 40) / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=missing):
        load_detector("somebody/detector")
    with pytest.raises(ConfigError, match=r"mine is neither a folder nor an ONNX file, nor a mod"):
        load_detector("mine")
    (tmp_path / "net.pth").touch()
    with pytest.raises(ConfigError, match=r"net\.pth must be a folder or an ONNX file"):
        load_detector(tmp_path / "net.pth")


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
