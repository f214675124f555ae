"""Configs: typed values, overrides, and one sentence for each mistake."""

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pose_data import Blur, Colour, Erase, Noise
from pose_train import ConfigError, load_config, shipped_configs
from pose_train.config.load import parse_config, to_yaml
from pose_train.config.schema import Config


def test_overrides_are_typed_like_the_file() -> None:
    config = load_config(
        "demo", ["train.lr=5e-4", "train.lr_steps=[3, 5]", "train.augment=null", "out=there"]
    )
    assert config.train.lr == 5e-4
    assert config.train.lr_steps == (3, 5)
    assert config.train.augment is None
    assert config.out == "there"


def test_resolved_config_reads_back_equal(tmp_path: Path) -> None:
    config = load_config("demo", ["train.lr=3e-4", "data.flip_pairs=[[a l, a r], [左, 右]]"])
    assert config.data.flip_pairs == (("a l", "a r"), ("左", "右"))
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert load_config(file) == config


def test_pixels_change_only_where_a_config_says_so() -> None:
    for name in shipped_configs():
        train = load_config(name, ["data.root=there", "data.synthetic=null"]).train
        for augment in filter(None, (train.augment, train.scene)):
            changes = {augment.colour, augment.blur, augment.noise, augment.erase}
            assert changes == {None}, name
    settings = ["train.augment.colour.hue=[0, 0]", "train.augment.noise={}"]
    settings += ["train.scene.blur={sigma_limit: [1, 2], p: 1}", "train.scene.erase.fill=114"]
    config = load_config("demo", settings)
    assert config.train.augment is not None
    assert config.train.augment.colour == Colour(hue=(0, 0))
    assert config.train.augment.noise == Noise()
    assert config.train.scene.blur == Blur(sigma_limit=(1, 2), p=1)
    assert config.train.scene.erase == Erase(fill=114)
    assert parse_config(to_yaml(config), "resolved") == config


def test_another_network_leaves_the_weights_of_the_zoo_behind() -> None:
    row, other = "hrnet_w32_coco_aic_merge_256x192", "model.name=hrnet_w48"
    given = ["data.root=x", f"model.weights={row}"]
    assert load_config("hrnet_w32_coco_256x192", given).model.weights == row
    assert load_config("hrnet_w32_coco_256x192", [*given, other]).model.weights == row, "asked for"


