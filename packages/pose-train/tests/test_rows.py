"""predictions.json and predictions.csv, from the first row to the last, and to neither."""

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import COCO
from pose_train import Predictor
from pose_train.files.inputs import find_inputs
from pose_train.files.write import RunDirError
from pose_train.inference.people import CSV_COLUMNS, People
from pose_train.inference.predict import predict_inputs
from pose_train.inference.rows import add_people, row_writer

PEOPLE = People(
    np.arange(68, dtype=np.float32).reshape(2, 17, 2),
    np.full((2, 17), 0.1, np.float32),
    np.array([0.75, 0.5], np.float32),
    np.array([[10, 20, 40, 80], [0, 0, 90, 90]], np.float32),
    COCO,
)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_both_files_hold_the_same(tmp_path: Path) -> None:
    odd = b"caf\xe9, 2.jpg".decode(errors="surrogateescape")  # a name that is no UTF-8
    with row_writer(tmp_path / "predictions.json", 3, csv=True) as writer:
        add_people(writer, PEOPLE, 7, {"file_name": odd})
        add_people(writer, PEOPLE, 8, {"file_name": "walk.mp4", "frame": 0, "time": 0.04})
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "predictions.csv",
        "predictions.json",
    ]
    rows = json.loads((tmp_path / "predictions.json").read_text())
    assert [row["image_id"] for row in rows] == [7, 7, 8, 8]
    assert rows[3].items() >= {"category_id": 3, "frame": 0, "time": 0.04}.items()
    lines = read_table(tmp_path / "predictions.csv")
    assert len(lines) == 4 * 17
    assert list(lines[17].values()) == [odd, "", "", "1", "nose", "34.0", "35.0", "0.1"]
    assert list(lines[-1].values())[:5] == ["walk.mp4", "0", "0.04", "1", "right_ankle"]
    for number, row in enumerate(rows):
        own = lines[17 * number : 17 * number + 17]
        found = [float(line[key]) for line in own for key in ("x", "y", "score")]
        assert np.array_equal(np.float32(found), np.float32(row["keypoints"]))


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    with row_writer(tmp_path / "predictions.json", csv=True):
        pass
    assert (tmp_path / "predictions.csv").read_text() == ",".join(CSV_COLUMNS) + "\n"
    assert json.loads((tmp_path / "predictions.json").read_text()) == []


def test_an_interruption_leaves_both_as_far_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "predictions.csv").write_text("earlier")

    def write(people: list[People]) -> None:
        with row_writer(tmp_path / "predictions.json", csv=True) as writer:
            for each in people:
                add_people(writer, each, 1, {"file_name": "a.jpg"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write([])
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]
    with pytest.raises(KeyboardInterrupt):
        write([PEOPLE])
    assert (tmp_path / "predictions.csv").read_text() == "earlier"
    assert len(json.loads((tmp_path / "predictions.partial.json").read_text())) == 2
    assert len(read_table(tmp_path / "predictions.partial.csv")) == 34
    assert "34 rows so far: " in capsys.readouterr().err


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "predictions.partial.csv").mkdir()
    with (
        pytest.raises(RunDirError, match=r"cannot write .*predictions\.csv: Is a directory"),
        row_writer(tmp_path / "predictions.json", csv=True),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.partial.csv"]


@pytest.mark.parametrize("wanted", [True, False])
def test_predict_writes_it_where_asked(run_dir: Path, tmp_path: Path, wanted: bool) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 30, 3), np.uint8))
    inputs = find_inputs([str(tmp_path / "a.png")])
    predict_inputs(Predictor(run_dir), inputs, tmp_path / "out", csv=wanted, draw=False)
    assert (tmp_path / "out/predictions.csv").exists() == wanted
    if wanted:
        lines: list[Any] = read_table(tmp_path / "out/predictions.csv")
        assert [line["keypoint"] for line in lines] == list(COCO.keypoints)
        assert {line["image"] for line in lines} == {"a.png"}
