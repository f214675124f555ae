"""What every command takes: --quiet, --verbose; and --json, one object for programs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pose_data import load_coco
from pose_data.__main__ import main
from pose_data.formats import coco

# pycocotools 2.0.11 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PACKING = ["--input-size", "48x64", "--workers", "1"]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with people.json, without `area`, and its images; the current one."""
    assert (
        main(["synth", str(tmp_path / "d"), "--train", "3", "--val", "1", "--size", "96x64"]) == 0
    )
    content = json.loads((tmp_path / "d/annotations/person_keypoints_train2017.json").read_text())
    for row in content["annotations"]:
        del row["area"]
    (tmp_path / "people.json").write_text(json.dumps(content))
    (tmp_path / "d/train2017").rename(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    coco._log_once.cache_clear()
    return tmp_path


def test_quiet(
    people: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without it there are notices and lines of progress; results are the same."""
    capsys.readouterr()
    assert main(["stats", "people.json", "--quiet"]) == 0
    result = capsys.readouterr().out
    assert not caplog.records
    coco._log_once.cache_clear()
    assert main(["stats", "people.json"]) == 0
    assert capsys.readouterr().out == result
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert main(["pack", "people.json", "images", "a", *PACKING]) == 0
    progress, described = capsys.readouterr().out.splitlines()
    assert progress.startswith("1 of 1 shards")
    assert main(["pack", "people.json", "images", "b", *PACKING, "-q"]) == 0
    assert capsys.readouterr().out == described.replace("a: ", "b: ", 1) + "\n"


def test_verbose(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["stats", "people.json", "-v"]) == 0
    shown = capsys.readouterr().err
    persons = load_coco("people.json")
    assert f"people.json: {len(persons)} persons in 3 images" in shown
    assert " pose_data.notices: " in shown
    assert main(["stats", "people.json"]) == 0
    assert "persons in 3 images" not in capsys.readouterr().err
    assert main(["stats", "gone.json", "-v"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].startswith("pose-data: error: ")
    assert main(["stats", "gone.json"]) == 1
    assert capsys.readouterr().err == lines[-1] + "\n"


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_of_what_is_written(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((people / "people.json").read_text())
    images, rows = len(content["images"]), len(content["annotations"])
    fixed = answer(["fix", "people.json", "fixed.json"], capsys)
    assert fixed["out"] == "fixed.json"
    assert rows in fixed["counts"].values()
    merged = answer(["merge", "people.json", "fixed.json", "--prefix", ".", ".", "-o", "m"], capsys)
    assert merged["counts"]["images"] == images
    some = answer(["filter", "people.json", "some.json", "--min-keypoints", "99"], capsys)
    assert some["counts"]["annotations"] == 0
    assert some["counts"]["annotations dropped"] == rows
    parts = answer(["split", "people.json", "parts", "--val", "0.3"], capsys)
    assert [parts[part]["images"] for part in ("train", "val")] == [2, 1]
    for part in parts.values():
        written = json.loads(Path(part["file"]).read_text())
        assert part["annotations"] == len(written["annotations"])
    drawn = answer(["synth", "more", "--train", "2", "--val", "1", "--size", "64x48"], capsys)
    assert drawn == {"out": "more", "train": 2, "val": 1}
    packed = answer(["pack", "people.json", "images", "packed", *PACKING], capsys)
    assert packed["samples"] == len(load_coco("people.json"))
    assert packed["without_pixels"] == 0
    assert 0 < packed["bytes"] <= sum(file.stat().st_size for file in Path("packed").iterdir())


def test_json_of_what_is_converted(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("yaml", reason="YOLO's data.yaml needs the extra pose-data[yolo]")
    yolo = answer(["convert", "people.json", "y", "--to", "yolo", "--images", "images"], capsys)
    assert (yolo["out"], Path(yolo["images"])) == ("y", Path("y/images"))
    shutil.copytree("images", "y/images", dirs_exist_ok=True)
    back = answer(["convert", "y", "back.json"], capsys)
    assert back["counts"]["images"] == 3
    assert back["categories"]["person"][0] == "nose"


def test_json_of_what_is_found(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    persons = load_coco("people.json")
    stats = answer(["stats", "people.json", "-o", "page.html"], capsys)
    assert (stats["images"], stats["persons"]) == (3, len(persons))
    assert sum(stats["areas"].values()) == len(persons)
    assert stats["keypoints"]["nose"]["visible"] == int((persons.visible[:, 0] == 2).sum())
    assert stats["page"] == "page.html"
    assert Path("page.html").is_file()
    (found,) = answer(["check", "people.json"], capsys)
    assert (found["slug"], found["error"]) == ("missing-field", False)
