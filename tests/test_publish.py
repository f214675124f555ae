"""Publish a network on a hub on localhost, and use it from there."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hub_server import Hub, serve_hub

from pose_backbones import CheckpointError
from pose_data import synthesize
from pose_train import RECIPES, ConfigError, Predictor, RunError
from pose_train.__main__ import main
from pose_train.inference.load import load_trained
from pose_train.inference.publish import shareable
from pose_train.inference.weights import start_from_weights

# huggingface_hub's own, where it uploads.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "somebody/tiny"
FILES = {"README.md", "config.yaml", "model.safetensors", "skeleton.json"}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short training leaves, with folders and settings of this machine in its config."""
    folder = tmp_path_factory.mktemp("secret_folder")
    data = synthesize(folder / "data", num_train=4, num_val=2, image_size=(128, 96), seed=2)
    options = "{width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
    words = [
        *("data.synthetic=null", f"data.root={data}", f"out={folder / 'run'}"),
        *(f"model.options={options}", "model.input_size=[64, 64]", "model.heatmap_size=[16, 16]"),
        *("train.epochs=1", "train.lr_steps=[]", "train.num_workers=0", "train.device=cpu"),
    ]
    assert main(["run", "demo", *words]) == 0
    return folder / "run"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("POSE_OFFLINE", "")
    with serve_hub(monkeypatch, tmp_path) as server:
        yield server


def test_published_and_loaded(
    hub: Hub, run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["publish", str(run_dir), "--repo", REPO, "--license", "apache-2.0"]) == 0
    printed = capsys.readouterr().out
    assert f"{hub.url}/{REPO}: pose-train predict hf://{REPO} photo.jpg" in printed
    files = hub.repos[REPO]
    assert set(files) == FILES
    for data in files.values():
        assert b"secret_folder" not in data
        assert os.fsencode(Path.home()) + b"/" not in data
    assert REPO not in hub.private

    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    ours = Predictor(run_dir)(image)
    for name in (f"hf://{REPO}", f"hf://{REPO}@main", f"hf://{REPO}@{hub.commit_of(REPO)}"):
        theirs = Predictor(name)(image)
        assert np.array_equal(ours.keypoints, theirs.keypoints)
        assert np.array_equal(ours.scores, theirs.scores)
    own, loaded = load_trained(run_dir), load_trained(f"hf://{REPO}")
    assert loaded.skeleton == own.skeleton
    state = loaded.net.state_dict()
    assert all(torch.equal(state[key], value) for key, value in own.net.state_dict().items())
    start = replace(own.config, model=replace(own.config.model, weights=f"hf://{REPO}"))
    net = RECIPES[start.recipe].build(start, 17)[0]
    _, notes = start_from_weights(net, start)
    assert torch.equal(next(net.parameters()), next(own.net.parameters()))
    assert notes[0].startswith(f"hf://{REPO}: pose-backbones: ")
    count = len(hub.requests)
    monkeypatch.setenv("POSE_OFFLINE", "1")
    assert Predictor(f"hf://{REPO}").skeleton == own.skeleton
    assert len(hub.requests) == count


def test_what_the_model_card_says(hub: Hub, run_dir: Path) -> None:
    predictor = Predictor(run_dir)
    assert predictor.push_to_hub(REPO, private=True, license="mit") == f"{hub.url}/{REPO}"
    assert hub.private == {REPO}
    card = hub.repos[REPO]["README.md"].decode()
    _, head, text = card.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert (facts["license"], facts["library_name"]) == ("mit", "pose-train")
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    record = [json.loads(line) for line in lines if '"val"' in line][-1]
    (result,) = facts["model-index"][0]["results"]
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert metrics["AP"] == record["AP"]
    assert result["dataset"]["name"] == "person_keypoints_val2017.json"
    assert f"pose-train predict hf://{REPO} photo.jpg --out found" in text
    assert f'Predictor("hf://{REPO}")' in text
    assert f"{record['AP']:.3f}" in text
    assert "`person_keypoints_train2017.json`" in text
    assert "## Licence\n\nmit\n" in text
    assert "left_shoulder" in text


def test_an_unstated_licence_is_noted(
    hub: Hub, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(run_dir), "--repo", REPO]) == 0
    assert "note: the model card states no licence" in capsys.readouterr().out
    assert "Not stated: ask the author" in hub.repos[REPO]["README.md"].decode()


def test_what_is_of_this_machine_stays_here(run_dir: Path) -> None:
    config = load_trained(
        run_dir,
        overrides=[
            *("train.num_threads=3", "log.wandb=mine", "model.weights=/home/me/x.pth"),
            "data.val.annotations=/home/me/val.json",
            "data.extra={aic: {root: /home/me/aic, format: aic, train: {annotations: ../a.json, "
            "images: b}}}",
            "data.detections={file: /home/me/boxes.json}",
        ],
    ).config
    shared = shareable(config)
    assert "/home" not in repr(shared)
    assert ".." not in repr(shared)
    assert (shared.data.val.annotations, shared.data.detections.file) == ("val.json", "boxes.json")
    assert shared.data.extra["aic"].root is None
    assert (shared.train.num_threads, shared.log.wandb, shared.out) == (None, None, "")
    assert shared.train.lr == config.train.lr


def test_what_cannot_be_published(hub: Hub, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(run_dir)
    with pytest.raises(ConfigError, match="must look like USER/NAME, got 'tiny'"):
        predictor.push_to_hub("tiny")
    predictor.push_to_hub(REPO)
    before = dict(hub.repos[REPO])
    with pytest.raises(ConfigError, match="exists and is public"):
        predictor.push_to_hub(REPO, private=True)
    assert hub.repos[REPO] == before
    with pytest.raises(ConfigError, match="an exported network"):
        Predictor(predictor.network).push_to_hub(REPO)
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(RunError, match=r"cannot publish .*: HTTP 401 .*`hf auth login`"):
        predictor.push_to_hub("somebody/other")


def test_what_cannot_be_loaded(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match="hf://a/b: HTTP 404"):
        Predictor("hf://a/b")
    hub.repos["a/b"] = {"config.yaml": b"x: 1"}
    with pytest.raises(CheckpointError, match=r"hf://a/b lacks skeleton.json, model.safetensors"):
        Predictor("hf://a/b")
    with pytest.raises(CheckpointError, match="hf://a/b@other: HTTP 404"):
        Predictor("hf://a/b@other")
    for name in ("hf://a", "hf://a/b/c", "hf://"):
        with pytest.raises(ConfigError, match="must look like hf://USER/NAME"):
            Predictor(name)
    assert main(["test", "hf://c/d", "--offline"]) == 1
    reason = "it is not in the hub's cache, and POSE_OFFLINE forbids downloads"
    assert capsys.readouterr().err.endswith(f"pose-train: error: hf://c/d: {reason}\n")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"hf://a/b: .* pip install 'pose-train\[hub\]'"):
        Predictor("hf://a/b")
