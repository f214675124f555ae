"""Arguments that make no sense are refused, with the nearest that does."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose_eval import Report, SettingsError, evaluate

NAN = float("nan")
Rows = list[dict[str, Any]]
Content = dict[str, Any]
Set = tuple[Content, Rows]
Codes = Callable[[Report], set[str]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigmas": [0.1] * 3}, "17 keypoints but there are 3 sigmas"),
        ({"sigmas": [0.1] * 16 + [0]}, "sigma 16 must be a finite number above 0, got 0"),
        ({"sigmas": [0.1] * 16 + [-1]}, "sigma 16 must be a finite number above 0, got -1"),
        ({"sigmas": [0.1] * 16 + [NAN]}, "sigma 16 must be a finite number above 0, got nan"),
        ({"sigmas": [0.1] * 16 + ["x"]}, "sigma 16 must be a finite number above 0, got 'x'"),
        ({"sigmas": []}, "the list is empty"),
        ({"sigmas": "cocoo"}, "did you mean coco?"),
        ({"sigmas": "crowdpose"}, "17 keypoints but there are 14 sigmas"),
        ({"protocol": "xtcoc"}, "did you mean xtcoco?"),
        ({"area": "box"}, "area must be one of ann, bbox"),
        ({"max_dets": 0}, "max_dets must be a whole number above 0, got 0"),
        ({"joints": "joint3,joint99"}, "there is no keypoint 'joint99'"),
        ({"joints": "15-17"}, "keypoint 17 does not exist: there are 17"),
        ({"joints": "1,1"}, "name a keypoint twice"),
        ({"oks": "0.5:0.9"}, "OKS thresholds must be FIRST:LAST:STEP"),
        ({"oks": [0.5, 1.5]}, "must lie above 0 and at most at 1"),
        ({"oks": [0.9, 0.5]}, "must rise"),
        ({"areas": "small=0"}, "area 'small' must be NAME=LOW:HIGH"),
        ({"areas": {"small": (10, 5)}}, "0 <= LOW < HIGH must hold"),
        ({"images": [100, 5]}, "1 of the chosen images are not in the ground truth: 5"),
        ({"match_images": "name"}, "match_images must be one of file_name, stem"),
        ({"match_images": "stem"}, "cannot be matched by stem: ground truth has no file_name"),
        ({"unknown_images": "skip"}, "unknown_images must be one of error, drop"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: dict[str, Any], message: str, small_set: Set
) -> None:
    gt, rows = small_set
    with pytest.raises(SettingsError, match=re.escape(message)):
        evaluate(rows, gt, **arguments)


def test_sigmas_from_a_file(tmp_path: Path, small_set: Set, codes: Codes) -> None:
    gt, rows = small_set
    wanted = evaluate(rows, gt, sigmas=[0.03] * 17).stats
    file = tmp_path / "sigmas"
    for text in ("[" + ", ".join(["0.03"] * 17) + "]", "\n".join(["0.03"] * 17)):
        file.write_text(text)
        assert evaluate(rows, gt, sigmas=file).stats == wanted
    file.write_text(json.dumps({"person": [0.03] * 17}))
    assert evaluate(rows, gt, sigmas=str(file)).stats == wanted
    names = gt["categories"][0]["keypoints"]
    by_joint = {"tail": 0.2} | dict.fromkeys(reversed(names), 0.03)
    assert evaluate(rows, gt, sigmas=by_joint).stats == wanted
    with pytest.raises(SettingsError, match=r"the folder has no sigmas\.json"):
        evaluate(rows, gt, sigmas=tmp_path)
    (tmp_path / "sigmas.json").write_text(json.dumps(by_joint))
    assert evaluate(rows, gt, sigmas=str(tmp_path)).stats == wanted
    del by_joint[names[3]]
    with pytest.raises(SettingsError, match=f"no sigma for keypoint '{names[3]}' of category"):
        evaluate(rows, gt, sigmas=by_joint)
    for text, message in (("a b", "is not a list of numbers"), ("3", "must be a list of numbers")):
        file.write_text(text)
        with pytest.raises(SettingsError, match=message):
            evaluate(rows, gt, sigmas=file)
    assert "odd-sigmas" in codes(evaluate(rows, gt, sigmas=[0.26] * 17))
