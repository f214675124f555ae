"""The opset of a file, its precision and its number of images, with a net of two layers."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pose_backbones import PoseOutput
from pose_codecs import MSRAHeatmap
from pose_data import synthesize_image
from pose_train import ConfigError, Predictor
from pose_train.__main__ import main
from pose_train.inference.export import export
from pose_train.inference.load import Trained
from pose_train.inference.onnx import load_onnx
from pose_train.inference.topdown import predict_heatmaps


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 17, 5, 4, 2), nn.BatchNorm2d(17)

    def forward(self, images: Tensor) -> PoseOutput:
        return PoseOutput((self.norm(self.conv(images)).relu(),), ())


@pytest.fixture(scope="module")
def small(onnx_export: None, cpm: Trained, lively: Callable[[nn.Module], nn.Module]) -> Trained:
    torch.manual_seed(2)
    codec = MSRAHeatmap((64, 64), (16, 16))
    return dataclasses.replace(cpm, net=lively(Small()), codec=codec)


@pytest.fixture(scope="module")
def image() -> Any:
    return synthesize_image(np.random.default_rng(5), (90, 120))[0]


@pytest.mark.parametrize(("opset", "version", "ir"), [(None, 18, 8), (17, 17, 8), (21, 21, 10)])
def test_opset(
    small: Trained, image: Any, opset: int | None, version: int, ir: int, tmp_path: Path
) -> None:
    import onnx

    export(small, tmp_path / "net.onnx", opset=opset)
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {each.version for each in model.opset_import} == {version}
    assert model.ir_version == ir  # onnxruntime 1.20, of November 2024, reads up to 10
    assert str(Path(__file__).parents[1]).encode() not in (tmp_path / "net.onnx").read_bytes()
    found, expected = Predictor(tmp_path / "net.onnx")(image), Predictor(small)(image)
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)


def test_a_fixed_number_of_images(small: Trained, image: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert ", input 64x64, batch 2, differs" in export(small, path, batch=2)
    assert open_input(path) == ([2, 64, 64, 3], "tensor(uint8)")
    boxes = np.array([[5, 5, 60, 70], [20, 0, 79, 89], [0, 9, 50, 60]])
    found, expected = Predictor(path)(image, boxes), Predictor(small)(image, boxes)
    assert len(found) == 3
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
    export(small, tmp_path / "net.pt2", "torch-export", batch=1)
    with pytest.raises((AssertionError, RuntimeError), match="== 1"):
        torch.export.load(tmp_path / "net.pt2").module()(torch.zeros(2, 64, 64, 3).byte())


def open_input(path: Path) -> tuple[list[Any], str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert {each.type for each in session.get_outputs()} == {"tensor(float)"}
    return given.shape, given.type


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch 2.15
@pytest.mark.parametrize("kind", ["onnx", "torchscript", "torch-export"])
def test_half(small: Trained, kind: str, tmp_path: Path) -> None:
    before = {name: weights.clone() for name, weights in small.net.state_dict().items()}
    said = export(small, tmp_path / "half", kind, half=True)
    assert ", 16 bits, differs from the network by " in said
    assert 1e-6 < float(said.rpartition(" ")[2]) < 1e-2  # it is of 16 bits, and sane
    assert all(torch.equal(each, before[name]) for name, each in small.net.state_dict().items())
    if kind != "onnx":
        return
    import onnx

    model = onnx.load(tmp_path / "half")
    types = {each.data_type for each in model.graph.initializer if each.dims and each.dims[0] == 17}
    assert types == {onnx.TensorProto.FLOAT16}
    assert open_input(tmp_path / "half") == (["batch", 64, 64, 3], "tensor(uint8)")
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    maps = predict_heatmaps(load_onnx(tmp_path / "half").backend, images, None)
    expected = predict_heatmaps(Predictor(small).network.backend, images, None)
    np.testing.assert_allclose(maps, expected, atol=1e-2 * expected.max())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_a_format_cannot_do_is_named(
    small: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    with pytest.raises(ConfigError, match="--opset is of ONNX alone: torchscript has none"):
        export(small, path, "torchscript", opset=17)
    with pytest.raises(ConfigError, match="--batch is not of torchscript"):
        export(small, path, "torchscript", batch=1)
    with pytest.raises(ConfigError, match="--batch must be above 0, got 0"):
        export(small, path, batch=0)
    for opset in (0, 11, 99):
        with pytest.raises(ConfigError, match=f"--opset {opset}: torch's exporter cannot write it"):
            export(small, path, opset=opset)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1+cpu"))
        for kind in ("onnx", "torch-export"):
            with pytest.raises(ConfigError, match=rf"{kind} needs torch 2\.10 .*, this is 2\.9\.1"):
                export(small, path, kind)
        export(small, path, "torchscript")
    path.unlink()
    net = Small()
    net.norm.running_var.fill_(1e6)
    large = dataclasses.replace(small, net=net.eval())
    with pytest.raises(ConfigError, match=r"norm.running_var goes up to 1000000, .*: no --half"):
        export(large, path, half=True)
    assert not list(tmp_path.iterdir())


def test_the_options_as_typed(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(run_dir), "--out", str(tmp_path / "net"), "--format", "torchscript"]
    assert main([*words, "--half"]) == 0
    assert "torchscript, " in (said := capsys.readouterr().out)
    assert ", 16 bits, " in said
    for option in ("--opset", "--batch"):
        assert main([*words, option, "3"]) == 2
        assert option in capsys.readouterr().err
