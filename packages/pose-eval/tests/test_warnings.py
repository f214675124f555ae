"""Every warning has a name, and the README explains it."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pose_eval
from pose_eval import Report, evaluate

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SOURCE = Path(pose_eval.__file__).parent
Rows = list[dict[str, Any]]
Content = dict[str, Any]
Set = tuple[Content, Rows]
Stats = dict[str, float | None]
Codes = Callable[[Report], set[str]]


def test_the_readme_explains_every_warning() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(SOURCE.rglob("*.py")))
    codes = set(re.findall(r"warning\(\s*\"([a-z-]+)\"", text))
    codes |= {"unknown-images", "unknown-categories"}
    explained = set(re.findall(r'<a id="([a-z-]+)"></a>`([a-z-]+)`', README))
    assert all(anchor == name for anchor, name in explained)
    assert codes == {name for _, name in explained}
    assert len(codes) > 12


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row[key] = value

    return change


WARNED: list[tuple[str, Callable[[Content, Rows], Any]]] = [
    ("odd-visibility", lambda gt, rows: put("keypoints", [5, 5, 3] * 17)(gt["annotations"][0])),
    ("ignore-overwritten", lambda gt, rows: put("ignore", 1)(gt["annotations"][0])),
    ("odd-area", lambda gt, rows: [a.update(area=1.0) for a in gt["annotations"]]),
    ("odd-area", lambda gt, rows: gt["annotations"][0].update(area=0)),
    ("odd-area", lambda gt, rows: gt["annotations"][0].update(area=2e10)),
    ("equal-scores", lambda gt, rows: [r.update(score=0.5) for r in rows]),
    ("negative-scores", lambda gt, rows: rows[0].update(score=-0.5)),
    ("duplicate-rows", lambda gt, rows: rows.append(copy.deepcopy(rows[2]))),
    ("missing-images", lambda gt, rows: rows.__delitem__(slice(2, None))),
    (
        "normalised-coordinates",
        lambda gt, rows: [r.update(keypoints=[v / 640 for v in r["keypoints"]]) for r in rows],
    ),
    (
        "xyxy-boxes",
        lambda gt, rows: [
            a.update(bbox=[*a["bbox"][:2], a["bbox"][0] + 112, 234]) for a in gt["annotations"]
        ],
    ),
    (
        "xyxy-boxes",
        lambda gt, rows: [
            r.update(bbox=[r["keypoints"][0], r["keypoints"][1], *r["keypoints"][48:50]])
            for r in rows
        ],
    ),
    ("negative-boxes", lambda gt, rows: [r.update(bbox=[9, 9, -4, 4]) for r in rows]),
    ("nothing-to-find", lambda gt, rows: [a.update(iscrowd=1) for a in gt["annotations"]]),
    ("nothing-to-find", lambda gt, rows: gt["annotations"].clear()),
    ("no-detections", lambda gt, rows: rows.clear()),
]


@pytest.mark.parametrize(("code", "change"), WARNED)
def test_what_is_legal_but_odd_is_warned_of(
    code: str, change: Callable[[Content, Rows], Any], small_set: Set, codes: Codes
) -> None:
    gt, rows = small_set
    change(gt, rows)
    assert code in codes(evaluate(rows, gt))


def test_scores_beyond_one_and_joint_scores_of_zero_are_fine(small_set: Set, base: Stats) -> None:
    gt, rows = small_set
    for row in rows:
        row["score"] += 3
        row["keypoints"][2::3] = [0] * 17
    report = evaluate(rows, gt)
    assert (report.stats, report.warnings) == (base, ())
