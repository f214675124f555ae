"""Tests train tiny networks, whose threads would only wait for each other."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from pose_backbones import create_model
from pose_data import COCO, synthesize
from pose_train.read_config import load_config, to_yaml

TINY = "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the commands, which would choose
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn dataset that the tests may read but not change."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    return synthesize(out, num_train=2, num_val=4, image_size=(128, 96), seed=1)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, drawn_data: Path) -> Path:
    """What a run leaves behind: config.yaml and a checkpoint, of a network as it was drawn."""
    out = tmp_path_factory.mktemp("runs") / "run"
    out.mkdir()
    config = load_config(
        "demo",
        [
            *(TINY, "model.input_size=[64, 64]", "model.heatmap_size=[16, 16]"),
            *(f"data.root={drawn_data}", "data.synthetic=null", f"out={out}"),
            *("eval.flip_test=true", "train.num_workers=0"),
        ],
    )
    torch.manual_seed(3)
    net = create_model(config.model.name, num_keypoints=17, **config.model.options)
    content = {
        "state_dict": net.state_dict(),
        "config": to_yaml(config),
        "skeleton": dataclasses.asdict(COCO),
    }
    torch.save(content, out / "checkpoint_best.pth")
    (out / "config.yaml").write_text(to_yaml(config))
    return out
