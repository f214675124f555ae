"""Comparing two results, and the gate that fails a build."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import SettingsError, compare, evaluate
from pose_eval.__main__ import main
from pose_eval.analysis.bootstrap import replicate_stats

RNG = np.random.default_rng(0)
NAMES = ["nose", "left_hand", "right_hand"]
PLACES = RNG.uniform(0, 100, (20, 3, 2))


def truth() -> dict[str, Any]:
    annotations = [
        {
            "id": i + 1,
            "image_id": i,
            "category_id": 1,
            "area": 10000.0,
            "bbox": [0, 0, 100, 100],
            "keypoints": np.column_stack([places, np.full(3, 2)]).ravel().tolist(),
        }
        for i, places in enumerate(PLACES)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(20)]
    category = {"id": 1, "name": "person", "keypoints": NAMES}
    return {"images": images, "categories": [category], "annotations": annotations}


def detections(noise: float, worse: int = -1) -> list[dict[str, Any]]:
    """Detect everybody with the same errors times `noise`, one image much worse."""
    errors = np.random.default_rng(1).normal(0, 1, PLACES.shape) * noise
    errors[worse] *= 4 if worse >= 0 else 1
    return [
        {
            "image_id": i,
            "category_id": 1,
            "keypoints": np.column_stack([places, np.ones(3)]).ravel().tolist(),
            "score": 0.5 + i / 100,
        }
        for i, places in enumerate(PLACES + errors)
    ]


def report(rows: list[dict[str, Any]], **options: Any) -> Any:
    return evaluate(rows, truth(), sigmas=[0.05] * 3, **options)


def test_changes_are_paired() -> None:
    a, b = report(detections(8)), report(detections(6))
    got = compare(a, b, replicates=300, seed=2)
    drawn = replicate_stats(b, 300, 2)["AP"] - replicate_stats(a, 300, 2)["AP"]
    change = got.changes["AP"]
    assert change.delta == pytest.approx(b.stats["AP"] - a.stats["AP"])
    assert change.delta > 0
    assert change.low == pytest.approx(np.quantile(drawn, 0.025))
    assert change.high == pytest.approx(np.quantile(drawn, 0.975))
    assert change.p == pytest.approx(2 * ((drawn <= 0).sum() + 1) / 301)
    assert "APM" not in got.changes  # there is no medium person
    alone = np.diff(np.quantile(replicate_stats(b, 300, 2)["AP"], [0.025, 0.975]))
    assert change.high - change.low < alone  # the images have much in common


def test_the_image_that_changed_most() -> None:
    got = compare(report(detections(5)), report(detections(5, worse=7)), replicates=50)
    assert [image.image_id for image in got.images] == [7]
    image = got.images[0]
    assert image.file_name == "7.jpg"
    assert image.change == pytest.approx(image.b - image.a)
    assert image.change < 0
    json.dumps(got.section(), allow_nan=False)


def test_equal_results_do_not_differ() -> None:
    a = report(detections(6))
    got = compare(a, report(detections(6)), replicates=50)
    assert got.images == ()
    assert all(c.delta == c.low == c.high == 0 and c.p == 1 for c in got.changes.values())


def test_reports_that_do_not_belong_together() -> None:
    a = report(detections(6))
    with pytest.raises(SettingsError, match="under different settings"):
        compare(a, report(detections(6), max_dets=5))
    with pytest.raises(SettingsError, match="on different ground truth"):
        compare(a, report(detections(6), images=[0, 1, 2]))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    paths = []
    content = {"a.json": detections(6), "b.json": detections(8, worse=3), "gt.json": truth()}
    for name, value in content.items():
        (tmp_path / name).write_text(json.dumps(value))
        paths.append(str(tmp_path / name))
    return paths[0], paths[1], paths[2]


def test_the_gates(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    a, b, gt = files
    command = ["compare", a, b, "--gt", gt, "--sigmas", "0.05,0.05,0.05", "--bootstrap", "20"]
    assert main(command) == 0
    assert "images that changed most" in capsys.readouterr().out
    assert main([*command, "--fail-drop", "0.9", "--fail-below", "AP=0.001"]) == 0
    assert "gate" not in capsys.readouterr().err
    assert main([*command, "--fail-drop", "0.001", "--fail-below", "AR50=1"]) == 3
    message = capsys.readouterr().err
    assert "gate failed: AR50 is " in message
    assert "gate failed: AP fell by " in message
    assert main([*command, "--fail-below", "APM=0.1"]) == 3
    assert "APM has no value here" in capsys.readouterr().err
    assert main([*command, "--format", "json", "--fail-drop", "ARM=0.1"]) == 3
    content = json.loads(capsys.readouterr().out)
    assert content["a"] == "a.json"
    assert content["failed"] == ["ARM has no value in both, so its drop is not known"]
    assert content["changes"]["AP"]["delta"] < 0


def test_the_gate_of_one_file(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [files[0], "--gt", files[2], "--sigmas", "0.05,0.05,0.05", "--quiet"]
    assert main([*command, "--fail-below", "AP=0.001"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "--fail-below", "AP=1", "--fail-below", "AR50=1"]) == 3
    done = capsys.readouterr()
    assert done.out.startswith(" Average Precision")
    assert "gate failed: AP is " in done.err


@pytest.mark.parametrize("option", [["--fail-below", "APl=0.1"], ["--fail-drop", "APl=0.1"]])
def test_a_gate_knows_the_names(
    files: tuple[str, str, str], option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, gt = files
    given = ["--gt", gt, "--sigmas", "0.05,0.05,0.05", *option]
    commands = [["compare", a, b, *given, "--bootstrap", "5"]]
    commands += [[a, *given]] if option[0] == "--fail-below" else []
    for command in commands:
        assert main(command) == 2
        said = capsys.readouterr()
        assert "'APl', which is not measured; there are AP, AP50, AP75, APM, APL, AR," in said.err
        assert said.out == ""


def test_comparisons_as_markdown_and_html(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, gt = files
    command = ["compare", a, b, "--gt", gt, "--sigmas", "0.05,0.05,0.05", "--bootstrap", "50"]
    assert main([*command, "--format", "md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# b.json against a.json"
    assert lines[2:4] == ["|  | a | b | b - a | 95 % interval | p |", "|---|" + "---:|" * 5]
    assert lines[4].startswith("| AP | 0.")
    assert " | **-0." in lines[4]
    assert any(line.startswith("| 3 | 3.jpg | -") for line in lines)
    assert main([*command, "--format", "html"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    assert "<tr><td>AP</td><td>0." in text
    assert "<td>3.jpg</td>" in text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--fail-below", "0.7"], "'0.7' is not NAME=NUMBER"),
        (["--fail-below", "AP=70"], "must be a number from 0 to 1"),
        (["--fail-drop", "AP=nan"], "must be a number from 0 to 1"),
        (["--bootstrap", "0"], "'0' is not a whole number above 0"),
    ],
)
def test_bad_arguments(
    files: tuple[str, str, str],
    option: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b, gt = files
    with pytest.raises(SystemExit) as stopped:
        main(["compare", a, b, "--gt", gt, *option])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_files_of_the_same_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(truth()))
    paths = []
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        paths.append(str(tmp_path / folder / "results.json"))
        Path(paths[-1]).write_text(json.dumps(detections(6)))
    gt = str(tmp_path / "gt.json")
    options = ["--sigmas", "0.05,0.05,0.05", "--bootstrap", "5"]
    assert main(["compare", *paths, "--gt", gt, *options]) == 0
    assert capsys.readouterr().out.startswith(f"a = {paths[0]}\nb = {paths[1]}\n")
