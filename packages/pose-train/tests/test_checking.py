"""`pose-train check` and `doctor`: what they say, and what they refuse."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pose_codecs import MSRAHeatmap
from pose_data import Augmentation, TopDown, load_coco
from pose_data.view.draw import SIDES, bgr
from pose_train.__main__ import main
from pose_train.commands import doctor
from pose_train.training.check import draw_samples, measure

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
    assert tiles.shape[1] > 2 * 256, "samples of 64 pixels are enlarged, targets beside them"


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
    assert cv2.imread(str(picture)).shape[1] > 4 * 256, "two pairs"


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_exchanged_sides_are_seen_on_the_batch(drawn_data: Path, flip: float) -> None:
    """Keypoints (left half of a tile) and targets (right half) have the colours of their sides."""
    persons = load_coco(annotations(drawn_data), drawn_data / "train2017")
    codec = MSRAHeatmap((192, 256), (48, 64))
    augment = Augmentation(flip_prob=flip, rotate_prob=0, half_body_prob=0)
    dataset = TopDown(persons, (192, 256), codec.encode, augment)
    sample = dataset[(1, 0)]

    def count(colours: str) -> list[int]:
        """Count the pixels near a side's colour in the target half."""
        half = draw_samples(dataset, [sample])[72:300, 200:390].astype(int)
        return [int((np.abs(half - bgr(SIDES[c])).sum(axis=2) < 60).sum()) for c in colours.split()]

    left, right = (persons.skeleton.keypoints.index(f"{s}_wrist") for s in ("left", "right"))
    sample["heatmaps"][:] = 0
    sample["heatmaps"][left, 20:30, 20:30] = 1
    orange, blue = count("left right")
    assert orange > 500 > blue
    sample["heatmaps"] = sample["heatmaps"][list(persons.skeleton.flip_indices)]
    orange, blue = count("left right")
    assert blue > 500 > orange
    assert sample["heatmaps"][right].max() == 1
    assert sample["mirrored"] == bool(flip)


def test_the_estimate_counts_what_backward_needs() -> None:
    """A layer without bias keeps its input, (B, 10) float32, and nothing else."""
    layer = torch.nn.Linear(10, 3, bias=False)
    samples = [{"x": torch.ones(10)}, {"x": torch.ones(10)}]
    estimate = measure(layer, lambda batch: layer(batch["x"]).sum(), samples)
    assert estimate.parameters == 30
    assert estimate.fixed == 30 * 16
    assert estimate.per_sample == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "there is nothing to check before"),
        (["data.root=gone", *SMALL], "data.root gone does not exist"),
        (["data.root=COPY", *SMALL], "1 of 2 images of"),
        (["data.root=DATA", *SMALL, "model.name=hrnet_w33"], "hrnet_w32"),
        (["data.root=DATA", *SMALL, "log.wandb=poses"], "needs wandb, which is not installed"),
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
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where it is not installed
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
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    problems = doctor.find_problems()
    assert any("opencv-python-headless overwrite each other" in text for text in problems)
    assert any("torch is a build for CPUs" in text for text in problems)
