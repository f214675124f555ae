"""The commands for trained networks, as they are typed."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from pose_backbones import ZOO
from pose_data import COCO
from pose_eval import evaluate
from pose_train.__main__ import main
from pose_train.config.load import load_config
from pose_train.recipes.data import PUBLISHED_DETECTIONS
from pose_train.report import beside_published, departures, published_row


def test_test(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert main(["test", str(run_dir), "--out", str(out), "--batch-size", "3"]) == 0
    printed = capsys.readouterr().out
    annotations = drawn_data / "annotations/person_keypoints_val2017.json"
    assert f"{run_dir / 'checkpoint_best.pth'} on {annotations}: 4 images" in printed
    stats = evaluate(out, annotations).stats
    for name, value in stats.items():
        assert f"{name:6}{'-' if value is None else f'{value:.3f}':>7}" in printed.splitlines()
    rows = json.loads(out.read_text())
    again = tmp_path / "again.json"
    arguments = ["--weights", str(run_dir / "checkpoint_best.pth"), "--out", str(again)]
    # With other batches a score may differ in its last bit.
    arguments += ["--batch-size", "3"]
    assert main(["test", str(run_dir / "config.yaml"), *arguments]) == 0
    assert json.loads(again.read_text()) == rows


def test_test_with_detections(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = drawn_data / "annotations/person_keypoints_val2017.json"
    image_id = json.loads(annotations.read_text())["images"][0]["id"]
    boxes = [
        {"image_id": image_id, "category_id": 1, "bbox": [5, 5, 60, 80], "score": score}
        for score in (0.9, 0.1)
    ]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(boxes))
    settings = ["eval.boxes=detections", f"data.detections.file={file}"]
    out = tmp_path / "results.json"
    assert main(["test", str(run_dir), *settings, "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())  # of two equal poses NMS keeps the better
    assert row["bbox"] == [5, 5, 60, 80]
    assert main(["test", str(run_dir), *settings, "eval.nms=none", "--out", str(out)]) == 0
    assert len(json.loads(out.read_text())) == 2


def test_published_numbers_stand_beside_ours() -> None:
    preset = "higherhrnet_w32_coco_512x512"
    stats = {"AP": 0.5, "AP50": None, "APM": 0.4, "AR": 0.25}
    lines = beside_published(stats, published_row(load_config(preset), COCO)).splitlines()
    ap, ap50 = (ZOO[preset].stats[name] for name in ("AP", "AP50"))
    assert lines[0].split() == ["ours", "published", "difference"]
    assert lines[1].split() == ["AP", "0.500", f"{ap:.3f}", f"{0.5 - ap:+.3f}"]
    assert lines[2].split() == ["AP50", "-", f"{ap50:.3f}"]
    assert lines[3].split() == ["APM", "0.400"]
    several = load_config(preset, ["eval.multi_scale=[0.5, 1, 2]"])
    multi_scale = published_row(several, COCO)
    assert multi_scale is not None
    multi = beside_published(stats, multi_scale).splitlines()
    ar = multi_scale["AR"]
    assert multi[4].split() == ["AR", "0.250", f"{ar:.3f}", f"{0.25 - ar:+.3f}"]
    assert "published" not in beside_published(stats, None)


def test_a_test_that_is_not_the_published_one_says_so(tmp_path: Path) -> None:
    preset = "cpm_coco_256x192"
    file = tmp_path / ZOO[preset].file
    file.write_bytes(b"another")
    (other,) = departures(load_config(preset, ["eval.batch_size=3"]), file)
    digest = hashlib.sha256(b"another").hexdigest()[:8]
    assert other.endswith(f"starts with {digest}, that of the published one with aa4ba095")
    changes = ["eval.flip_test=false", "eval.boxes=gt", "codec.refine=dark"]
    changed, _ = departures(load_config(preset, changes), file)
    assert changed.startswith("not the published test: ")
    assert set(changed.partition(": ")[2].split(", ")) == {
        "eval.flip_test=False",
        "eval.boxes=gt",
        "codec.refine=dark",
    }
    for boxes, count in (("elsewhere/boxes.json", 2), (f"elsewhere/{PUBLISHED_DETECTIONS}", 1)):
        config = load_config(preset, [f"data.detections.file={boxes}"])
        assert len(departures(config, file)) == count
    preset = "higherhrnet_w32_coco_512x512"
    several = load_config(preset, ["eval.multi_scale=[2, 1, 0.5]"])
    assert [note[:22] for note in departures(several, file)] == ["not the published file"]
    changed, _ = departures(load_config(preset, ["eval.multi_scale=[2, 1]"]), file)
    assert changed == "not the published test: eval.multi_scale=(2.0, 1.0)"


def test_a_file_of_a_backbone_is_not_tested(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its head would be a random one."""
    state = torch.load(run_dir / "checkpoint_best.pth", weights_only=True)["state_dict"]
    backbone = {n.removeprefix("backbone."): t for n, t in state.items() if "head" not in n}
    torch.save(backbone, tmp_path / "backbone.pth")
    assert main(["test", str(run_dir), "--weights", str(tmp_path / "backbone.pth")]) == 1
    assert "it lacks head.final_layer.weight and 1 more" in capsys.readouterr().err


