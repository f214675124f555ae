"""Groups of persons, joints and images against counts made by hand."""

import math
from typing import Any

import numpy as np
import pytest

from pose_eval import diagnose, evaluate
from pose_eval.analysis.breakdown import (
    by_group,
    by_image,
    by_joint,
    by_visibility,
)
from pose_eval.analysis.error_types import person_oks

# Four persons in two images; the joints of the third are partly hidden or not labelled.
SIDES = (50.0, 100.0, 100.0, 200.0)
BOXES = ([0, 0, 50, 50], [25, 0, 100, 100], [0, 0, 100, 100], [500, 0, 200, 200])
PLACES = np.array([[10, 10], [40, 40], [10, 40], [40, 10]], float)
SEEN = ([2, 2, 2, 2], [2, 2, 2, 2], [2, 1, 0, 0], [2, 2, 2, 1])
SHIFTS = (0.0, 8.0, 0.0)  # of the detections of the first three; nobody finds the fourth


def places(person: int) -> Any:
    x, y = BOXES[person][:2]
    return PLACES + np.array([x, y])


def report(**options: Any) -> Any:
    annotations, rows = [], []
    for person in range(4):
        keypoints = np.column_stack([places(person), SEEN[person]])
        keypoints[keypoints[:, 2] == 0] = 0
        annotations.append(
            {
                "id": person + 1,
                "image_id": person // 2,
                "category_id": 1,
                "area": SIDES[person] ** 2,
                "bbox": BOXES[person],
                "keypoints": keypoints.ravel().tolist(),
            }
        )
        if person < 3:
            found = places(person) + np.array([SHIFTS[person], 0])
            keypoints = np.column_stack([found, np.ones(4)])
            row = {"image_id": person // 2, "category_id": 1, "score": 0.9 - person / 10}
            rows.append(row | {"keypoints": keypoints.ravel().tolist()})
    rows.append({**rows[0], "image_id": 1, "score": 0.95, "keypoints": [900, 900, 1] * 4})
    gt = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(3)],
        "categories": [{"id": 1, "keypoints": ["a", "b", "c", "d"]}],
        "annotations": annotations,
    }
    return evaluate(rows, gt, sigmas=[0.05] * 4, **options)


OKS = (1.0, math.exp(-64 / (2 * 0.1**2 * 100**2)), 1.0, 0.0)  # the second: 0.73


def test_oks_of_persons() -> None:
    assert person_oks(report()) == pytest.approx(OKS)


def test_groups() -> None:
    sizes = by_group(report())["size (root of the area)"]
    assert [(g.name, g.persons) for g in sizes] == [
        ("32-64 px", 1),
        ("96-128 px", 2),
        ("192 px and more", 1),
    ]
    assert sizes[1].recall50 == 1
    assert sizes[1].recall75 == 0.5
    assert sizes[1].ar == pytest.approx((5 + 10) / 20)  # 0.5 to 0.7, and all ten
    assert sizes[1].oks == pytest.approx((OKS[1] + OKS[2]) / 2)
    assert (sizes[2].ar, sizes[2].oks) == (0, 0)
    assert [(g.name, g.persons) for g in by_group(report())["labelled keypoints"]] == [
        ("2 keypoints", 1),
        ("4 keypoints", 3),
    ]
    # The boxes of the first image have 25 x 50 in common.
    iou = 1250 / (2500 + 10000 - 1250)
    assert 0.1 < iou < 0.3
    crowding = by_group(report())["crowding (box IoU)"]
    assert [(g.name, g.persons) for g in crowding] == [("alone", 2), ("IoU 0.1-0.3", 2)]


def test_a_threshold_that_was_not_asked_for() -> None:
    group = by_group(report(oks="0.6,0.75"))["size (root of the area)"][1]
    assert group.recall50 is None
    assert group.recall75 == 0.5


def test_joints() -> None:
    analysed = report()
    rows = {row["name"]: row for row in by_joint(analysed, diagnose(analysed))}
    a, c = rows["a"], rows["c"]
    assert (a["labelled"], a["matched"], c["labelled"], c["matched"]) == (4, 3, 3, 2)
    assert (a["median_px"], c["median_px"]) == (pytest.approx(0), pytest.approx(4))
    assert a["mean_px"] == pytest.approx(8 / 3)
    assert a["mean_share"] == pytest.approx(0.08 / 3)
    assert a["pck10"] == pytest.approx(3 / 4)
    assert a["similarity"] == pytest.approx((2 + OKS[1]) / 3)
    # By score: background, right, right below 0.73, right; four to be found.
    loose = [max(1 / 2, 2 / 3, 3 / 4)] * 76 + [0] * 25
    strict = [max(1 / 2, 2 / 4)] * 51 + [0] * 50
    assert a["ap"] == pytest.approx((5 * np.mean(loose) + 5 * np.mean(strict)) / 10)


def test_hidden_joints() -> None:
    analysed = report()
    visible, hidden = by_visibility(analysed, diagnose(analysed))
    assert (visible["joints"], hidden["joints"]) == (9, 1)
    assert visible["similarity"] == pytest.approx((5 + 4 * OKS[1]) / 9)
    assert hidden["good"] == 1


def test_images() -> None:
    first, second = by_image(report())  # the third has neither persons nor detections
    assert first["file_name"] == "0.jpg"
    assert (first["persons"], first["found"], first["wrong"]) == (2, 2, 0)
    assert first["worst_score"] is None
    assert first["oks"] == pytest.approx((1 + OKS[1]) / 2)
    assert (second["persons"], second["found"], second["wrong"]) == (2, 1, 1)
    assert second["worst_score"] == 0.95
