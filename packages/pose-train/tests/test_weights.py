"""Weights by file, run directory and name, in every form, and the warp that goes with them."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pose_backbones import ZOO, CheckpointError, create_model
from pose_data import COCO, load_coco
from pose_data.opencv import cv2
from pose_train import ConfigError, load_config
from pose_train.__main__ import main
from pose_train.inference.load import load_trained
from pose_train.inference.weights import settle_warp, start_from_weights, weights_file

TINY = "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
OPTIONS: dict[str, Any] = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1)}
OPTIONS["num_blocks"] = 1


def content_of(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run_dir / "checkpoint_best.pth", weights_only=True)
    return content


@pytest.mark.parametrize("name", ["a.pth.tar", "a.ckpt", "A.PTH", "a.bin", "a", "a.safetensors"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_of_ours_under_any_name(
    run_dir: Path, tmp_path: Path, name: str, zipped: bool
) -> None:
    content = content_of(run_dir)
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
    trained = load_trained(tmp_path / name)
    assert trained.weights == tmp_path / name
    assert trained.skeleton == COCO
    assert trained.config == load_config(run_dir / "config.yaml", ["data.warp=cv2"])
    ours = trained.net.state_dict()
    assert all(torch.equal(ours[key], tensor) for key, tensor in content["state_dict"].items())


def test_weights_in_other_forms(run_dir: Path, tmp_path: Path) -> None:
    state = content_of(run_dir)["state_dict"]
    save_file(state, tmp_path / "safetensors.pth")
    torch.save({"network": {f"module.{n}": t for n, t in state.items()}}, tmp_path / "ddp.pth")
    averaged = {"state_dict": {n: 0 * t for n, t in state.items()}, "state_dict_ema": state}
    torch.save(averaged, tmp_path / "ema.ckpt")
    for file in sorted(tmp_path.iterdir()):
        trained = load_trained(run_dir / "config.yaml", weights=file)
        ours = trained.net.state_dict()
        assert all(torch.equal(ours[key], tensor) for key, tensor in state.items())
        assert any("state_dict_ema" in note for note in trained.notes) == (file.stem == "ema")


def test_what_is_no_checkpoint(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>")
    (tmp_path / "half.pth").write_bytes((run_dir / "checkpoint_best.pth").read_bytes()[:5000])
    torch.save({"state_dict": content_of(run_dir)["state_dict"]}, tmp_path / "bare.pth")
    mmpose = {"state_dict": content_of(run_dir)["state_dict"], "meta": {"cfg": "model = dict()"}}
    torch.save(mmpose, tmp_path / "mmpose.pth")
    for name, words in (
        ("page.pth", "it is a web page"),
        ("half.pth", "cut off"),
        ("bare.pth", "carries no config: name the preset"),
        ("mmpose.pth", f"init --from-mmpose {tmp_path / 'mmpose.pth'}"),
        ("none.pth", "no config file"),
    ):
        is_damaged = name in ("page.pth", "half.pth")
        assert main(["test", str(tmp_path / name)]) == (1 if is_damaged else 2)
        printed = capsys.readouterr().err
        assert words in printed
        assert printed.count("\n") == 1
        if is_damaged:
            assert main(["test", str(run_dir), "--weights", str(tmp_path / name)]) == 1
            assert words in capsys.readouterr().err


def test_a_run_directory_as_weights(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)  # on a terminal it would be fetched
    assert weights_file(run_dir) == run_dir / "checkpoint_best.pth"
    trained = load_trained(run_dir / "config.yaml", weights=run_dir)
    assert trained.weights == run_dir / "checkpoint_best.pth"
    shutil.copy(run_dir / "checkpoint_best.pth", tmp_path / "checkpoint_last.pth")
    assert weights_file(tmp_path) == tmp_path / "checkpoint_last.pth"
    (tmp_path / "checkpoint_last.pth").unlink()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        weights_file(tmp_path)
    with pytest.raises(CheckpointError, match=r"not in .*zoo fetch cpm_coco_256x192"):
        weights_file("cpm_coco_256x192")


def test_a_run_starts_from_a_run_directory_or_another_head(
    run_dir: Path, tmp_path: Path, drawn_data: Path
) -> None:
    def start(*overrides: str) -> tuple[torch.nn.Module, list[str]]:
        sizes = ("model.input_size=[64, 64]", "model.heatmap_size=[16, 16]")
        net = create_model("hrnet", num_keypoints=17, **OPTIONS)
        _, notes = start_from_weights(net, load_config("demo", [TINY, *sizes, *overrides]))
        return net, notes

    state = content_of(run_dir)["state_dict"]
    net, notes = start(f"model.weights={run_dir}")
    assert all(torch.equal(net.state_dict()[key], tensor) for key, tensor in state.items())
    assert f"{run_dir}: pose-backbones: 296 matched" in notes[0]

    other = create_model("higherhrnet", num_keypoints=17, **OPTIONS)
    torch.save(other.state_dict(), tmp_path / "higher.pth")
    with pytest.raises(CheckpointError, match=r"model\.reinit_head=true"):
        start(f"model.weights={tmp_path / 'higher.pth'}")
    net, _ = start(f"model.weights={tmp_path / 'higher.pth'}", "model.reinit_head=true")
    name = "backbone.conv1.weight"
    assert torch.equal(net.state_dict()[name], other.state_dict()[name])


def test_few_persons_for_a_large_network_from_scratch_are_noted(drawn_data: Path) -> None:
    file = drawn_data / "annotations/person_keypoints_train2017.json"
    persons = load_coco(file, drawn_data / "train2017")
    config = load_config("hrnet_w32_coco_256x192", ["data.root=x"])
    large, small = torch.nn.Linear(3000, 2000), torch.nn.Linear(30, 20)
    assert start_from_weights(large, config, persons)[1] == [
        f"note: {len(persons)} persons are few to train 6 million parameters from scratch, and AP "
        "may stay near 0: start from weights, model.weights=hrnet_w32_coco_256x192 "
        "model.reinit_head=true, or train a smaller network (`pose-train init --model "
        "hrnet_small`)"
    ]
    assert start_from_weights(small, config, persons)[1] == []
    assert start_from_weights(large, config)[1] == []


def test_the_warp_follows_from_the_weights(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = content_of(run_dir)["state_dict"]
    torch.save({"state_dict": state, "meta": {"mmengine_version": "0.10"}}, tmp_path / "mmpose.pth")
    official = {name.split(".", 1)[1]: tensor for name, tensor in state.items()}
    torch.save(official, tmp_path / "official.pth")
    torch.save(state, tmp_path / "ours.pth")
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    open_ = "data.warp=null"  # as in a config that does not name it
    for file, warp in (("mmpose", "opencv4"), ("official", "opencv4"), ("ours", "cv2")):
        trained = load_trained(
            run_dir / "config.yaml", weights=tmp_path / f"{file}.pth", overrides=[open_]
        )
        assert (trained.config.data.warp, trained.notes) == (warp, ())
    trained = load_trained(
        run_dir / "config.yaml", weights=tmp_path / "mmpose.pth", overrides=["data.warp=cv2"]
    )
    assert trained.config.data.warp == "cv2"  # what a config says stays so
    (note,) = trained.notes
    assert "data.warp is cv2" in note
    assert "opencv4" in note
    monkeypatch.setattr(cv2, "__version__", "4.11.0")  # where both are the same
    config = load_config(run_dir / "config.yaml", ["data.warp=cv2"])
    assert load_trained(run_dir / "config.yaml", weights=tmp_path / "mmpose.pth").notes == ()
    assert settle_warp(config, None) == (config, [])


def test_the_table_has_the_digits_that_are_asked_for(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", str(run_dir), "--digits", "5"]) == 0
    rows = dict(line.split() for line in capsys.readouterr().out.splitlines() if line[:2] == "AP")
    assert all(len(value.partition(".")[2]) == 5 for value in rows.values() if value != "-")
    with pytest.raises(SystemExit):
        main(["test", str(run_dir), "--digits", "0"])


def test_results_as_csv(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rows.json", "rows.CSV"):
        assert main(["test", str(run_dir), "--out", str(tmp_path / name)]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    with (tmp_path / "rows.CSV").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) > 0
    for line, row in zip(table, rows, strict=True):
        assert (int(line["image_id"]), int(line["category_id"])) == (row["image_id"], 1)
        assert float(line["score"]) == row["score"]
        assert [float(line[f"bbox_{side}"]) for side in "xywh"] == row["bbox"]
        assert float(line["left_eye_y"]) == row["keypoints"][4]
        assert float(line["right_ankle_score"]) == row["keypoints"][-1]
    capsys.readouterr()
    assert main(["test", str(run_dir), "--out", str(tmp_path / "rows.txt")]) == 2
    assert "rows are written as .json or .csv" in capsys.readouterr().err
    assert not (tmp_path / "rows.txt").exists()


@pytest.mark.parametrize("recipe", ["topdown", "bottomup"])
def test_maps_that_are_no_numbers_are_one_sentence(
    run_dir: Path, tmp_path: Path, drawn_data: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = content_of(run_dir)
    overrides = ["train.num_workers=0"]
    if recipe == "bottomup":
        net = create_model("higherhrnet", num_keypoints=17, **OPTIONS)
        content["state_dict"] = net.state_dict()
        overrides += ["recipe=bottomup", "model.name=higherhrnet", "model.heatmap_size=null"]
    for name, tensor in content["state_dict"].items():
        if name.endswith("bn2.weight"):
            tensor[:] = 1e30  # finite, and what they make is not
    torch.save(content, tmp_path / "diverged.pth")
    words = ["test", str(run_dir / "config.yaml"), "--weights", str(tmp_path / "diverged.pth")]
    assert main([*words, *overrides]) == 1
    assert "maps with NaN or infinite numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "row"),
    [("hrnet_w32", "hrnet_w32_coco_256x192"), ("higherhrnet_w32", "higherhrnet_w32_coco_512x512")],
)
def test_a_model_alone_is_its_row_of_the_zoo(
    name: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSE_OFFLINE", "1")
    monkeypatch.setenv("POSE_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=re.escape(ZOO[row].file)):
        load_trained(name)
    with pytest.raises(ConfigError, match="there is no config file or preset hrnet_w33"):
        load_trained("hrnet_w33")


def test_a_checkpoint_does_not_choose_the_annotations_that_are_read(
    run_dir: Path, drawn_data: Path, tmp_path: Path
) -> None:
    name = "annotations/person_keypoints_val2017.json"
    text = (drawn_data / name).read_text()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    (tmp_path / name).write_text(text.replace('"nose"', '"secret"'))
    content = torch.load(run_dir / "checkpoint_best.pth", weights_only=True)
    del content["skeleton"]
    content["config"] = content["config"].replace(str(drawn_data), str(tmp_path))
    torch.save(content, tmp_path / "strange.pth")
    assert load_trained(tmp_path / "strange.pth").skeleton.keypoints[0] == "nose"
