"""What comes with a network besides its weights: config, skeleton, metadata, preparation."""

import contextlib
import dataclasses
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import yaml
from harness import fuzzed
from hypothesis import note
from mutations import dumps, mutated

from pose_backbones import CheckpointError
from pose_data import COCO, DatasetError
from pose_train import load_config
from pose_train.config.load import to_yaml
from pose_train.config.schema import ConfigError, RunError
from pose_train.inference.detr import read_preparation
from pose_train.inference.load import load_trained, usage_of
from pose_train.inference.network import from_metadata, to_metadata
from pose_train.recipes import RECIPES

CONFIG = load_config("demo")
SKELETON = json.loads(json.dumps(dataclasses.asdict(COCO)))
PREPARATION = {
    "size": {"shortest_edge": 800, "longest_edge": 1333},
    "do_normalize": True,
    "do_resize": True,
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": [0.4, 0.4, 0.4],
    "image_std": [0.2, 0.2, 0.2],
}
OURS = (CheckpointError, ConfigError, DatasetError, RunError)


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    return RECIPES[CONFIG.recipe].build(CONFIG, COCO.num_keypoints)[0].state_dict()


def saved(file: Path, weights: dict[str, Any], config: str, skeleton: Any) -> Path:
    content = {"config": config, "skeleton": skeleton, "model": weights, "epoch": 1, "batch": 0}
    torch.save(content, file)
    return file


@fuzzed(20)
def test_checkpoints(
    tmp_path: Path, weights: dict[str, Any], rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, skeleton = yaml.safe_load(to_yaml(CONFIG)), SKELETON
    if rng.randrange(2):
        parts = ("model", "codec", "recipe", "eval", "data")
        changed = mutated({key: config[key] for key in parts}, rng)
        config = config | changed if isinstance(changed, dict) else changed
    else:
        with contextlib.suppress(ValueError, RecursionError):
            skeleton = json.loads(dumps(mutated(SKELETON, rng)))
    note(f"{dumps(config)}\n{skeleton}")
    file = saved(tmp_path / "a.pth", weights, dumps(config), skeleton)
    with contextlib.suppress(*OURS):
        usage_of(load_trained(file, device="cpu"))


@pytest.fixture(scope="module")
def facts(weights: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the metadata of an export."""
    folder = tmp_path_factory.mktemp("exported")
    file = saved(folder / "a.pth", weights, to_yaml(CONFIG), SKELETON)
    return to_metadata(usage_of(load_trained(file, device="cpu")), "0.1")


@fuzzed(150)
def test_metadata_of_exports(facts: dict[str, str], rng: Random) -> None:
    key = rng.choice(list(facts))
    try:
        value = mutated(json.loads(facts[key]), rng)
    except ValueError:  # text
        value = mutated([facts[key]], rng)
    note(f"{key}: {value}")
    with contextlib.suppress(*OURS):
        from_metadata(facts | {key: dumps(value)}, "a.onnx")


@fuzzed(100)
def test_preparation_of_detectors(tmp_path: Path, rng: Random) -> None:
    file = tmp_path / "preprocessor_config.json"
    text = dumps(mutated(PREPARATION, rng))
    note(text)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(RunError):
        read_preparation(file)


def test_a_config_that_asks_for_a_huge_network(tmp_path: Path, weights: dict[str, Any]) -> None:
    options = {"width": 40_000}
    config = yaml.safe_load(to_yaml(CONFIG))
    config["model"] |= {"name": "hrnet", "options": options}
    file = saved(tmp_path / "a.pth", weights, yaml.safe_dump(config), SKELETON)
    with pytest.raises(CheckpointError, match=r"the network of model\.options has"):
        load_trained(file, device="cpu")