def test_weights_that_a_file_names_go_with_their_network(tmp_path: Path) -> None:
    row, file = "hrnet_w32_coco_aic_merge_256x192", tmp_path / "my.yaml"
    file.write_text(f"base: hrnet_w32_coco_256x192\nmodel: {{weights: {row}}}\n")
    assert load_config(file, ["model.name=hrnet_w32"]).model.weights == row
    assert load_config(file, ["model.name=hrnet_w48"]).model.weights is None
    file.write_text("base: hrnet_w32_coco_256x192\nmodel: {weights: mine.pth}\n")
    assert load_config(file, ["model.name=hrnet_w48"]).model.weights == "mine.pth"


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
        ("train.epochs=0", "train.epochs must be at least 1, got 0"),
        ("data.sigmas={tail: 0}", "data.sigmas.tail must be above 0, got 0.0"),
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
        ("train.amp=true", "train.amp must be one of off, bf16, fp16, auto, got True"),
        ("train.ema=1.5", "train.ema must be above 0 and below 1, got 1.5"),
        ("train.accumulate=0", "train.accumulate must be at least 1, got 0"),
        ("train.base_batch_size=-1", "train.base_batch_size must be at least 1, got -1"),
        ("train.freeze=3", "train.freeze must be a list or a section, got 3"),
        ("train.freeze={backbone: x}", "train.freeze.backbone must be of type int, got 'x'"),
        ("train.freeze={backbone: 0}", "train.freeze.backbone must be at least 1, got 0"),
        ("train.lr_mult={backbone: 0}", "train.lr_mult.backbone must be above 0"),
        ("train.lr_mult=0.1", "train.lr_mult must be a section"),
        ("train.patience=0", "train.patience must be at least 1"),
        ("lr=0.1", r"unknown key lr; did you mean train\.lr\?"),
        ("checkpoints.minutes=-1", "checkpoints.minutes must be at least 0"),
        ("data.extra=[aic]", "data.extra must be a section with names as keys"),
        ("data.extra={aic: {rot: x}}", "unknown key data.extra.aic.rot; did you mean root"),
        ("data.extra={aic: {ratio: -1}}", "data.extra.aic.ratio must be at least 0"),
        ("data.extra={aic: {format: voc}}", "data.extra.aic.format must be one of coco, aic"),
        ("data.same={neck: []}", "data.same.neck must hold the one name"),
        ("data.same={neck: 3}", "data.same.neck must be a list"),
        ("data.synthetic.people=[2, 1]", "data.synthetic.people: people must be in order"),
        ("data.flip_pairs=[a, b]", r"data\.flip_pairs\[0\] must be a list, got 'a'"),
        ("data.flip_pairs=[[a]]", r"data\.flip_pairs\[0\] must have 2 values"),
        ("data.flip_pairs=[[1, 2]]", r"data\.flip_pairs\[0\]\[0\] must be of type str, got 1"),
        ("eval.boxes=detections", "give data.detections.file"),
        ("eval.multi_scale=[]", "at least one factor"),
        ("train.augment={scale: 1.5}", r"train\.augment\.scale must be from 0 to 0\.9, got 1\.5"),
        ("train.augment={flip_prob: 2}", r"train\.augment\.flip_prob must be from 0 to 1, got 2"),
        ("train.augment.color.p=1", r"unknown key train\.augment\.color; did you mean colour"),
        ("train.augment.erase.fill=a", r"train\.augment\.erase\.fill must be of type int, got 'a'"),
        (
            "train.augment.blur.blur_limit=[3, 4]",
            r"train\.augment\.blur\.blur_limit\[1\] must be odd",
        ),
        ("train.scene.noise.std_range=[0, 9]", r"train\.scene\.noise\.std_range\[1\] must be from"),
        ("train.augment.shift=-3", r"train\.augment\.shift must be from 0 to 1"),
        ("train.augment.rotate=-80", r"train\.augment\.rotate must be from 0 to 180"),
        ("train.scene.scale=[2, 1]", r"train\.scene\.scale must be in order"),
        ("train.scene.scale=[0, 1]", r"train\.scene\.scale\[0\] must be above 0"),
        ("eval.nms_threshold=5", r"eval\.nms_threshold must be from 0 to 1, got 5"),
        ("train.momentum=5", "train.momentum must be from 0 to 1"),
        ("train.weight_decay=100", "train.weight_decay must be from 0 to 1"),
        ("train.lr_steps=[-1]", r"train\.lr_steps\[0\] must be above 0"),
        ("train.lr_steps=[5, 3]", r"train\.lr_steps must be in order"),
        ("grouping.max_instances=0", "grouping.max_instances must be at least 1"),
        ("grouping.detection_threshold=9", "grouping.detection_threshold must be from 0 to 1"),
        ("loss.push=-1", "loss.push must be at least 0"),
        ("data.detections.per_image=0", "data.detections.per_image must be at least 1"),
        ("data.synthetic.num_train=0", "data.synthetic.num_train must be at least 1"),
        ("codec.sigma=0", "codec.sigma must be above 0"),
        ("seed=100000000000000000000", "seed must be from 0 to"),
        ("model.input_size=[-64, 64]", r"model\.input_size\[0\] must be at least 1"),
        ("model.options.in_channels=4", r"in_channels must be 3 \(RGB\) or 1 \(grey\), got 4"),
        ("data.bits=7", "data.bits must be from 8 to 16, got 7"),
        ("eval.multi_scale=[1, 0]", r"eval.multi_scale\[1\] must be above 0"),
        ("model.heatmap_sizes=[[24, 32]]", "recipe topdown knows model.heatmap_size"),
        ("recipe=bottomup", "recipe bottomup knows model.heatmap_sizes"),
    ],
)
def test_mistakes_name_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("demo", ["seed=0", override])


def test_without_evaluation(tmp_path: Path) -> None:
    """Tests and predictions then do as training did; every key can still be given."""
    config = load_config("demo", ["eval=null"])
    assert config.eval is None
    assert not config.chosen_eval.flip_test  # demo has no flips
    assert config.chosen_eval.batch_size == config.train.batch_size
    assert load_config("demo", ["eval=null", "train.augment.flip_prob=1"]).chosen_eval.flip_test
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert load_config(file) == config
    assert load_config(file, ["eval.every=4"]).chosen_eval.every == 4
    with pytest.raises(ConfigError, match=r"train\.patience is 3: it counts evaluations, and eval"):
        load_config("demo", ["eval=null", "train.patience=3"])


