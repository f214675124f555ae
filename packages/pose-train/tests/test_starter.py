"""`pose-train init`: a file of one's own in, a config that loads out."""

import json
from pathlib import Path
from typing import Any

import pytest

from pose_data import synthesize
from pose_data.synthesize import custom_skeleton
from pose_train import load_config
from pose_train.config import ConfigError
from pose_train.starter import starter_config


@pytest.fixture(scope="module", params=[5, 9])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own") / "data"
    skeleton = custom_skeleton(request.param)
    return synthesize(out, num_train=3, num_val=2, image_size=(96, 72), skeleton=skeleton)


def written(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    return load_config(path)


def test_two_sets(own: Path, tmp_path: Path) -> None:
    train, val = (own / f"annotations/person_keypoints_{s}2017.json" for s in ("train", "val"))
    text = starter_config(train, val=val)
    config = written(tmp_path, text)
    assert config.recipe == "topdown"
    assert config.data.root == str(own.resolve())
    assert config.data.train.images == "train2017"
    assert config.data.val.annotations == "annotations/person_keypoints_val2017.json"
    names = json.loads(train.read_text())["categories"][0]["keypoints"]
    comment = " ".join(text.replace("#  ", "").split())
    assert f"{len(names)} keypoints: {', '.join(names)}." in comment
    assert "left_shoulder <-> right_shoulder" in comment
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 100 + len(str(own))


@pytest.mark.parametrize(
    ("model", "recipe", "sizes"),
    [
        ("hourglass52", "topdown", (64, 64)),
        ("cpm", "topdown", (24, 32)),
        ("higherhrnet_w32", "bottomup", ((128, 128), (256, 256))),
    ],
)
def test_every_family(own: Path, tmp_path: Path, model: str, recipe: str, sizes: Any) -> None:
    text = starter_config(own / "annotations/person_keypoints_train2017.json", model=model)
    config = written(tmp_path, text)
    assert config.recipe == recipe
    if model == "cpm":  # its shape follows the persons', which are drawn
        assert config.model.heatmap_size is not None
        assert [side * 8 for side in config.model.heatmap_size] == list(config.model.input_size)
    else:
        assert (config.model.heatmap_size or config.model.heatmap_sizes) == sizes
    assert "Nothing is kept aside" in text
    assert config.data.val == config.data.train


def test_keypoints_without_sides_are_not_flipped(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    content = {
        "images": [{"id": 1, "file_name": "x.jpg", "width": 50, "height": 50}],
        "categories": [{"id": 1, "name": "snake", "keypoints": ["head", "middle", "tail"]}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [1, 1, 30, 20],
                "keypoints": [2, 2, 2, 9, 9, 2, 20, 20, 2],
            }
        ],
    }
    path = tmp_path / "snakes.json"
    path.write_text(json.dumps(content))
    config = written(tmp_path, starter_config(path))
    assert not config.eval.flip_test
    assert config.train.augment.flip_prob == 0.0
    assert config.model.input_size == (256, 192)


def test_mistakes_are_named(own: Path, tmp_path: Path) -> None:
    file = own / "annotations/person_keypoints_train2017.json"
    with pytest.raises(ConfigError, match="--model resnet: there are cpm, "):
        starter_config(file, model="resnet")
    with pytest.raises(ConfigError, match="multiples of 64, got 100 100"):
        starter_config(file, input_size=(100, 100))
    lonely = tmp_path / "lonely.json"
    lonely.write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match=r"none of the usual places.*give --images"):
        starter_config(lonely)
    lonely.write_text("[]")
    with pytest.raises(ConfigError, match="no COCO annotation file"):
        starter_config(lonely)
