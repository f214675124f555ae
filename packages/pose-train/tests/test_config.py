"""Configs: typed values, overrides, and one sentence for each mistake."""

from pathlib import Path

import pytest

from pose_train import ConfigError, load_config
from pose_train.read_config import to_yaml


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
        ("train.optimizer=lion", "train.optimizer must be one of adam, adamw, sgd, got 'lion'"),
        ("train.amp=true", "train.amp must be one of off, bf16, fp16, got True"),
        ("train.ema=1.5", "train.ema is a decay between 0 and 1"),
        ("train.accumulate=0", "train.accumulate must be above 0, got 0"),
        ("train.base_batch_size=-1", "train.base_batch_size must be above 0, got -1"),
        ("train.freeze=backbone", "train.freeze must be a list"),
        ("checkpoints.minutes=-1", "checkpoints.minutes must not be below 0"),
        ("data.extra=[aic]", "data.extra must be a section with names as keys"),
        ("data.extra={aic: {rot: x}}", "unknown key data.extra.aic.rot; did you mean root"),
        ("data.extra={aic: {ratio: -1}}", "data.extra.aic.ratio must not be below 0"),
        ("data.extra={aic: {format: voc}}", "data.extra.aic.format must be one of coco, aic"),
        ("data.same={neck: []}", "data.same.neck must hold the one name"),
        ("data.same={neck: upper_neck}", "data.same.neck must be a list"),
        ("data.synthetic.people=[2, 1]", "data.synthetic.people: people must be in order"),
        ("eval.boxes=detections", "give data.detections.file"),
        ("eval.multi_scale=[]", "at least one factor"),
        ("eval.multi_scale=[1, 0]", r"eval.multi_scale\[1\] must be above 0"),
        ("model.heatmap_sizes=[[24, 32]]", "recipe topdown knows model.heatmap_size"),
        ("recipe=bottomup", "recipe bottomup knows model.heatmap_sizes"),
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


def test_base_names_a_preset_and_is_merged(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "base: demo\n"
        "data: {root: folder, synthetic: null, extra: {aic: {format: aic, root: b, ratio: 0.5}}}\n"
        "model: {name: hrnet_w32, options: {}}\n"
        "train: {augment: {rotate: 5}, amp: off}\n"
    )
    config, demo = load_config(file, ["data.extra.aic.ratio=2"]), load_config("demo")
    assert config.data.synthetic is None
    assert config.data.extra["aic"].format == "aic"
    assert config.data.extra["aic"].ratio == 2
    assert config.model.options == {}
    assert config.model.input_size == demo.model.input_size
    assert config.train.augment is not None
    assert config.train.augment.rotate == 5
    assert config.train.augment.flip_prob == 0  # of the demo
    assert config.train.amp == "off"
    assert config.codec == demo.codec
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(to_yaml(config))
    assert load_config(resolved) == config
    assert [c.preset for c in (config, demo, load_config(resolved))] == ["demo"] * 3


def test_an_unknown_base_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: dmeo\n")
    with pytest.raises(ConfigError, match=r"base must be a shipped preset.*did you mean demo"):
        load_config(file)
