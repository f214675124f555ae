"""pose-eval nms, and --nms and --score of the other commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import SettingsError, evaluate
from pose_eval.__main__ import main
from pose_eval.coco.suppress import Suppression, parse_suppression, suppress
from pose_eval.nms import rescore
from pose_eval.settings import Settings

PLACES = np.array([[10, 10], [60, 80]], float)


def row(image: Any, places: Any, score: float, joints: Any = (0.9, 0.7), **more: Any) -> Any:
    keypoints = np.column_stack([places, joints]).ravel().tolist()
    found = {"image_id": image, "category_id": 1, "keypoints": keypoints, "score": score}
    return found | {"bbox": [5, 5, 60, 80], "note": f"{image} {score}"} | more


ROWS = [
    row(2, PLACES, 0.5),
    row(2, PLACES + 0.5, 0.6, (0.1, 0.9)),
    row(1, PLACES, 0.3),
    row(2, PLACES + 90, 0.4),
]
GT = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 1, "keypoints": ["a", "b"]}],
    "annotations": [
        {
            "id": i,
            "image_id": i,
            "category_id": 1,
            "area": 4000.0,
            "bbox": [5, 5, 60, 80],
            "keypoints": [10, 10, 2, 60, 80, 2],
        }
        for i in (1, 2)
    ],
}


@pytest.fixture
def raw(tmp_path: Path) -> str:
    (tmp_path / "raw.json").write_text(json.dumps(ROWS))
    (tmp_path / "gt.json").write_text(json.dumps(GT))
    return str(tmp_path / "raw.json")


def test_rows_keep_all_their_keys(raw: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = ["nms", raw, "--sigmas", "0.1,0.1", "--score", "bbox*keypoint:0.2", "-o", str(out)]
    assert main(command) == 0
    got = json.loads(out.read_text())
    # Joints above 0.2: 0.5 * 0.8 is below 0.6 * 0.9, which suppresses it.
    assert [r["note"] for r in got] == ["2 0.6", "2 0.4", "1 0.3"]
    assert [r["score"] for r in got] == pytest.approx([0.54, 0.32, 0.24])
    assert [r | {"score": 0} for r in got] == [ROWS[i] | {"score": 0} for i in (1, 3, 2)]


def test_soft_nms_reorders_and_cuts(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["nms", raw, "--sigmas", "0.1,0.1", "--nms", "soft:0.5", "--max-dets", "2"]
    assert main(command) == 0
    got = json.loads(capsys.readouterr().out)
    assert [r["note"] for r in got] == ["2 0.6", "2 0.4", "1 0.3"]
    assert [r["score"] for r in got] == [0.6, 0.4, 0.3]  # as they were


def test_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw.json").write_text("[]")
    assert main(["nms", str(tmp_path / "raw.json"), "--score", "rle"]) == 0
    assert capsys.readouterr() == ("[]\n", "")


def test_bad_rows_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [ROWS[0], ROWS[1] | {"score": None}]
    (tmp_path / "raw.json").write_text(json.dumps(bad))
    out = tmp_path / "out.json"
    assert main(["nms", str(tmp_path / "raw.json"), "--sigmas", "0.1,0.1", "-o", str(out)]) == 1
    assert "raw.json row 1 (image 2)" in capsys.readouterr().err
    assert not out.exists()


def test_evaluating_with_nms_is_evaluating_what_nms_writes(
    raw: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--nms", "oks:0.8", "--score", "rle", "--sigmas", "0.1,0.1"]
    out = str(tmp_path / "out.json")
    gt = ["--gt", str(tmp_path / "gt.json"), "--format", "csv", "--sigmas", "0.1,0.1"]
    assert main([raw, *gt, *how[:4]]) == 0
    at_once = capsys.readouterr().out
    assert main(["nms", raw, *how, "-o", out]) == 0
    capsys.readouterr()
    assert main([out, *gt]) == 0
    assert capsys.readouterr().out == at_once


@pytest.mark.parametrize("name", ["oks", "oks_nms", "oks:0.9"])
def test_names_of_mmpose(name: str) -> None:
    assert parse_suppression(name, "bbox_keypoint", "bbox:1.25") == Suppression(
        "oks", 0.9, "bbox_keypoint", 0.2, 1.25
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nms", None, None), "nms 'nms' is not known; there are none, oks, oks_nms"),
        (("oks:high", None, None), "nms 'oks:high': after the colon comes a number"),
        ((None, "sum", None), "score 'sum' is not known"),
        ((None, None, "bbox:-1"), "nms-area 'bbox:-1'"),
        (("soft", None, None, 0), "max-dets must be above 0"),
    ],
)
def test_settings_that_make_no_sense(arguments: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_suppression(*arguments)


def test_categories_do_not_suppress_each_other() -> None:
    gt = GT | {"categories": [*GT["categories"], {"id": 2, "keypoints": ["a", "b"]}]}
    rows = [row(1, PLACES, 0.5), row(1, PLACES, 0.4, category_id=2), row(1, PLACES, 0.3)]
    report = evaluate(rows, gt, sigmas=[0.1, 0.1])
    kept = suppress(report.results, report.settings, Suppression("oks", 0.9, padding=1.0))
    assert kept.row.tolist() == [0, 1]
    settings: Settings = report.settings
    scored = suppress(report.results, settings, Suppression("none", score="keypoint"))
    joints = report.results.keypoints[..., 2]
    assert scored.scores[[0, 2, 1]] == pytest.approx(rescore(scored.scores, joints, "keypoint"))
