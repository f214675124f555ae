"""The command line's options, within this process."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose_eval import evaluate
from pose_eval.__main__ import main
from pose_eval.render.table import csv_table

Files = tuple[Path, Path]


@pytest.fixture
def files(random_set: Callable[..., Any], tmp_path: Path) -> Files:
    gt, rows = random_set(3)
    results, truth = tmp_path / "results.json", tmp_path / "gt.json"
    results.write_text(json.dumps(rows))
    truth.write_text(json.dumps(gt))
    return results, truth


def stats(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--format", "json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)["stats"]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--sigmas", "0.05," * 16 + "0.05"], {"sigmas": [0.05] * 17}),
        (["--joints", "5-16"], {"joints": range(5, 17)}),
        (["--joints", "joint3,0,7-9"], {"joints": [3, 0, 7, 8, 9]}),
        (["--area", "bbox"], {"area": "bbox"}),
        (["--areas", "small=0:1024,tiny=0:400"], {"areas": {"small": (0, 1024), "tiny": (0, 400)}}),
        (["--oks", "0.5:0.9:0.1"], {"oks": [0.5, 0.6, 0.7, 0.8, 0.9]}),
        (["--oks", "0.5"], {"oks": 0.5}),
        (["--max-dets", "3"], {"max_dets": 3}),
        (["--protocol", "xtcoco"], {"protocol": "xtcoco"}),
    ],
)
def test_options_are_the_arguments_of_evaluate(
    options: list[str],
    arguments: dict[str, Any],
    files: Files,
    capsys: pytest.CaptureFixture[str],
) -> None:
    got = stats(capsys, files[0], "--gt", files[1], *options)
    expected = evaluate(*files, **arguments).stats
    assert got.keys() == expected.keys()
    assert got == pytest.approx(expected, abs=1e-12)
    assert expected != evaluate(*files).stats, "the option makes a difference"


def test_images_by_list_and_by_file(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [image["id"] for image in json.loads(files[1].read_text())["images"]][:5]
    expected = evaluate(*files, images=ids).stats
    (tmp_path / "ids.txt").write_text("\n".join(map(str, ids)))
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    for given in (",".join(map(str, ids)), tmp_path / "ids.txt", tmp_path / "ids.json"):
        assert stats(capsys, files[0], "--gt", files[1], "--images", given) == expected


def test_csv_and_digits(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    report = evaluate(*files)
    assert main([str(files[0]), "--gt", str(files[1]), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["name"]: float(row["value"]) for row in rows if row["value"]} == {
        name: value for name, value in report.stats.items() if value is not None
    }
    assert main([str(files[0]), "--gt", str(files[1]), "--digits", "6"]) == 0
    assert f"= {report.stats['AP']:.6f}\n" in capsys.readouterr().out


def test_files_of_details(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"--matches": "m.json", "--curves": "c.csv", "--per-image": "i.csv"}
    options = [str(word) for key, name in names.items() for word in (key, tmp_path / name)]
    assert main([str(files[0]), "--gt", str(files[1]), *options]) == 0
    report = evaluate(*files)
    matches = json.loads((tmp_path / "m.json").read_text())
    right = 0
    for image in matches["images"]:
        entry = image["areas"]["all"]
        assert len(image["oks"]) == len(image["dt"]) == len(entry["dt_match"][0])
        for gt_id, ignored in zip(entry["dt_match"][0], entry["dt_ignored"][0], strict=True):
            assert gt_id is None or gt_id in image["gt"]
            right += gt_id is not None and not ignored
    with (tmp_path / "i.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["right"]) for row in rows) == right
    assert sum(int(row["right"]) + int(row["missed"]) for row in rows) == report.counts["persons"]
    with (tmp_path / "c.csv").open() as file:
        points = [row for row in csv.DictReader(file) if row["area"] == "all"]
    precision = sum(float(row["precision"]) for row in points) / len(points)
    assert precision == pytest.approx(report.stats["AP"], abs=1e-12)
    capsys.readouterr()


def test_standard_input(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Standard:
        buffer = io.BytesIO(gzip.compress(files[0].read_bytes()))

    monkeypatch.setattr("sys.stdin", Standard())
    assert stats(capsys, "-", "--gt", files[1]) == evaluate(*files).stats
    assert main(["-", "--gt", "-"]) == 2
    assert "standard input" in capsys.readouterr().err


def test_check(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    results, truth = map(str, files)
    assert main([results, "--gt", truth, "--check"]) == 0
    assert "rows are in order" in capsys.readouterr().out
    assert main(["check", results]) == 0
    assert main(["check", truth]) == 0
    assert main(["check", results, "--gt", truth]) == 0
    assert capsys.readouterr().out.count("are in order") == 3
    rows = json.loads(files[0].read_text())
    rows[5]["keypoints"] = rows[5]["keypoints"][:48]
    files[0].write_text(json.dumps(rows))
    for words in (["check", results], ["check", results, "--gt", truth]):
        assert main(words) == 1
        assert "results.json row 5" in capsys.readouterr().err
    files[0].write_text("[{}]")
    assert main(["check", results]) == 1
    assert "no row with image_id" in capsys.readouterr().err


def test_messages(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    results, truth = map(str, files)
    ground_truth = json.loads(files[1].read_text())
    ground_truth["annotations"][0].pop("area")
    files[1].write_text(json.dumps(ground_truth))
    assert main([results, "--gt", truth, "--json"]) == 0
    output = capsys.readouterr()
    assert "warning: " in output.err
    assert json.loads(output.out)["stats"]["AP"] == evaluate(*files).stats["AP"]
    assert main([results, "--gt", truth, "--format", "json", "--quiet"]) == 0
    quiet = capsys.readouterr()
    assert (quiet.out, quiet.err) == (output.out, "")
    assert main(["check", truth, "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert output.err == ""
    assert [found["file"], found["annotations"]] == ["gt.json", len(ground_truth["annotations"])]
    assert any("area" in warning for warning in found["warnings"])
    assert main(["check", truth, "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert main([results, "--gt", truth, "--check", "--json"]) == 0
    rows = len(json.loads(files[0].read_text()))
    assert json.loads(capsys.readouterr().out)["rows"] == rows
    assert main(["check", "none.json", "--verbose"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.splitlines()[-1].startswith("pose-eval: error: cannot read")
    assert main(["check", "none.json"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--sigmas", "cocoo"], 2, "did you mean coco?"),
        (["--sigmas", "0.1,0.2"], 2, "17 keypoints but there are 2 sigmas"),
        (["--areas", "small"], 2, "must be NAME=LOW:HIGH"),
        (["--oks", "2"], 2, "must lie above 0"),
        (["--max-dets", "0"], 2, "above 0, got 0"),
        (["--joints", "nose"], 2, "there is no keypoint 'nose'"),
        (["--images", "1,2"], 2, "not in the ground truth"),
        (["-o", "/nowhere/report.txt"], 2, "cannot write /nowhere/report.txt"),
        (["--matches", "/nowhere/m.json"], 2, "there is no folder /nowhere"),
    ],
)
def test_bad_arguments(
    options: list[str], code: int, message: str, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files[0]), "--gt", str(files[1]), *options]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--max-dets", "x"], ["--digits", "-1"], ["--protocol", "x"]])
def test_arguments_that_argparse_refuses(
    options: list[str], files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main([str(files[0]), "--gt", str(files[1]), *options])
    assert done.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_warnings_go_to_stderr(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files[0].write_text("[]")
    assert main([str(files[0]), "--gt", str(files[1])]) == 0
    first = capsys.readouterr()
    assert "warning: results.json holds no detections" in first.err
    assert "[no-detections]" in first.err
    assert main([str(files[0]), "--gt", str(files[1]), "--quiet"]) == 0
    second = capsys.readouterr()
    assert (second.out, second.err) == (first.out, "")


@pytest.mark.parametrize("command", [["check"], ["nms"], ["sigmas"]])
def test_text_in_a_file_is_not_the_name_of_another(
    command: list[str], files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    for text in (str(files[1]), "x" * 3000):
        file.write_text(json.dumps(text))
        assert main([*command, str(file)]) == 1
        assert "must be a list of results or a COCO object, got str" in capsys.readouterr().err


def test_text_in_tables_is_no_formula(files: Files, tmp_path: Path) -> None:
    gt = json.loads(files[1].read_text())
    names = ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "-5", "a.png"]
    for image, name in zip(gt["images"], names * 9, strict=False):
        image["file_name"] = name
    files[1].write_text(json.dumps(gt))
    table = tmp_path / "i.csv"
    assert main([str(files[0]), "--gt", str(files[1]), "--per-image", str(table)]) == 0
    with table.open(newline="") as file:
        cells = {row["file_name"] for row in csv.DictReader(file)}
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell != "-5"]
    assert "'=1+1" in cells
    rows = [("a", -0.5, 1e-5, None), ("-0.5", "+1e-05", "-inf", "x-1")]
    assert csv_table(rows) == "a,-0.5,1e-05,\n-0.5,+1e-05,-inf,x-1\n", "numbers stay numbers"


def test_names_are_printed_without_control_characters(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    gt = json.loads(files[1].read_text())
    category = gt["categories"][0]
    category |= {
        "name": "\x1b[2J\x9b",
        "keypoints": [f"\x1b]0;{k}\x07\u202e\ud800" for k in range(17)],
    }
    files[1].write_text(json.dumps(gt))
    given = [str(files[0]), "--gt", str(files[1])]
    for words in (given, ["errors", *given], ["pck", *given], [*given, "--breakdown"]):
        assert main(words) == 0
    assert main([*given, "--joints", "no\x1b"]) == 2
    captured = capsys.readouterr()
    assert not set("\x1b\x9b\x07\u202e\ud800") & {*captured.out, *captured.err}
    assert "\\x1b]0;0" in captured.out
