"""Detectors in the files of transformers: boxes and prepared images are those of the package."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pose_data import synthesize_image
from pose_train import ConfigError, Predictor, RunError, load_detector
from pose_train.files.images import Image
from pose_train.inference import detect, predictor
from pose_train.inference.detect import choose_boxes
from pose_train.inference.detr import fitted, prepare, read_preparation

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
    with pytest.raises(
        RunError, match=r"detector: class_labels_classifier\.bias and 0 other weights are missing"
    ):
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
    missing = (
        rf"somebody/detector is no folder, .* cache {tmp_path} does not hold its config\.json, .*s"
    )
    for download, offline, reason in (
        (False, "", r": `hf download somebody/detector` fetches them .*--boxes FILE"),
        (True, "1", ", and POSE_OFFLINE=1 forbids to download them$"),
        (True, "", ", and they cannot be downloaded: "),
    ):
        monkeypatch.setenv("POSE_OFFLINE", offline)
        with pytest.raises(ConfigError, match=missing + reason):
            load_detector("somebody/detector", download=download)
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("a" * 40)
    shutil.copytree(folders["RT-DETR v2"], folder / "snapshots" / ("a" * 40))
    expected = load_detector(folders["RT-DETR v2"], score=0, nms=1)(image)
    asked = Mock(wraps=hub.snapshot_download)
    monkeypatch.setattr(hub, "snapshot_download", asked)
    for name in ("somebody/detector", "hf://somebody/detector", f"somebody/detector@{'a' * 40}"):
        found = load_detector(name, score=0, nms=1, download=True)(image)
        np.testing.assert_array_equal(found, expected)
    assert [call.kwargs["local_files_only"] for call in asked.call_args_list] == [True] * 3
    (folder / "snapshots" / ("a" * 40) / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=missing):
        load_detector("somebody/detector")
    with pytest.raises(ConfigError, match=r"mine is neither a folder nor an ONNX file, nor a mod"):
        load_detector("mine")
    (tmp_path / "net.pth").touch()
    with pytest.raises(ConfigError, match=r"net\.pth must be a folder or an ONNX file"):
        load_detector(tmp_path / "net.pth")


def test_a_predictor_takes_the_default_detector(
    run_dir: Path, folders: Mapping[str, Path], image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose files are here; nothing else is said."""
    folder = str(folders["RT-DETR v2"])
    for module in (detect, predictor):
        monkeypatch.setattr(module, "DEFAULT_DETECTOR", folder)
    expected = np.asarray(load_detector(folder)(image))
    assert len(expected) > 1
    found = Predictor(run_dir)(image)
    np.testing.assert_allclose(found.bboxes, expected[:, :4], rtol=1e-6)
