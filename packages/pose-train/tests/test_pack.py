"""Training from packs: `pose-train pack`, `data.packed`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pose_data import open_pack, synthesize
from pose_train import RECIPES, load_config
from pose_train.__main__ import main
from pose_train.distributed import Ranks
from pose_train.recipes.data import load_sets

CPU = torch.device("cpu")
OPTIONS = "model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
TINY = {
    "demo": [OPTIONS, "model.input_size=[32, 32]", "model.heatmap_size=null"],
    "demo_higherhrnet": [OPTIONS, "model.input_size=[64, 64]", "model.heatmap_sizes=[]"],
}
SHORT = [
    *("data.synthetic=null", "train.batch_size=3", "train.epochs=2", "train.warmup_steps=1"),
    *("train.num_workers=0", "train.device=cpu", "eval.every=1"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "data"
    return synthesize(out, num_train=6, num_val=2, image_size=(96, 64), seed=3)


@pytest.fixture
def without_images(data: Path, tmp_path: Path) -> Path:
    """The same set, but for the images to train on."""
    shutil.copytree(data, tmp_path / "bare", ignore=shutil.ignore_patterns("train2017"))
    return tmp_path / "bare"


def words(preset: str, data: Path, *overrides: str) -> list[str]:
    rest = [] if preset != "demo" else ["train.lr_steps=[1]"]
    return [preset, f"data.root={data}", *TINY[preset], *SHORT, *rest, *overrides]


def weights(run: Path) -> dict[str, torch.Tensor]:
    last = torch.load(run / "checkpoint_last.pth", weights_only=True)
    found: dict[str, torch.Tensor] = last["state_dict"]
    return found


@pytest.mark.parametrize("preset", TINY)
@pytest.mark.parametrize("options", [[], ["--raw"]])
def test_training_without_images(
    preset: str,
    options: list[str],
    data: Path,
    without_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pack of a config trains it, checks it, and goes on bit by bit."""
    folder = tmp_path / "packed"
    name, *overrides = words(preset, data)
    assert main(["pack", name, str(folder), *overrides, *options]) == 0
    assert capsys.readouterr().out.endswith(f"to train from it: data.packed={folder}\n")
    packed = words(preset, without_images, f"data.packed={folder}")
    assert main(["check", *packed, "--out", str(tmp_path / "batch.png")]) == 0
    assert main(["run", *packed, f"out={tmp_path / 'whole'}"]) == 0
    records = (tmp_path / "whole/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(each)["loss"] for each in records if json.loads(each)["kind"] == "train"]
    assert np.isfinite(losses).all()
    if preset == "demo":
        first = words(preset, without_images, f"data.packed={folder}", "train.epochs=1")
        assert main(["run", *first, f"out={tmp_path / 'parts'}"]) == 0
        again = ["resume", str(tmp_path / "parts"), "train.epochs=2", "train.num_workers=1"]
        assert main(again) == 0
        whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
        assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())


@pytest.mark.parametrize("preset", TINY)
def test_samples_of_a_config_are_the_same(preset: str, data: Path, tmp_path: Path) -> None:
    """All but the pixels; and evaluation, which has a loss too, takes its images."""
    name, *overrides = words(preset, data, "data.balance=file_name")
    assert main(["pack", name, str(tmp_path / "packed"), *overrides, "--raw"]) == 0
    found = []
    for more in ([], [f"data.packed={tmp_path / 'packed'}"]):
        config = load_config(name, [*overrides, *more])
        recipe = RECIPES[config.recipe]
        sets = load_sets(config.data, config.eval, data, recipe.unit)
        _, codec = recipe.build(config, 17)
        samples = recipe.samples(config, sets.train, codec, CPU, True)
        assert recipe.samples(config, sets.evaluated[0], codec, CPU, False).pack is None
        batches = recipe.batches(config, samples, Ranks())
        found.append([samples[key] for batch in batches for key in batch])
    for plain, packed in zip(*found, strict=True):
        assert np.abs(plain["image"].astype(int) - packed["image"]).mean() < 8
        for key in ("matrix", "index", "mirrored"):
            assert np.array_equal(plain[key], packed[key])
        for one, other in zip(plain["heatmaps"], packed["heatmaps"], strict=True):
            assert np.array_equal(one, other)
        for one, other in zip(plain.get("masks", []), packed.get("masks", []), strict=True):
            assert np.array_equal(one, other)


def test_packs_that_do_not_fit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is one sentence, before there is a run directory."""
    folder, out = tmp_path / "packed", tmp_path / "run"
    name, *overrides = words("demo", data)
    assert main(["pack", name, str(folder), *overrides]) == 0
    packed, run = words("demo", data, f"data.packed={folder}"), f"out={out}"
    for override, message in {
        "train.augment.scale=0.8": "augmentation scale 0.8, packed for 0.2; ask for less, or pack",
        "model.input_size=[64, 64]": "an input of 64x64, packed for 32x32; ask for less",
        "data.exif=ignore": "was packed with exif auto, not ignore",
        "data.packed=/nowhere": "/nowhere is no pack: it has no pack.json",
    }.items():
        capsys.readouterr()
        assert main(["run", *packed, run, override]) == 1
        assert message in capsys.readouterr().err
    (folder / "pack-00000.json").unlink()
    assert main(["run", *packed, run]) == 1
    assert "finish it with: pose-train " in capsys.readouterr().err
    assert not out.exists()
    assert main(["pack", name, str(folder), *overrides]) == 0
    assert len(open_pack(folder)) > 0
    assert main(["pack", "demo", str(tmp_path / "drawn")]) == 2
    assert "data.synthetic draws its images when it runs: draw" in capsys.readouterr().err
