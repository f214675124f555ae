"""What every command takes: --quiet, --verbose; and --json, one object for programs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pose_backbones import ZOO
from pose_train import load_config, shipped_configs
from pose_train.__main__ import main
from pose_train.commands import zoo
from pose_train.training import suite
from pose_train.words import are_notes_shown

SMALL = [
    "data.synthetic=null",
    "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    *("model.input_size=[64, 64]", "model.heatmap_size=[16, 16]"),
    *("train.num_workers=0", "train.num_threads=1", "train.batch_size=2"),
]
ANNOTATIONS = "annotations/person_keypoints_val2017.json"


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    """Return the lines that a command puts on stdout and stderr."""
    capsys.readouterr()
    assert main(words) == 0
    shown = capsys.readouterr()
    return shown.out.splitlines(), shown.err.splitlines()


def test_quiet_test_prints_the_numbers_alone(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud, _ = printed(["test", str(run_dir)], capsys)
    quiet, errors = printed(["test", str(run_dir), "--quiet"], capsys)
    assert quiet[0].split() == ["ours"]
    assert len(quiet) == 11
    assert errors == []
    assert loud[-11:] == quiet
    assert loud[0].startswith("1 thread") or "threads" in loud[0]
    assert are_notes_shown(), "the level of the log is as it was"


def test_quiet_run_prints_what_came_of_it(
    drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "demo", *SMALL, f"data.root={drawn_data}", f"out={tmp_path / 'run'}"]
    words += ["train.epochs=1", "train.lr_steps=[]"]
    lines, errors = printed([*words, "-q"], capsys)
    assert errors == []
    assert len(lines) == 11
    assert lines[-1].startswith("AP ")
    again, _ = printed(["resume", str(tmp_path / "run"), "train.epochs=2", "-q"], capsys)
    assert len(again) == 11
    loud, errors = printed(["resume", str(tmp_path / "run"), "train.epochs=3"], capsys)
    assert any("epoch 3/3" in line for line in loud)
    assert any("to use it on an image" in line for line in errors)


def test_quiet_prediction(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(run_dir), str(drawn_data / "val2017"), "--out", str(tmp_path / "out")]
    loud, errors = printed(words, capsys)
    assert any(line.startswith("weights: ") for line in errors)
    assert printed([*words, "-q"], capsys) == (loud, [])


def test_verbose(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, log = printed(["test", str(run_dir), "-v"], capsys)
    assert any(" pose_train: " in line and str(run_dir) in line for line in log)
    assert any(" pose_data: " in line and ANNOTATIONS in line for line in log)
    assert printed(["test", str(run_dir)], capsys)[1] == []
    assert main(["test", "gone", "-v"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].startswith("pose-train: error: ")
    assert main(["test", "gone"]) == 2
    assert capsys.readouterr().err == lines[-1] + "\n"


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads("\n".join(printed([*words, "--json"], capsys)[0]))


def test_json_of_test(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    found = answer(["test", str(run_dir), "--out", str(out), "--digits", "8"], capsys)
    lines, _ = printed(["test", str(run_dir), "--digits", "8", "-q"], capsys)
    shown = dict(line.split() for line in lines[1:])
    assert shown == {n: "-" if v is None else f"{v:.8f}" for n, v in found["stats"].items()}
    assert found["rows"] == len(json.loads(out.read_text()))
    assert found["weights"] == str(run_dir / "checkpoint_best.pth")
    assert found["annotations"] == str(drawn_data / ANNOTATIONS)
    assert (found["images"], found["published"], found["out"]) == (4, None, str(out))


def test_json_of_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(["configs"], capsys) == {"configs": list(shipped_configs())}
    weights = answer(["zoo"], capsys)["weights"]
    assert list(weights) == list(ZOO)
    assert weights["cpm_coco_256x192"]["stats"] == dict(ZOO["cpm_coco_256x192"].stats)
    file = tmp_path / "cpm.pth"
    monkeypatch.setattr("pose_backbones.find_weights", lambda name, **options: file)
    found = answer(["zoo", "fetch", "cpm_coco_256x192"], capsys)
    assert found == {"files": {"cpm_coco_256x192": str(file)}}
    assert zoo.DETECTIONS not in ZOO


def test_json_of_a_check(
    drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "demo", *SMALL, f"data.root={drawn_data}", "--out", str(tmp_path / "b.png")]
    words += ["train.epochs=7", "train.lr_steps=[5]", f"data.val.annotations={TRAIN}"]
    words += ["data.val.images=train2017"]
    found = answer(words, capsys)
    persons = len(json.loads((drawn_data / TRAIN).read_text())["annotations"])
    assert (found["train"], found["evaluate"], found["epochs"]) == (persons, persons, 7)
    assert found["keypoints"][0] == "nose"
    assert found["memory_bytes"] > 16 * found["parameters"] > 0
    assert Path(found["out"]).is_file()
    (note,) = found["notes"]
    loud, _ = printed(words, capsys)
    quiet, _ = printed([*words, "-q"], capsys)
    assert f"note: {note}" in loud
    assert f"note: {note}" not in quiet
    assert f"{persons} persons to train on, {persons} to evaluate" in quiet


TRAIN = "annotations/person_keypoints_train2017.json"


def test_json_of_speeds(
    drawn_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["bench", "demo", *SMALL, f"data.root={drawn_data}", "--seconds", "0.05"]
    found = answer(words, capsys)
    assert sorted(found["images_per_second"]) == ["both", "loader", "step"]
    assert found["bottleneck"] in ("loader", "step")
    assert found["processes"] == 1

    def measured(seconds: float, out: Path, parity: Path | None) -> suite.Suite:
        print("a line that is no result")
        return suite.Suite({"Step": [{"network": "demo"}]}, "page", out / "page.md")

    monkeypatch.setattr(suite, "suite", measured)
    found = answer(["bench", "--suite", "gpu", "--out", str(tmp_path)], capsys)
    assert found == {"file": str(tmp_path / "page.md"), "tables": {"Step": [{"network": "demo"}]}}


def test_doctor_prints_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)["python"] == sys.version.split()[0]


def test_a_bar_is_hidden_on_a_terminal_too(
    run_dir: Path,
    drawn_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """tqdm shows bars where stderr is a terminal."""
    words = ["predict", str(run_dir), str(drawn_data / "val2017"), "--out", str(tmp_path / "out")]
    capsys.readouterr()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main([*words, "--whole-image"]) == 0
    assert "file/s" in capsys.readouterr().err
    assert main([*words, "--whole-image", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["test", str(run_dir), "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert load_config(str(run_dir / "config.yaml")).out == str(run_dir)
