"""Error types on poses whose errors were put there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_eval import diagnose, evaluate
from pose_eval.__main__ import main
from pose_eval.analysis.error_types import LABELS, mirror

NAMES = ["nose", "left_hand", "right_hand", "left_foot", "right_foot"]
PLACES = np.array([[50, 10], [10, 40], [90, 40], [30, 90], [70, 90]], float)


def moved(x: float, y: float) -> NDArray[np.float64]:
    return PLACES + np.array([x, y])


def person(number: int, x: float, **changes: Any) -> dict[str, Any]:
    keypoints = np.column_stack([moved(x, 0), np.full(5, 2)])
    row = {"id": number, "image_id": 1, "category_id": 1, "area": 10000.0, "bbox": [x, 0, 100, 100]}
    return row | {"keypoints": keypoints.ravel().tolist(), "iscrowd": 0} | changes


def truth(*annotations: dict[str, Any], names: list[str] = NAMES) -> dict[str, Any]:
    category = {"id": 1, "name": "person", "keypoints": names}
    return {"images": [{"id": 1}], "categories": [category], "annotations": list(annotations)}


def found(places: Any, score: float = 0.9) -> dict[str, Any]:
    keypoints = np.column_stack([np.asarray(places, float), np.full(5, 0.8)])
    row = {"image_id": 1, "category_id": 1, "score": score}
    return row | {"keypoints": keypoints.ravel().tolist()}


def labels(rows: list[dict[str, Any]], gt: dict[str, Any], **options: Any) -> list[list[str]]:
    report = evaluate(rows, gt, sigmas=[0.05] * 5)
    return [[LABELS[v] for v in joints] for joints in diagnose(report, **options).labels]


def test_each_kind_of_joint_error() -> None:
    first, second = PLACES.copy(), moved(300, 0)
    first[0] += [9, 0]  # similarity exp(-81 / 200) = 0.67
    first[[1, 2]] = first[[2, 1]]
    second[3] = PLACES[3]  # on the other person's left foot
    second[4] = [700, 500]
    gt = truth(person(1, 0), person(2, 300))
    assert labels([found(first), found(second, 0.8)], gt) == [
        ["jitter", "inversion", "inversion", "good", "good"],
        ["good", "good", "good", "swap", "miss"],
    ]


def test_a_mirrored_joint_of_somebody_else_is_a_swap() -> None:
    places = PLACES.copy()
    places[1] = PLACES[2] + [300, 0]
    gt = truth(person(1, 0), person(2, 300))
    assert labels([found(places)], gt) == [["good", "swap", "good", "good", "good"]]


def test_unlabelled_joints_have_no_label() -> None:
    gt = truth(person(1, 0))
    gt["annotations"][0]["keypoints"][3:6] = [0, 0, 0]
    assert labels([found(PLACES)], gt) == [["good", "unlabelled", "good", "good", "good"]]


def test_without_mirror_joints_there_is_no_inversion() -> None:
    places = PLACES[[0, 2, 1, 3, 4]]
    plain = truth(person(1, 0), names=list("abcde"))
    assert labels([found(places)], plain)[0][1:3] == ["miss", "miss"]
    assert labels([found(places)], plain, flip=[(1, 2)])[0][1:3] == ["inversion", "inversion"]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (NAMES, [(1, 2), (3, 4)]),
        (["L_hip", "nose", "R_hip"], [(0, 2)]),
        (["hip.l", "hip.r", "lip"], [(0, 1)]),
        (["rightElbow", "leftElbow", "left_only"], [(0, 1)]),
        (["joint 0", "joint 1"], []),
    ],
)
def test_mirror_joints_from_names(names: list[str], pairs: list[tuple[int, int]]) -> None:
    assert mirror(names) == pairs


def test_detections_and_persons_left_over() -> None:
    gt = truth(person(1, 0), person(2, 300), person(3, 900, iscrowd=1, num_keypoints=0))
    rows = [
        found(PLACES, 0.9),
        found(moved(2, 0), 0.8),  # a duplicate
        found(moved(0, 600), 0.7),  # nobody is there
    ]
    report = evaluate(rows, gt, sigmas=[0.05] * 5)
    diagnosis = diagnose(report)
    assert diagnosis.rows.tolist() == [0]
    assert diagnosis.duplicates.tolist() == [1]
    assert diagnosis.background.tolist() == [2]
    assert report.gt.ids[diagnosis.missed].tolist() == [2]
    assert diagnosis.counted == 2
    section = diagnosis.section()
    assert section["all_joints"] == {"good": 5, "jitter": 0, "inversion": 0, "swap": 0, "miss": 0}
    json.dumps(section, allow_nan=False)


def test_repairs_give_ap_back() -> None:
    places = moved(300, 0)[[0, 2, 1, 3, 4]]
    gt = truth(person(1, 0), person(2, 300))
    rows = [found(PLACES, 0.5), found(places, 0.3), found(moved(0, 600), 0.9)]
    diagnosis = diagnose(evaluate(rows, gt, sigmas=[0.05] * 5))
    ap = {name: values["AP"] for name, values in diagnosis.repaired.items()}
    assert ap["now"] is not None
    for name, gives in {
        "inversion": True,
        "score": True,
        "background": True,
        "miss": False,
    }.items():
        assert (ap[name] > ap["now"]) == gives, name
    last = diagnosis.cumulated["missed"]
    assert last == {"AP": pytest.approx(1), "AP50": pytest.approx(1), "AP75": pytest.approx(1)}
    # A repaired score puts the best detection of each person before everything else.
    assert diagnosis.repaired["score"]["AP50"] == pytest.approx(1)


def test_of_two_detections_the_better_is_ranked_first() -> None:
    rows = [found(moved(6, 0), 0.9), found(PLACES, 0.4)]
    diagnosis = diagnose(evaluate(rows, truth(person(1, 0)), sigmas=[0.05] * 5))
    assert diagnosis.repaired["now"]["AP"] < 1
    assert diagnosis.repaired["score"]["AP"] == pytest.approx(1)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = moved(0, 0)[[0, 2, 1, 3, 4]]
    (tmp_path / "r.json").write_text(json.dumps([found(places)]))
    for name, names in (("named", NAMES), ("plain", list("abcde"))):
        gt = truth(person(1, 0), names=names)
        (tmp_path / f"{name}.json").write_text(json.dumps(gt))
    sigmas = ["--sigmas", "0.05,0.05,0.05,0.05,0.05"]

    def run(gt: str, *options: str) -> int:
        return main(
            ["errors", str(tmp_path / "r.json"), "--gt", str(tmp_path / gt), *sigmas, *options]
        )

    assert run("named.json") == 0
    printed = capsys.readouterr().out
    assert "all                5     60.0 %      0.0 %     40.0 %" in printed
    assert "inversion   keypoint on its mirror keypoint" in printed
    assert "not looked for" not in printed
    assert run("plain.json") == 0
    printed = capsys.readouterr().out
    assert "inversions are not looked for (--flip-pairs)" in printed
    assert run("plain.json", "--flip-pairs", "1-2,d-e", "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["all_joints"]["inversion"] == 2
    assert content["mirror_joints"] == [["b", "c"], ["d", "e"]]
    for pairs, message in {
        "1": "flip pair '1' is not two keypoints",
        "1-2,2-3": "a keypoint mirrors one other keypoint",
        "1-9": "9",
    }.items():
        assert run("plain.json", "--flip-pairs", pairs) == 2
        assert message in capsys.readouterr().err


def test_nothing_found() -> None:
    report = evaluate([], truth(person(1, 0)), sigmas=[0.05] * 5)
    diagnosis = diagnose(report)
    assert diagnosis.labels.shape == (0, 5)
    assert len(diagnosis.missed) == 1
    assert diagnosis.repaired["missed"]["AP"] is None  # nobody is left to be found
