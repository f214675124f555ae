"""`pose-train check` and `doctor`: what they say, and what they refuse."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pose_train import doctor
from pose_train.__main__ import main
from pose_train.checking import Parts, measure

SMALL = [
    "data.synthetic=null",
    "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[64, 64]",
    "model.heatmap_size=[16, 16]",
]


def test_check_of_crops(
    drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "batch.png"
    persons = len(json.loads(annotations(drawn_data).read_text())["annotations"])
    plan = [f"data.root={drawn_data}", "train.epochs=7", f"train.batch_size={persons}"]
    plan += ["data.ratio=2.5", "--out", str(picture)]
    assert main(["check", "demo", *SMALL, *plan]) == 0
    printed = capsys.readouterr().out
    assert f"{persons} persons to train on" in printed
    assert "17 keypoints: nose, left_eye" in printed
    assert "time: 7 epochs of 3 steps" in printed
    tiles = cv2.imread(str(picture))
    assert tiles.shape[0] % 64 == tiles.shape[1] % 64 == 0
    red = (tiles[..., 2].astype(int) - tiles[..., 1]).max()
    assert red > 100, "the targets are drawn"


def annotations(root: Path) -> Path:
    return root / "annotations/person_keypoints_train2017.json"


def test_check_of_whole_pictures(
    drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "batch.png"
    settings = ["model.name=hrnet_w32_ae", "model.options={}", "model.input_size=[64, 64]"]
    settings += ["model.heatmap_sizes=[[16, 16]]", f"data.root={drawn_data}"]
    assert main(["check", "higherhrnet_w32_coco_512x512", *settings, "--out", str(picture)]) == 0
    assert "2 training samples" in capsys.readouterr().out
    assert cv2.imread(str(picture)).shape[:2] == (64, 128)


def test_the_estimate_counts_what_backward_needs() -> None:
    """A layer without bias keeps its input, (B, 10) float32, and nothing else."""
    layer = torch.nn.Linear(10, 3, bias=False)
    parts = Parts(layer, [], [], lambda batch: layer(batch["x"]).sum())  # type: ignore[arg-type]
    estimate = measure(parts, [{"x": torch.ones(10)}, {"x": torch.ones(10)}])
    assert estimate.parameters == 30
    assert estimate.fixed == 30 * 16
    assert estimate.per_sample == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "there is nothing to check before"),
        (["data.root=gone", *SMALL], "data.root gone does not exist"),
        (["data.root=COPY", *SMALL], "1 of 2 pictures of"),
        (["data.root=DATA", *SMALL, "model.name=hrnet_w33"], "hrnet_w32"),
    ],
)
def test_check_refuses_what_a_run_would(
    change: list[str],
    message: str,
    drawn_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(drawn_data, copy)
    next((copy / "train2017").iterdir()).unlink()
    monkeypatch.chdir(tmp_path)
    places = {"COPY": str(copy), "DATA": str(drawn_data)}
    settings = [text.partition("=") for text in change]
    settings = [f"{key}={places.get(value, value)}" for key, _, value in settings]
    assert main(["check", "demo", *settings]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "batch.png").exists()


def test_doctor_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) in (0, 1)
    printed = capsys.readouterr().out
    assert f"torch {torch.__version__.partition('+')[0]}" in printed
    assert f"numpy {np.__version__}" in printed
    assert "samples of 192x256 a second" in printed


def test_doctor_knows_rival_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    versions = {"opencv-python": "5.0", "opencv-python-headless": "4.9", "torch": "2.13+cpu"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, "-"))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    problems = doctor.find_problems()
    assert any("opencv-python-headless overwrite each other" in text for text in problems)
    assert any("torch is a build for CPUs" in text for text in problems)
