"""Configs: typed values, overrides, and one sentence for each mistake."""

from pathlib import Path

import pytest

from pose_train import ConfigError, load_config
from pose_train.config import to_yaml


def test_overrides_are_typed_like_the_file() -> None:
    config = load_config(
        "demo", ["train.lr=5e-4", "train.lr_steps=[3, 5]", "train.augment=null", "out=there"]
    )
    assert config.train.lr == 5e-4
    assert config.train.lr_steps == (3, 5)
    assert config.train.augment is None
    assert config.out == "there"


def test_resolved_config_reads_back_equal(tmp_path: Path) -> None:
    config = load_config("demo", ["train.lr=3e-4"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert load_config(file) == config


def test_default_run_directory_is_the_next_free_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("demo").out == "runs/demo-1"
    (tmp_path / "runs/demo-1").mkdir(parents=True)
    assert load_config("demo").out == "runs/demo-2"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key train.epoch; did you mean epochs"),
        ("trian.epochs=3", "unknown key trian; did you mean train"),
        ("train.epochs=many", "train.epochs must be of type int, got 'many'"),
        ("train.epochs=true", "train.epochs must be of type int, got True"),
        ("train.epochs=0", "train.epochs must be above 0, got 0"),
        ("train.lr=fast", "train.lr must be a finite number, got 'fast'"),
        ("train.lr=nan", "train.lr must be a finite number"),
        ("train.lr_steps=8", "train.lr_steps must be a list"),
        ("model.input_size=[96]", "model.input_size must have 2 values"),
        ("model.heatmap_size=[25, 32]", r"must divide model.input_size\[0\], which is 96"),
        ("codec.refine=half", "codec.refine must be one of quarter, dark, none"),
        ("data.root=folder", "either data.root .* or data.synthetic"),
        ("train=3", "train must be a section"),
        ("train.epochs", "must look like key.sub=value"),
        ("seed.x=3", "seed is not a section"),
    ],
)
def test_mistakes_name_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("demo", ["seed=0", override])


def test_missing_key(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("data: {root: x}\nmodel: {name: hrnet_w32}\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: train is missing"):
        load_config(file)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "\x00"])
def test_not_a_config(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(file)
