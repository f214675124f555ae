"""A dataset of one's own, with keypoints of its own: trained and used without writing Python."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_data.__main__ import main as pose_data
from pose_train.__main__ import main as pose_train

SMALL = [
    "model.name=hrnet",
    "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[64, 64]",
    "model.heatmap_size=[16, 16]",
    "train.epochs=1",
    "train.num_workers=0",
]


def test_nine_keypoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    drawn = ["--train", "6", "--val", "3", "--size", "128x96", "--keypoints", "9"]
    assert pose_data(["synth", str(data), *drawn]) == 0
    train, val = (
        str(data / f"annotations/person_keypoints_{split}2017.json") for split in ("train", "val")
    )
    capsys.readouterr()
    assert pose_train(["init", train, "--val", val]) == 0
    config = tmp_path / "my.yaml"
    config.write_text(capsys.readouterr().out)
    names = json.loads(Path(train).read_text())["categories"][0]["keypoints"]
    assert len(names) == 9

    picture = str(tmp_path / "batch.png")
    assert pose_train(["check", str(config), *SMALL, "--out", picture]) == 0
    assert f"9 keypoints: {', '.join(names)}" in capsys.readouterr().out
    assert pose_train(["run", str(config), f"out={run}", *SMALL]) == 0
    assert (run / "report.html").is_file()
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["AP"] is not None
    trained_rows = json.loads((run / "results.json").read_text())

    results = tmp_path / "results.json"
    assert pose_train(["test", str(run), "--out", str(results)]) == 0
    for ours, theirs in zip(json.loads(results.read_text()), trained_rows, strict=True):
        assert ours["keypoints"] == pytest.approx(theirs["keypoints"], abs=1e-3)

    # Away from its data, the checkpoint still knows its keypoints.
    data.rename(tmp_path / "moved")
    pictures, out = str(tmp_path / "moved" / "val2017"), tmp_path / "out"
    assert (
        pose_train(["predict", str(run / "checkpoint_last.pth"), pictures, "--out", str(out)]) == 0
    )
    rows = json.loads((out / "predictions.json").read_text())
    assert len(rows) == 3
    assert all(np.array(row["keypoints"]).reshape(9, 3).shape == (9, 3) for row in rows)
    assert cv2.imread(str(out / rows[0]["file_name"])).shape == (96, 128, 3)
