"""The command line, as a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pose_eval import ResultsError, evaluate
from pose_eval.commands.options import OPTIONS
from pose_eval.settings import PROTOCOLS


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    keypoints = [float(v) for k in range(17) for v in (10 + 5 * k, 20 + 3 * k, 2)]
    person = {
        "id": 1,
        "image_id": 5,
        "category_id": 1,
        "iscrowd": 0,
        "area": 4000.0,
        "bbox": [10, 20, 80, 50],
        "num_keypoints": 17,
        "keypoints": keypoints,
    }
    category = {"id": 1, "name": "person", "keypoints": ["joint"] * 17}
    gt, results = tmp_path / "gt.json", tmp_path / "results.json"
    gt.write_text(
        json.dumps({"images": [{"id": 5}], "annotations": [person], "categories": [category]})
    )
    row = {"image_id": 5, "category_id": 1, "keypoints": keypoints, "score": 0.9}
    results.write_text(json.dumps([row]))
    return results, gt


def pose_eval(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pose_eval", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_table(files: tuple[Path, Path]) -> None:
    done = pose_eval(files[0], "--gt", files[1])
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert lines[0] == (
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = 1.000"
    )
    assert lines[9].endswith("area= large | maxDets= 20 ] = -")
    assert done.stderr == ""


def test_json_to_a_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = pose_eval(files[0], "--gt", files[1], "--format", "json", "-o", out)
    assert (done.returncode, done.stdout) == (0, "")
    report = json.loads(out.read_text())
    assert report["stats"]["AP"] == pytest.approx(1.0, abs=1e-12)
    assert report["stats"]["APL"] is None
    assert report["protocol"] == "coco"
    counts = {"images": 1, "persons": 1, "ignored_persons": 0}
    counts |= {"detections": 1, "detections_beyond_max_dets": 0}
    assert report["counts"] == counts
    assert report["warnings"] == []


def test_sigmas(files: tuple[Path, Path]) -> None:
    done = pose_eval(files[0], "--gt", files[1], "--sigmas", ",".join(["0.05"] * 17))
    assert done.returncode == 0
    done = pose_eval(files[0], "--gt", files[1], "--sigmas", "0.05,oops")
    assert done.returncode == 2
    assert "'0.05,oops' is not a list of numbers" in done.stderr


def test_bad_data_is_one_line_and_exit_code_1(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = pose_eval(tmp_path / "none.json", "--gt", files[1])
    assert done.returncode == 1
    assert done.stderr.startswith("pose-eval: error: cannot read")
    assert len(done.stderr.splitlines()) == 1


def test_an_unwritable_output_is_one_line_and_exit_code_2(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    done = pose_eval(files[0], "--gt", files[1], "-o", tmp_path / "no" / "report.txt")
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_choices_of_help_are_those_of_the_code() -> None:
    assert OPTIONS["--protocol"]["choices"] == PROTOCOLS


@pytest.mark.parametrize("results", [3, 2.5, True])
def test_results_of_another_type(files: tuple[Path, Path], results: object) -> None:
    with pytest.raises(ResultsError, match=r"results must be .*, got (int|float|bool)"):
        evaluate(results, str(files[1]))  # type: ignore[arg-type]
