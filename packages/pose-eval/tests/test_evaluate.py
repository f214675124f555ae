"""AP and AR: known answers, and a clear no to bad input."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import Report, ResultsError, evaluate

NAMES = [f"joint{k}" for k in range(17)]
Codes = Callable[[Report], set[str]]


def make_set(seed: int = 0, num_images: int = 12) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """People of all sizes with noisy detections, some missed, some extra."""
    rng = np.random.default_rng(seed)
    images, annotations, rows = [], [], []
    for image_id in range(1, num_images + 1):
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "width": 640, "height": 480})
        for _ in range(rng.integers(1, 4)):
            extent = float(rng.uniform(30, 300))
            points = rng.uniform(0, extent, (17, 2)) + rng.uniform(0, 200, 2)
            visible = rng.integers(0, 3, 17)
            x, y = points.min(axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [x, y, extent, extent],
                    "area": extent**2 / 2,
                    "num_keypoints": int((visible > 0).sum()),
                    "keypoints": np.column_stack([points, visible]).ravel().tolist(),
                }
            )
            for _ in range(rng.integers(0, 3)):
                noisy = points + rng.normal(0, extent * rng.uniform(0.005, 0.1), (17, 2))
                rows.append(
                    {
                        "image_id": image_id,
                        "category_id": 1,
                        "keypoints": np.column_stack([noisy, np.ones(17)]).ravel().tolist(),
                        "score": float(rng.random()),
                    }
                )
    category = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}, rows


def perfect(gt: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {k: a[k] for k in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for a in gt["annotations"]
    ]


def test_the_truth_scores_one() -> None:
    gt, _ = make_set()
    assert evaluate(perfect(gt), gt).stats["AP"] == 1.0


def test_annotation_id_zero_counts_like_any_other() -> None:
    gt, _ = make_set()
    for number, annotation in enumerate(gt["annotations"]):
        annotation["id"] = number
    assert evaluate(perfect(gt), gt).stats["AP"] == 1.0


def test_iscrowd_and_num_keypoints_may_be_missing() -> None:
    gt, rows = make_set()
    expected = evaluate(rows, gt).stats
    for annotation in gt["annotations"]:
        del annotation["iscrowd"], annotation["num_keypoints"]
    assert evaluate(rows, gt).stats == expected


def test_no_detections_score_zero_with_a_warning(codes: Codes) -> None:
    gt, _ = make_set()
    report = evaluate([], gt)
    assert set(report.stats.values()) == {0.0}
    assert "no-detections" in codes(report)
    assert report.counts["detections"] == 0


def test_nothing_to_find_is_none_with_a_warning(codes: Codes) -> None:
    gt, rows = make_set()
    for annotation in gt["annotations"]:
        annotation["num_keypoints"] = 0
    report = evaluate(rows, gt)
    assert set(report.stats.values()) == {None}
    assert "nothing-to-find" in codes(report)
    assert report.table().count("= -") == 10
    assert json.loads(report.to_json())["stats"]["AP"] is None


def test_other_sigmas_change_the_number() -> None:
    gt, rows = make_set()
    strict = evaluate(rows, gt, sigmas=[0.02] * 17).stats["AP"]
    mild = evaluate(rows, gt, sigmas=[0.2] * 17).stats["AP"]
    assert strict is not None
    assert mild is not None
    assert strict < mild
    with pytest.raises(ResultsError, match="17 keypoints but there are 3 sigmas"):
        evaluate(rows, gt, sigmas=[0.1] * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1.0] * 48}, r"keypoints has 48 numbers, .* 17 keypoints \(51 numbers\)"),
        ({"keypoints": None}, r"keypoints must be a list of numbers, got null"),
        ({"keypoints": [float("nan")] * 51}, r"keypoints\[0\] must be a finite number, got nan"),
        ({"keypoints": ["3"] * 51}, r'keypoints\[0\] must be a finite number, got "3"'),
        ({"score": None}, r"score must be a finite number, got null"),
        ({"score": float("inf")}, r"score must be a finite number, got inf"),
        ({"image_id": 999}, r"\(image 999\): image_id 999 is not in ground truth"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, Any], message: str) -> None:
    gt, rows = make_set()
    rows[3] |= change
    with pytest.raises(ResultsError, match=r"results row 3 .*" + message):
        evaluate(rows, gt)


def test_many_bad_rows_are_counted() -> None:
    gt, rows = make_set()
    for row in rows:
        del row["score"]
    with pytest.raises(ResultsError, match=f"and {len(rows) - 5} more") as error:
        evaluate(rows, gt)
    assert str(error.value).count("has no score") == 5


def test_boxes_in_some_rows_only() -> None:
    gt, rows = make_set()
    rows[0]["bbox"] = [0, 0, 10, 10]
    with pytest.raises(ResultsError, match=r"row 1 \(image 1\): has no bbox, but row 0 has one"):
        evaluate(rows, gt)


def test_bad_ground_truth_is_named() -> None:
    gt, rows = make_set()
    twice = copy.deepcopy(gt)
    twice["annotations"][1]["id"] = 1
    with pytest.raises(ResultsError, match="annotation id 1 occurs 2 times"):
        evaluate(rows, twice)
    with pytest.raises(ResultsError, match="has no list `images`"):
        evaluate(rows, {"annotations": []})


@pytest.mark.parametrize("text", ["", "[", "{}", "3", '{"a": 1}'])
def test_files_that_are_not_results(tmp_path: Path, text: str) -> None:
    gt, _ = make_set()
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(ResultsError, match=r"results\.json"):
        evaluate(file, gt)


def test_a_report_is_printed_as_its_table(random_set: Callable[..., Any]) -> None:
    gt, rows = random_set(3)
    report = evaluate(rows, gt)
    assert str(report) == report.table()
    assert str(report).startswith(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all |")
