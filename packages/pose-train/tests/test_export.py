"""Exported networks compute what the network computes, for any batch."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pose_backbones import create_model
from pose_codecs import MSRAHeatmap
from pose_data import COCO, synthesize_image
from pose_train import ConfigError, Predictor, load_config
from pose_train.export import export
from pose_train.predict import predict_heatmaps
from pose_train.trained import Trained


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A network of few layers: exporting takes as long as there are layers."""
    config = load_config(
        "cpm_coco_256x192", ["model.input_size=[64, 64]", "model.heatmap_size=[8, 8]"]
    )
    torch.manual_seed(1)
    net = create_model("cpm", num_keypoints=17, num_stages=2).eval()
    codec = MSRAHeatmap((64, 64), (8, 8))
    return Trained(net, config, codec, COCO, torch.device("cpu"), Path("none.pth"))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)


@pytest.fixture(scope="module")
def onnx_file(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} comes with pose-train[export]")
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    assert f"{path}: onnx, " in export(trained, path, "onnx")
    return path


def test_onnx(trained: Trained, images: torch.Tensor, onnx_file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (heatmaps,) = session.run(["heatmaps"], {"image": images[:count].numpy()})
        expected = predict_heatmaps(trained.net, images[:count], None).numpy()
        np.testing.assert_allclose(heatmaps, expected, atol=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["keypoints"]) == list(trained.skeleton.keypoints)
    assert [file.name for file in onnx_file.parent.iterdir()] == ["net.onnx"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(trained: Trained, images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    export(trained, path, "torchscript")
    facts = {"about.json": ""}
    script = torch.jit.load(path, _extra_files=facts)
    (heatmaps,) = script(images)
    torch.testing.assert_close(heatmaps, predict_heatmaps(trained.net, images, None))
    assert json.loads(facts["about.json"])["recipe"] == "topdown"


def test_torch_export(trained: Trained, images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    export(trained, path, "torch-export")
    (heatmaps,) = torch.export.load(path).module()(images)
    expected = predict_heatmaps(trained.net, images, None)
    torch.testing.assert_close(heatmaps, expected, rtol=1e-4, atol=1e-5)


def test_mistakes_are_named(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be one of onnx, torchscript, torch-export"):
        export(trained, tmp_path / "x", "tensorrt")
    with pytest.raises(ConfigError, match=r"cannot write .*gone"):
        export(trained, tmp_path / "gone" / "x.pt2", "torch-export")
    assert not list(tmp_path.iterdir())


def test_the_example_of_the_readme(
    trained: Trained, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy, onnxruntime and pose-codecs find what `predict` finds."""
    readme = Path(__file__).resolve().parents[1] / "README.md"
    blocks = re.findall(r"^```py\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "onnxruntime" in block)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").symlink_to(onnx_file)
    picture, _ = synthesize_image(np.random.default_rng(5), (90, 120))
    cv2.imwrite("person.jpg", picture)
    found: dict[str, Any] = {}
    exec(code, found)
    people = Predictor(trained, flip_test=False)("person.jpg")
    np.testing.assert_allclose(found["scores"], people.scores, atol=2e-3 * people.scores.max())
    distance = np.abs(found["keypoints"] - people.keypoints).max(axis=-1)
    assert np.median(distance) < 1e-3
    assert (distance < 1e-3).mean() > 0.8, "another warp can move what random weights find"
