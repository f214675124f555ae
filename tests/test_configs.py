"""Every shipped preset parses, says how to launch it, fits its network, and stays short."""

from pathlib import Path

import pytest
import torch

from pose_backbones import ZOO, create_model
from pose_train import load_config, shipped_configs
from pose_train.inference.load import published_skeleton

PRESETS = shipped_configs()
DEMOS = ("demo_hourglass", "demo_hrnet", "demo_cpm", "demo_higherhrnet")  # one for each family


def test_there_is_one_for_each_row_of_the_zoo() -> None:
    assert {"demo", "coco_mini", *DEMOS, *ZOO} <= set(PRESETS)
    plain = {f"hrnet_w{w}_coco_{size}" for w in (32, 48) for size in ("256x192", "384x288")}
    assert plain <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_preset(name: str) -> None:
    text = PRESETS[name].read_text(encoding="utf-8")
    assert text.startswith(f"# pose-train run {name}"), "it opens with the command"
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 101
    is_complete = any(words in text for words in ("synthetic:", "root: data", "base: demo"))
    config = load_config(name, [] if is_complete else ["data.root=folder"])
    model, keypoints = config.model, published_skeleton(config.data)
    w, h = model.input_size
    with torch.device("meta"):  # shapes alone: no weights are drawn, nothing is computed
        net = create_model(model.name, num_keypoints=keypoints.num_keypoints, **model.options)
        output = net.eval()(torch.zeros(1, 3, h, w))
    sizes = [tuple(maps.shape[:0:-1]) for maps in output.heatmaps]
    if config.recipe == "topdown":
        assert not output.tags
        if model.heatmap_size is not None:
            assert sizes[-1] == (*model.heatmap_size, keypoints.num_keypoints)
    else:
        assert output.tags
        assert sizes == [(*size, keypoints.num_keypoints) for size in model.heatmap_sizes]


@pytest.mark.parametrize("name", ["demo", *DEMOS])
def test_demo_makes_its_own_pictures_and_never_mirrors_them(name: str) -> None:
    config = load_config(name)
    assert config.data.synthetic is not None
    # Left and right of drawn people differ by colour: a mirrored one would teach the opposite.
    assert not config.eval.flip_test
    if config.recipe == "bottomup":
        assert config.train.scene.flip_prob == 0
    else:
        assert config.train.augment is not None
        assert config.train.augment.flip_prob == 0


@pytest.mark.parametrize("name", ZOO)
def test_preset_of_the_zoo(name: str) -> None:
    config, row = load_config(name), ZOO[name]
    assert (config.model.name, config.model.input_size) == (row.model, row.input_size)
    assert published_skeleton(config.data).num_keypoints == row.num_keypoints
    assert config.eval.flip_test
    if config.recipe == "topdown":
        assert config.eval.boxes == "detections"
        assert config.eval.nms == "oks"
    text = PRESETS[name].read_text(encoding="utf-8")
    for stats in (row.stats, row.stats_multi_scale or {}):
        assert all(f"{stats[name]:.3f}" in text for name in ("AP", "AR") if stats)


def test_a_missing_preset_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="demo"):
        load_config(tmp_path / "nothing.yaml")