def test_frozen_layers_as_a_list_or_with_epochs(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text, value in (
        ("[backbone]", ("backbone",)),
        ("{backbone: 10, head: null}", {"backbone": 10, "head": None}),
    ):
        config = load_config("demo", [f"train.freeze={text}"])
        assert config.train.freeze == value
        file.write_text(to_yaml(config))
        assert load_config(file) == config


def test_an_empty_list_becomes_a_section_by_an_override(tmp_path: Path) -> None:
    """A resolved config holds `freeze: []`, where `train.freeze.NAME=` must still work."""
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(load_config("demo")))
    assert "freeze: []" in file.read_text()
    overrides = ["train.freeze.backbone=10", "train.freeze.head=null"]
    assert load_config(file, overrides).train.freeze == {"backbone": 10, "head": None}
    assert parse_config(file.read_text(), "x", overrides).train.freeze["backbone"] == 10
    with pytest.raises(ConfigError, match="freeze is not a section"):
        load_config(file, ["train.freeze=[backbone]", "train.freeze.head=10"])


def types_in(hint: Any) -> set[Any]:
    return {hint}.union(*map(types_in, typing.get_args(hint)))


def fields_of_numbers(cls: Any, path: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Yield the fields that hold numbers, by their keys, of a section and of those in it."""
    for field in dataclasses.fields(cls):
        kinds = types_in(typing.get_type_hints(cls)[field.name])
        for inside in filter(dataclasses.is_dataclass, kinds):
            yield from fields_of_numbers(inside, f"{path}{field.name}.")
        if kinds & {int, float}:
            yield f"{path}{field.name}", field


def test_every_number_of_a_config_has_its_range() -> None:
    # Checked by code of their own: a sigma may be -1 bottom-up, people are in order, and sizes
    # are compared with those of the network.
    # Categories are ids or names, those of the file.
    others = {"codec.sigma", "data.synthetic.people", "model.heatmap_sizes", "data.categories"}
    found = dict(fields_of_numbers(Config))
    assert {"train.augment.flip_prob", "data.extra.ratio", "seed", "eval.multi_scale"} <= set(found)
    assert {key for key, field in found.items() if not field.metadata} == others


def test_missing_key(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("data: {root: x}\nmodel: {name: hrnet_w32}\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: train is missing"):
        load_config(file)


@pytest.mark.parametrize(
    "text",
    [
        *("a: [1", "- 1\n- 2\n", "\x00", "a: 2026-99-99", "a: " + "9" * 5000, "#" * 200_001),
        "a: !!python/object/apply:os.system [touch ran]",
        "data: {root: " + "x" * 5000 + "}",
        "base: demo\ntrain: {lr: 1" + "0" * 400 + "}",
    ],
)
def test_not_a_config(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(file)


def test_a_few_lines_cannot_stand_for_billions_of_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for text in ("\n".join([*lines, "seed: *a11"]), "seed: &a [*a]", "model: &m {options: *m}"):
        with pytest.raises(ConfigError, match=r"x: its aliases .* stand for too many values, or"):
            parse_config(text, "x")
    with pytest.raises(ConfigError, match="x is nested too deeply"):
        parse_config("seed: " + "[" * 50000, "x")


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


def test_paths_are_those_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold from any folder, in the run directory too; what is not there stays as written."""
    project = tmp_path / "project"
    (project / "coco").mkdir(parents=True)
    (tmp_path / "coco").mkdir()
    (project / "net.pth").touch()
    file = project / "mine.yaml"
    file.write_text(
        "base: demo\nmodel: {weights: net.pth}\n"
        "data: {root: coco, synthetic: null, extra: {aic: {root: aic}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config(file)
    assert config.data.root == str(project / "coco")
    assert config.model.weights == str(project / "net.pth")
    assert config.data.extra["aic"].root == "aic"
    assert load_config(file, ["data.root=coco"]).data.root == str(tmp_path / "coco")
    monkeypatch.setenv("HOME", str(project))
    assert load_config(file, ["data.root=~/coco"]).data.root == str(project / "coco")
    assert load_config(file, ["train.freeze=backbone"]).train.freeze == ("backbone",)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no config file or preset dmeo; did you mean demo\?"):
        load_config("dmeo")


def test_an_unknown_base_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: dmeo\n")
    with pytest.raises(ConfigError, match=r"base must be a shipped preset.*did you mean demo"):
        load_config(file)
