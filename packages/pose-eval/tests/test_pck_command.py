"""pose-eval pck: who is compared with whom, and what a distance is divided by."""

import json
from pathlib import Path
from typing import Any

import pytest

from pose_eval import evaluate
from pose_eval.__main__ import main
from pose_eval.analysis.pck_persons import pck_report

NAMES = ["head", "neck"]


def person(number: int, places: list[list[float]], v: tuple[int, int] = (2, 2)) -> dict[str, Any]:
    keypoints = [value for (x, y), seen in zip(places, v, strict=True) for value in (x, y, seen)]
    row = {"id": number, "image_id": 1, "category_id": 1, "area": 10000.0}
    return row | {"bbox": [0, 0, 100, 200], "keypoints": keypoints}


def detection(places: list[list[float]], score: float) -> dict[str, Any]:
    keypoints = [value for x, y in places for value in (x, y, 1)]
    return {"image_id": 1, "category_id": 1, "keypoints": keypoints, "score": score}


GT = {
    "images": [{"id": 1}],
    "categories": [{"id": 1, "keypoints": NAMES}],
    "annotations": [
        person(1, [[10, 10], [10, 50]]),
        person(2, [[300, 10], [300, 40]], (2, 1)),
        person(3, [[600, 10], [0, 0]], (2, 0)),
    ],
}
ROWS = [
    detection([[300, 16], [330, 40]], 0.9),  # of the second person: 6 and 30 away
    detection([[10, 10], [10, 62]], 0.1),  # of the first: 0 and 12 away, whatever its score
]


def measured(**options: Any) -> Any:
    return pck_report(evaluate(ROWS, GT, sigmas=[0.1, 0.1]), thresholds=(0.05, 0.1), **options)


def test_persons_without_a_detection_are_wrong() -> None:
    got = measured()  # distances / 200: 0, 0.06 and 0.03, 0.15
    assert got.pck[0.05] == (pytest.approx((2 / 3, 0)), pytest.approx(1 / 3))
    assert got.pck[0.1] == (pytest.approx((2 / 3, 1 / 2)), pytest.approx(7 / 12))
    assert (got.persons, got.unpaired, got.unmeasured) == (3, 1, 0)
    assert got.epe == pytest.approx((0 + 12 + 6 + 30) / 4)
    assert got.nme == pytest.approx((0 + 12 + 6 + 30) / 4 / 200)


@pytest.mark.parametrize(
    ("norm", "lengths", "left_out"),
    [
        ("area", [100, 100, 100, 100], 0),
        ("head,neck", [40, 40, 30, 30], 1),
        ("bbox-wh", [200, 200, 200, 100], 0),  # the last joint is off in x
    ],
)
def test_norms(norm: str, lengths: list[float], left_out: int) -> None:
    got = measured(norm=norm)
    wanted = [d / n for d, n in zip((0, 12, 6, 30), lengths, strict=True)]
    assert got.nme == pytest.approx(sum(wanted) / 4)
    assert got.unmeasured == left_out


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "r.json").write_text(json.dumps(ROWS))
    (tmp_path / "gt.json").write_text(json.dumps(GT))
    gt = str(tmp_path / "gt.json")
    return ["pck", str(tmp_path / "r.json"), "--gt", gt, "--sigmas", "0.1,0.1"]


def test_the_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--thr", "0.1", "--norm", "head,neck"]) == 0
    printed = capsys.readouterr().out
    assert "EPE 12.000 px" in printed
    assert "1 persons lack that length" in printed
    assert main([*command, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["pck"]["0.1"]["per_joint"]["neck"] == pytest.approx(0.5)
    assert content["unpaired_persons"] == 1


def test_bad_arguments(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--norm", "torso"]) == 2
    assert "norm 'torso' is not known; give bbox, bbox-wh, area" in capsys.readouterr().err
    assert main([*command, "--norm", "head,hip"]) == 2
    assert "hip" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--thr", "0"])
    assert "'0' is not numbers above 0" in capsys.readouterr().err
