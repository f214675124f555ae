"""Results that name images by their files, or have another number of joints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import Evaluator, ResultsError, evaluate
from pose_eval.__main__ import main

Content = dict[str, Any]
Rows = list[dict[str, Any]]
Set = tuple[Content, Rows]
Stats = dict[str, float | None]


def named(small_set: Set, file: str, row: str) -> Set:
    """Give images files, and rows the names of these, both made of the image id."""
    gt, rows = small_set
    for image in gt["images"]:
        image["file_name"] = file.format(image["id"])
    return gt, [{**each, "image_id": row.format(each["image_id"])} for each in rows]


@pytest.mark.parametrize(
    ("how", "file", "row"),
    [
        ("file_name", "pic_{}.jpg", "pic_{}.jpg"),
        ("file_name", "val/{:012d}.jpg", "val/{:012d}.jpg"),
        ("stem", "{:012d}.jpg", "{:012d}"),
        ("stem", "val/{:012d}.jpg", "{:012d}"),
        ("stem", "a\\{}.b.png", "{}.b"),
        ("stem", "{}.jpg", "/data/val/{}.png"),
        ("stem", "frame.{}.jpg", "frame.{}"),
    ],
)
def test_images_by_name(
    how: str, file: str, row: str, small_set: Set, base: Stats, tmp_path: Path
) -> None:
    gt, rows = named(small_set, file, row)
    assert evaluate(rows, gt, match_images=how).stats == base
    evaluator = Evaluator(gt, match_images=how)
    evaluator.add(rows)
    assert evaluator.report().stats == base
    with pytest.raises(ResultsError, match=f"--match-images {how}" if row in file else "strings"):
        evaluate(rows, gt)
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    words = [str(tmp_path / "rows.json"), "--gt", str(tmp_path / "gt.json")]
    assert main([*words, "--match-images", how]) == 0


def test_no_rows_of_some_joints(small_set: Set) -> None:
    gt, _ = small_set
    for nothing in ([], b"[]"):
        assert evaluate(nothing, gt, joints="0-11").ap == 0


def test_stems_that_are_numbers(small_set: Set, base: Stats) -> None:
    gt, rows = named(small_set, "{}.jpg", "{}")
    arrays = {
        "image_id": np.array([int(row["image_id"]) for row in rows]),
        "keypoints": np.array([row["keypoints"] for row in rows]),
        "score": np.array([row["score"] for row in rows]),
    }
    for image in gt["images"]:
        image["id"] += 1
    for row in gt["annotations"]:
        row["image_id"] += 1
    assert evaluate(arrays, gt, match_images="stem").stats == base


def test_names_that_are_unknown_or_of_two_images(small_set: Set) -> None:
    gt, rows = named(small_set, "{}.jpg", "{}.jpg")
    rows[2]["image_id"] = "x.jpg"
    with pytest.raises(ResultsError, match=r'row 2 .*"x\.jpg" is not in ground truth'):
        evaluate(rows, gt, match_images="file_name")
    report = evaluate(rows, gt, match_images="file_name", unknown_images="drop")
    assert report.counts["detections"] == 7
    gt["images"].append({"id": 900, "file_name": "old/100.png"})
    assert evaluate(rows, gt, match_images="file_name", unknown_images="drop").stats
    with pytest.raises(ResultsError, match=r'"100\.jpg" may be any of 100\.jpg, old/100\.png'):
        evaluate(rows, gt, match_images="stem", unknown_images="drop")


@pytest.mark.parametrize(
    "change",
    [lambda rows: [k * 3 for k in rows], lambda rows: [k[:39] for k in rows]],
    ids=["more", "fewer"],
)
def test_joints_of_results_with_another_number_of_them(
    change: Callable[[Any], Any], small_set: Set
) -> None:
    gt, rows = small_set
    wanted = evaluate(rows, gt, joints="0-10").stats
    keypoints = change([row["keypoints"] for row in rows])
    other = [{**row, "keypoints": k} for row, k in zip(rows, keypoints, strict=True)]
    assert evaluate(other, gt, joints="0-10").stats == wanted
    first = min(17, len(keypoints[0]) // 3)
    with pytest.raises(ResultsError, match=rf"--joints 0-{first - 1} evaluates the first {first} "):
        evaluate(other, gt)
    arrays = {"image_id": np.array([row["image_id"] for row in rows])}
    arrays["score"] = np.array([row["score"] for row in rows])
    arrays["keypoints"] = np.array(keypoints)
    assert evaluate(arrays, gt, joints="0-10").stats == wanted
    evaluator = Evaluator(gt, joints="0-10")
    evaluator.add(other[:3])
    evaluator.add(rows[3:])
    assert evaluator.report().stats == wanted


def test_ground_truth_with_more_joints(small_set: Set) -> None:
    gt, rows = small_set
    wanted = evaluate(rows, gt, joints="0-16").stats
    gt["categories"][0]["keypoints"] = [f"joint{k}" for k in range(133)]
    for row in gt["annotations"]:
        row["keypoints"] += [5, 5, 2] * 116
        row["num_keypoints"] = 133
    assert evaluate(rows, gt, joints="0-16", sigmas="coco").stats == wanted
    with pytest.raises(ResultsError, match="--joints 0-16 evaluates the first 17 of both"):
        evaluate(rows, gt, sigmas=[0.05] * 133)
    with pytest.raises(ResultsError, match="keypoints has 51 numbers"):
        evaluate(rows, gt, joints="5-17", sigmas=[0.05] * 133)


def test_one_joint(small_set: Set, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gt, rows = small_set
    gt["categories"][0]["keypoints"] = ["tip"]
    for row in [*gt["annotations"], *rows]:
        row["keypoints"] = row["keypoints"][:3]
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    wanted = evaluate(rows, gt, sigmas=[0.05]).stats["AP"]
    words = [str(tmp_path / "rows.json"), "--gt", str(tmp_path / "gt.json"), "--format", "json"]
    assert main([*words, "--sigmas", "0.05"]) == 0
    assert json.loads(capsys.readouterr().out)["stats"]["AP"] == wanted
    assert main([*words, "--sigmas", "-1"]) == 2
    assert "sigma 0 must be a finite number above 0" in capsys.readouterr().err
