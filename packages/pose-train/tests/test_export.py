"""Exported networks compute what the network computes, for any batch."""

import dataclasses
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from pose_backbones.hourglass_ae import HourglassAE
from pose_backbones.net import MapsHead, PoseNet
from pose_codecs import AssociativeEmbedding
from pose_data import COCO, synthesize_image
from pose_train import ConfigError, Predictor, RunError, load_config
from pose_train.inference.export import export
from pose_train.inference.forward import normalize, torch_backend
from pose_train.inference.load import Trained
from pose_train.inference.topdown import predict_heatmaps


def assert_same_maps(found: Any, expected: Any) -> None:
    """Compare to a part of the largest value; both must be about something."""
    expected = np.asarray(expected)
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def bottomup(lively: Callable[[nn.Module], nn.Module]) -> Trained:
    """Two stacks with maps of one size, of which the last counts."""
    config = load_config(
        "higherhrnet_w32_coco_512x512",
        ["model.input_size=[128, 128]", "model.heatmap_sizes=[]", "data.warp=cv2"],
    )
    torch.manual_seed(1)
    backbone = HourglassAE(34, 2, stage_channels=(16, 16))
    codec = AssociativeEmbedding((128, 128), (), max_instances=3, tag_threshold=1e6)
    net = lively(PoseNet(backbone, MapsHead(17)))
    return Trained(net, config, codec, COCO, torch.device("cpu"), Path("none.pth"))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)


@pytest.fixture(scope="module")
def bottomup_onnx(
    onnx_export: None, bottomup: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    assert "input any multiple of 64" in export(bottomup, path, "onnx")
    return path


def test_onnx(cpm: Trained, images: torch.Tensor, cpm_onnx: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(cpm_onnx, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (heatmaps,) = session.run(["heatmaps"], {"image": images[:count].numpy()})
        expected = predict_heatmaps(torch_backend(cpm.net, cpm.device), images[:count], None)
        assert_same_maps(heatmaps, expected)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["keypoints"]) == list(cpm.skeleton.keypoints)
    assert [file.name for file in cpm_onnx.parent.iterdir()] == ["net.onnx"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch 2.15
def test_torchscript(cpm: Trained, images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    export(cpm, path, "torchscript")
    facts = {"about.json": ""}
    script = torch.jit.load(path, _extra_files=facts)
    (heatmaps,) = script(images)
    assert_same_maps(heatmaps, predict_heatmaps(torch_backend(cpm.net, cpm.device), images, None))
    assert json.loads(facts["about.json"])["recipe"] == "topdown"


@pytest.mark.filterwarnings("ignore:You are using .torch.load:FutureWarning")  # of torch 2.4
def test_torch_export(
    torch_export: None, cpm: Trained, images: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt2"
    export(cpm, path, "torch-export")
    (heatmaps,) = torch.export.load(path).module()(images)
    assert_same_maps(heatmaps, predict_heatmaps(torch_backend(cpm.net, cpm.device), images, None))


def decoders_maps(trained: Trained, images: torch.Tensor) -> list[torch.Tensor]:
    """What merge_maps takes: of stages with maps of one size the last."""
    with torch.inference_mode():
        output = trained.net(normalize(images))
    return [output.heatmaps[-1], output.tags[-1]]


def test_bottomup_onnx_takes_pictures_of_any_shape(bottomup: Trained, bottomup_onnx: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(bottomup_onnx, providers=["CPUExecutionProvider"])
    for shape in ((1, 64, 256, 3), (2, 192, 128, 3)):
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        found = session.run(["heatmaps_0", "tags"], {"image": images.numpy()})
        for maps, expected in zip(found, decoders_maps(bottomup, images), strict=True):
            assert_same_maps(maps, expected)
    facts = session.get_modelmeta().custom_metadata_map
    assert AssociativeEmbedding(**json.loads(facts["codec"])).max_instances == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch 2.15
@pytest.mark.parametrize("kind", ["torchscript", "torch-export"])
def test_a_full_disk_is_one_error(
    cpm: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    """Torch itself would end the process where it writes TorchScript to one."""
    if kind == "torch-export":
        request.getfixturevalue("torch_export")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"cannot write .*net.pt: No space left on device"):
        export(cpm, tmp_path / "net.pt", kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch 2.15
def test_bottomup_torchscript(bottomup: Trained, tmp_path: Path) -> None:
    export(bottomup, tmp_path / "net.pt", "torchscript")
    images = torch.randint(0, 256, (1, 192, 64, 3), dtype=torch.uint8)
    found = torch.jit.load(tmp_path / "net.pt")(images)
    for maps, expected in zip(found, decoders_maps(bottomup, images), strict=True):
        assert_same_maps(maps, expected)


def test_mistakes_are_named(cpm: Trained, bottomup: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes no images of 100x64: .*multiples of 8"):
        export(bottomup, tmp_path / "x", "torchscript", (100, 64))
    with pytest.raises(ConfigError, match=r"--input-size must be above 0, got 0 64"):
        export(cpm, tmp_path / "x", "torchscript", (0, 64))
    with pytest.raises(ConfigError, match=r"is a folder: name the file"):
        export(cpm, tmp_path, "torchscript")
    with pytest.raises(ConfigError, match="must be one of onnx, torchscript, torch-export"):
        export(cpm, tmp_path / "x", "tensorrt")
    forgotten = dataclasses.replace(cpm, net=None)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"cannot write .*gone"):  # before anything is computed
        export(forgotten, tmp_path / "gone" / "x.pt", "torchscript")
    assert not list(tmp_path.iterdir())


def run_example(name: str, onnx_file: Path, picture: str) -> dict[str, Any]:
    """Run the README's onnxruntime snippet that has `name` in it, in the current folder."""
    readme = Path(__file__).resolve().parents[1] / "README.md"
    blocks = re.findall(r"^```py\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "onnxruntime" in block and name in block)
    Path("net.onnx").symlink_to(onnx_file)
    pixels, _ = synthesize_image(np.random.default_rng(5), (90, 120))
    cv2.imwrite(picture, pixels)
    found: dict[str, Any] = {}
    exec(code, found)
    return found


def test_the_example_of_the_readme(
    cpm: Trained, cpm_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy, onnxruntime and pose-codecs find what `predict` finds."""
    monkeypatch.chdir(tmp_path)
    found = run_example("MSRAHeatmap", cpm_onnx, "person.jpg")
    people = Predictor(cpm, flip_test=False)("person.jpg")
    np.testing.assert_allclose(found["scores"], people.scores, atol=1e-2 * people.scores.max())
    distance = np.abs(found["keypoints"] - people.keypoints).max(axis=-1)
    assert (distance < 1e-2).mean() > 0.9, "one grey level can move what random weights find"


def test_the_bottomup_example_of_the_readme(
    bottomup: Trained, bottomup_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_example("AssociativeEmbedding", bottomup_onnx, "people.jpg")
    people = Predictor(bottomup, flip_test=False)("people.jpg")
    assert len(people.scores) == len(found["people"].scores) == 3
    largest = people.person_scores.max()
    np.testing.assert_allclose(
        found["people"].person_scores, people.person_scores, atol=1e-2 * largest
    )
    distance = np.abs(found["keypoints"] - people.keypoints).max(axis=-1)
    assert (distance < 1e-2).mean() > 0.9, "one grey level can move what random weights find"