def test_test_without_the_published_detections(
    run_dir: Path, drawn_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
    assert (
        main(["test", str(run_dir), "eval.boxes=detections", f"data.detections.file={wanted}"]) == 2
    )
    error = capsys.readouterr().err
    assert f"{drawn_data / wanted} does not exist" in error
    assert "authors of HRNet" in error
    assert "eval.boxes=gt" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["--flop", "3"], ["--flop=3"]], ids=" ".join)
def test_words_that_are_no_arguments(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["test", "demo", "--workers", "0", *words])
    assert left.value.code == 2
    assert f"unrecognized arguments: {words[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["eval.batch_size"], ["a", "b"]], ids=" ".join)
def test_words_that_are_no_overrides(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "demo", "--workers", "0", *words]) == 2
    assert f"override {words[0]!r} must look like key.sub=value" in capsys.readouterr().err


def test_a_preset_whose_weights_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSE_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["test", "cpm_coco_256x192"]) == 1
    error = capsys.readouterr().err
    assert f"{ZOO['cpm_coco_256x192'].file} is not in {tmp_path}" in error
    assert "`pose-train zoo fetch cpm_coco_256x192`" in error
    assert "--weights FILE" in error
    assert error.count("\n") == 1


def test_names_that_are_not_in_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is fetched before all names are known."""
    assert main(["zoo", "fetch", "cpm_coco_256x192", "cpm_coco_256x193"]) == 2
    assert "did you mean cpm_coco_256x192" in capsys.readouterr().err


def test_predict(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = str(drawn_data / "val2017")
    assert main(["predict", str(run_dir), pictures, "--out", str(tmp_path / "out")]) == 0
    assert "4 people in 4 images" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())) == 4
    (tmp_path / "bad.jpg").write_bytes(b"")
    bad = str(tmp_path / "bad.jpg")
    assert main(["predict", str(run_dir), bad, "--out", str(tmp_path / "out")]) == 1
    assert "bad.jpg is empty" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test", "demo_hrnet"], "a config without weights"),
        (["test", "RUN", "--data-root", "nowhere"], "data.root nowhere does not exist"),
        (["test", "RUN", "eval.boxs=gt"], "unknown key eval.boxs; did you mean boxes?"),
        (["test", "RUN", "--multi-scale"], "--multi-scale is for bottom-up networks"),
        (["test", "RUN", "--weights", "gone.pth"], "gone.pth: there is no such file"),
        (["predict", "RUN", "gone.jpg", "--out", "out"], "gone.jpg does not exist"),
        (["predict", "RUN", ".", "--out", "out"], ". holds no images"),
        (["predict", "RUN", ".", "--out", "x.jpg"], "--out x.jpg must be a folder"),
        (["predict", "gone", ".", "--out", "out"], "holds no images"),
        (["predict", "RUN", ".", "--out", "x", "--batch-size", "0"], "--batch-size must be at"),
        (["predict", "RUN", ".", "--out", "x", "--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    message: str,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main([str(run_dir) if word == "RUN" else word for word in arguments])
    assert code == (1 if "gone.pth" in arguments else 2)  # a file that fails, usage
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
