"""Exported files give the people that the checkpoint gives, and never load torch."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pose_codecs
from pose_backbones import PoseOutput, create_model
from pose_codecs import AssociativeEmbedding
from pose_data import COCO, DatasetError, synthesize_image
from pose_train import ConfigError, Predictor, RunError, load_config
from pose_train.__main__ import main
from pose_train.inference.bottomup import merge_maps, mirrored_back
from pose_train.inference.export import export
from pose_train.inference.forward import torch_backend
from pose_train.inference.load import Trained
from pose_train.inference.network import Maps
from pose_train.inference.onnx import import_onnxruntime, load_onnx, onnx_backend, run_file
from pose_train.inference.people import People
from pose_train.inference.topdown import predict_heatmaps

BOXES = [[5, 5, 60, 70, 1], [20, 0, 79, 89, 0.5], [0, 9, 50, 60, 0.7]]


@pytest.fixture(scope="module")
def higher(lively: Callable[[nn.Module], nn.Module]) -> Trained:
    """A tiny HigherHRNet, which is tested at two sizes; three people, whatever their scores are."""
    options = "{width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
    config = load_config(
        "higherhrnet_w32_coco_512x512",
        [
            *(f"model.options={options}", "model.name=higherhrnet", "model.input_size=[64, 64]"),
            *("model.heatmap_sizes=[]", "data.warp=cv2", "eval.multi_scale=[1.5, 1.0]"),
        ],
    )
    torch.manual_seed(5)
    net = lively(create_model("higherhrnet", num_keypoints=17, **config.model.options))
    codec = AssociativeEmbedding((64, 64), (), max_instances=3, tag_threshold=1e6)
    return Trained(net, config, codec, COCO, torch.device("cpu"), Path("net.pth"), epoch=3)


@pytest.fixture(scope="module")
def higher_onnx(
    onnx_export: None, higher: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("exported") / "higher.onnx"
    export(higher, path)
    return path


@pytest.fixture(params=["drawn", "real"])
def images(request: pytest.FixtureRequest) -> list[Any]:
    if request.param == "real":
        if "POSE_DATA_DIR" not in os.environ:
            pytest.skip("POSE_DATA_DIR is not set: no real images")
        return sorted((Path(os.environ["POSE_DATA_DIR"]) / "coco-sample").glob("*.jpg"))[:2]
    rng = np.random.default_rng(5)
    return [synthesize_image(rng, size)[0] for size in ((90, 120), (130, 80), (90, 120))]


def assert_same_people(found: Sequence[People], expected: Sequence[People]) -> None:
    """Compare all but the rounding of convolutions, of which runtimes have their own."""
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs) > 0
        scores = 1e-4 * np.abs(theirs.scores).max()
        assert scores > 0
        np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=1e-3)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=scores)
        np.testing.assert_allclose(ours.person_scores, theirs.person_scores, atol=scores)
        np.testing.assert_allclose(ours.bboxes, theirs.bboxes, atol=1e-3)
        assert ours.skeleton == theirs.skeleton


@pytest.mark.parametrize("flip_test", [None, False])
def test_topdown_people_are_those_of_the_checkpoint(
    cpm: Trained, cpm_onnx: Path, images: list[Any], flip_test: bool | None
) -> None:
    ours, theirs = Predictor(cpm_onnx, flip_test), Predictor(cpm, flip_test)
    assert ours.flip_test == (flip_test is None)
    boxes = [BOXES, *[None] * (len(images) - 1)]
    assert_same_people(ours(images, boxes), theirs(images, boxes))


@pytest.mark.parametrize("flip_test", [None, False])
def test_bottomup_people_are_those_of_the_checkpoint(
    higher: Trained, higher_onnx: Path, images: list[Any], flip_test: bool | None
) -> None:
    ours, theirs = Predictor(higher_onnx, flip_test), Predictor(higher, flip_test)
    found, expected = (each(images, heatmaps=True) for each in (ours, theirs))
    assert_same_people(found, expected)
    for of_file, of_net in zip(found, expected, strict=True):
        assert of_file.heatmaps is not None
        assert of_net.heatmaps is not None
        largest = np.abs(of_net.heatmaps.maps).max()
        np.testing.assert_allclose(of_file.heatmaps.maps, of_net.heatmaps.maps, atol=1e-5 * largest)
    assert ours.network.origin == f"{higher_onnx}, exported from net.pth, after epoch 3"


class Session:
    """Give the maps that a net of torch makes as onnxruntime would, to the last bit."""

    def __init__(self, net: nn.Module, shape: Sequence[Any] = ("batch", "h", "w", 3)) -> None:
        self.net, self.shape, self.asked = net, shape, list[int]()

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(shape=self.shape)]

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        (images,) = inputs.values()
        self.asked.append(len(images))
        return [self.net(torch.from_numpy(images).permute(0, 3, 1, 2)).heatmaps[-1].numpy()]


class Sums(nn.Module):
    """Make two maps in which the sides differ."""

    def forward(self, images: Tensor) -> PoseOutput:
        return PoseOutput((nn.functional.avg_pool2d(images.float(), 4)[:, :2] / 7,), ())


@pytest.mark.parametrize("udp", [False, True])
def test_the_flip_test_in_numpy_is_that_of_torch(
    cpm: Trained, udp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pose_train.inference.forward.normalize", lambda images: images.permute(0, 3, 1, 2)
    )
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 48, 3), np.uint8)
    usage: Any = SimpleNamespace(is_bottomup=False)
    expected, found = (
        predict_heatmaps(backend, images, (1, 0), shift=not udp)
        for backend in (
            torch_backend(Sums(), torch.device("cpu")),
            onnx_backend(Session(Sums()), "net.onnx", usage),
        )
    )
    np.testing.assert_array_equal(found, expected)


def test_merging_in_numpy_is_that_of_torch() -> None:
    """The same maps of two sizes and views give the same people."""
    rng = np.random.default_rng(1)
    codec = AssociativeEmbedding((64, 64), (), max_instances=3, tag_threshold=2)
    looks, tensors = [], []
    for size in (32, 16):
        heatmaps, tags = [], []
        for scale in (1, 2):
            maps = rng.uniform(0, 1, (17, size * scale, size * scale)).astype(np.float32)
            heatmaps.append(cv2.GaussianBlur(maps.transpose(1, 2, 0), (5, 5), 2).transpose(2, 0, 1))
            tags.append(rng.normal(0, 1, maps.shape).astype(np.float32))
        of_image = Maps(tuple(heatmaps), tuple(tags[:1]))
        looks.append([of_image, mirrored_back(pose_codecs, of_image, COCO.flip_indices)])
        as_torch = Maps(*(tuple(map(torch.from_numpy, each)) for each in of_image))
        mirrored = mirrored_back(pose_codecs.torch, as_torch, COCO.flip_indices)
        tensors.append([as_torch, mirrored])
        for ours, theirs in zip(looks[-1][1], mirrored, strict=True):
            for maps, others in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(maps, others.numpy())
    usage: Any = SimpleNamespace(is_bottomup=True)
    backends = onnx_backend(None, "", usage), torch_backend(nn.Identity(), torch.device("cpu"))
    merged, expected = (
        merge_maps(backend.codecs, maps, [2, 1], (64, 64))
        for backend, maps in zip(backends, (looks, tensors), strict=True)
    )
    for maps, others in zip(merged, expected, strict=True):
        np.testing.assert_allclose(maps, others.numpy(), atol=1e-6)
    ours, theirs = backends[0].decode(codec, *merged), backends[1].decode(codec, *expected)
    assert len(ours.keypoints) > 3
    np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)


def test_onnxruntime_collects_nothing_unless_it_is_asked_to(
    cpm_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    env = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | home
    code = (
        "import pathlib, sys; from pose_train.inference.onnx import load_onnx; "
        "print(load_onnx(pathlib.Path(sys.argv[1])))"
    )
    words = [sys.executable, "-c", code, str(cpm_onnx)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Network(17 keypoints, ")
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_a_fixed_number_of_images_is_filled() -> None:
    images = np.random.default_rng(0).integers(0, 255, (5, 64, 48, 3), np.uint8)
    session = Session(Sums(), (2, 64, 48, 3))
    (maps,) = run_file(session, "net.onnx", images)
    assert session.asked == [2, 2, 2]
    np.testing.assert_array_equal(maps, run_file(Session(Sums()), "net.onnx", images)[0])
    with pytest.raises(DatasetError, match=r"net.onnx takes images of 48x64 alone.* at 64x48: exp"):
        run_file(session, "net.onnx", images.transpose(0, 2, 1, 3))


CODE = """
import sys
from pose_train.__main__ import main
status = main(sys.argv[1:])
sys.exit("torch is loaded" if "torch" in sys.modules else status)
"""


def run_alone(*words: object) -> subprocess.CompletedProcess[str]:
    """Type a command in a process of its own, which fails if it loads torch."""
    command = [sys.executable, "-c", CODE, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_predict_does_not_load_torch(cpm: Trained, cpm_onnx: Path, tmp_path: Path) -> None:
    image, _ = synthesize_image(np.random.default_rng(5), (90, 120))
    cv2.imwrite(str(tmp_path / "a.png"), image)
    boxes = [{"file_name": "a.png", "bbox": [5, 5, 55, 65], "category_id": 1, "score": 1}] * 2
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    for given, count in (([], 1), (["--boxes", tmp_path / "boxes.json"], 2)):
        out = tmp_path / f"out{count}"
        done = run_alone("predict", cpm_onnx, tmp_path / "a.png", "--out", out, *given)
        assert done.returncode == 0, done.stderr
        assert f"weights: {cpm_onnx}, exported from mine/none.pth" in done.stderr
        rows = json.loads((out / "predictions.json").read_text())
        people = Predictor(cpm)(image, [[5, 5, 60, 70]] * 2 if given else None)
        assert len(rows) == len(people) == count
        for row, person in zip(rows, people, strict=True):
            expected = np.column_stack([person.keypoints, person.scores]).ravel()
            np.testing.assert_allclose(row["keypoints"], expected, rtol=1e-4, atol=1e-3)
        assert (out / "a.png").is_file()  # drawn
    wrong = run_alone("predict", cpm_onnx, tmp_path / "gone.png", "--out", tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1), wrong.stderr
    assert "gone.png" in wrong.stderr


def test_bottomup_predict_does_not_load_torch(
    higher: Trained, higher_onnx: Path, tmp_path: Path
) -> None:
    image, _ = synthesize_image(np.random.default_rng(5), (90, 120))
    cv2.imwrite(str(tmp_path / "a.png"), image)
    done = run_alone("predict", higher_onnx, tmp_path / "a.png", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    assert len(rows) == len(Predictor(higher)(image)) == 3


def test_importing_the_predictor_does_not_load_torch() -> None:
    code = "import sys; from pose_train import Predictor; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_that_cannot_be_used_are_named(cpm_onnx: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(cpm_onnx)
    facts = {each.key: each.value for each in model.metadata_props}

    def changed(*without: str, **values: str) -> Path:
        kept = {key: value for key, value in facts.items() if key not in without}
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, kept | values)
        onnx.save(model, tmp_path / "changed.onnx")
        return tmp_path / "changed.onnx"

    with pytest.raises(
        RunError, match=r"changed.onnx: its metadata lacks skeleton, warp; an older"
    ):
        load_onnx(changed("skeleton", "warp"))
    with pytest.raises(RunError, match=r"lacks recipe, input_size, .*; export it with `pose-train"):
        load_onnx(changed(*facts))
    with pytest.raises(RunError, match=r"damaged \(warp must be one of cv2, opencv4, got best\)"):
        load_onnx(changed(warp="best"))
    with pytest.raises(RunError, match=r"its metadata is damaged \(Expecting"):
        load_onnx(changed(codec="{"))
    with pytest.raises(RunError, match=r"its metadata is damaged \(.*sigma"):
        load_onnx(changed(codec='{"sigmas": 2}'))
    several = changed(
        recipe="bottomup",
        codec='{"input_size": [64, 64], "heatmap_sizes": []}',
        multi_scale="[2, 1]",
    )
    with pytest.raises(RunError, match=r"images of one size, .* at several \(2.0, 1.0\): export"):
        load_onnx(several)
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(RunError, match=r"no.onnx: onnxruntime [\d.]+ cannot load it: .*INVALID"):
        load_onnx(tmp_path / "no.onnx")
    with pytest.raises(RunError, match=r"gone.onnx: there is no such file"):
        Predictor(tmp_path / "gone.onnx")


def test_devices(cpm_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    image, _ = synthesize_image(np.random.default_rng(5), (90, 120))
    expected = Predictor(cpm_onnx, device="cpu")(image)
    given = Predictor.from_onnx(cpm_onnx, providers=["CPUExecutionProvider"])(image)
    np.testing.assert_array_equal(given.keypoints, expected.keypoints)
    for device in ("gpu", "cpu:1", "cuda:x"):
        with pytest.raises(ConfigError, match=f"must be auto, cpu, cuda.* got '{device}'"):
            load_onnx(cpm_onnx, device)
    cpu = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: cpu)
    for device, name, package in (
        ("cuda:1", "CUDAExecutionProvider", "onnxruntime-gpu"),
        ("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
    ):
        with pytest.raises(ConfigError, match=f"has no {name}; `pip install {package}`"):
            load_onnx(cpm_onnx, device)
    monkeypatch.setattr("pose_train.inference.onnx.open_session", lambda *_: open_cpu(cpm_onnx))
    every = ["OpenVINOExecutionProvider", "CUDAExecutionProvider", *cpu]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: every)
    with pytest.raises(ConfigError, match="has OpenVINOExecutionProvider, but it does not start"):
        load_onnx(cpm_onnx, "openvino")
    (note,) = load_onnx(cpm_onnx, "auto").notes
    assert note == "onnxruntime has CUDAExecutionProvider, but it does not start: the CPU is used"
    every.remove("CUDAExecutionProvider")
    assert load_onnx(cpm_onnx, "auto").notes == ()  # OpenVINO must be asked for


def open_cpu(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_what_comes_with_an_onnx_file_is_not_given_again(cpm_onnx: Path) -> None:
    with pytest.raises(ConfigError, match="holds its weights and settings"):
        Predictor(cpm_onnx, weights="net.pth")
    with pytest.raises(ConfigError, match="holds its weights and settings"):
        Predictor(cpm_onnx, overrides=["eval.flip_test=false"])


def test_onnxruntime_is_named_where_it_is_missing(
    cpm_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnxruntime: pip install 'pose-train\[export\]'"):
        Predictor.from_onnx(cpm_onnx)


@pytest.mark.parametrize("command", ["test", "export"])
def test_other_commands_say_what_they_take(
    cpm_onnx: Path, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(cpm_onnx), "--out", str(tmp_path / "out.json")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "exported network, which only `pose-train predict` takes: name the run" in said


def test_a_network_of_another_codec_says_so(cpm: Trained) -> None:
    """What is written of a UDP network, and of a keypoint order of its own, comes back."""
    from pose_codecs import UDPHeatmap
    from pose_train.inference.load import usage_of
    from pose_train.inference.network import from_metadata, to_metadata

    order = AssociativeEmbedding((64, 64), ((16, 16), (32, 32)), keypoint_order=tuple(range(17)))
    config = replace(cpm.config, codec=replace(cpm.config.codec, udp=True))
    for codec in (UDPHeatmap((64, 64), (16, 16), 2.0, 11), order, cpm.codec):
        usage = usage_of(replace(cpm, config=config, codec=codec, epoch=7))
        assert from_metadata(to_metadata(usage, "0.1.0"), "net.onnx") == usage
