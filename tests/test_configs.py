"""Every shipped preset parses, says how to launch it, builds its network, and stays short."""

from pathlib import Path

import pytest

from pose_backbones import create_model
from pose_train import load_config, shipped_configs

PRESETS = shipped_configs()


def test_there_are_presets() -> None:
    assert {"demo", "coco_mini"} <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_preset(name: str) -> None:
    text = PRESETS[name].read_text(encoding="utf-8")
    assert text.startswith(f"# pose-train run {name}"), "it opens with the command"
    assert len(text.splitlines()) < 60
    needs_root = "synthetic" not in text
    config = load_config(name, ["data.root=folder"] if needs_root else [])
    net = create_model(config.model.name, num_keypoints=17, **config.model.options)
    assert sum(p.numel() for p in net.parameters()) > 0


def test_a_missing_preset_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="demo"):
        load_config(tmp_path / "nothing.yaml")
