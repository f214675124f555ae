"""A report and an evaluator as Python objects: names, one line each, plain values, types."""

import json
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest

import pose_eval
from pose_eval import Evaluator, ResultsError, analyse, compare, diagnose, evaluate
from pose_eval.analysis.pck_persons import pck_report

Set = tuple[dict[str, Any], list[dict[str, Any]]]


def test_numbers_by_name(small_set: Set) -> None:
    gt, rows = small_set
    report = evaluate(rows, gt)
    assert report.ap == report["AP"] == report.stats["AP"]
    assert report["APM"] == report.stats["APM"]
    with pytest.raises(KeyError, match=r"'ap50'; did you mean AP50\?; there are AP, AP50, AP75"):
        report["ap50"]
    with pytest.raises(KeyError, match="no number is called 'loss'; there are AP, AP50"):
        report["loss"]
    gt["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose"]})
    gt["annotations"].append({"image_id": 100, "category_id": 2, "keypoints": [5, 5, 2]})
    report = evaluate(rows, gt, sigmas={"person": "coco", "dog": [0.1]})
    assert report["AP/dog"] == 0
    assert report["AP"] == report.ap != report["AP/person"]


def test_to_dict_holds_plain_values(random_set: Callable[..., Any]) -> None:
    gt, rows = random_set(3)
    report = evaluate(rows, gt)
    content = report.to_dict()
    assert json.loads(report.to_json()) == content
    assert content["stats"] == report.stats
    content["stats"]["AP"] = 5
    assert report.ap != 5, "a change of the dictionary leaves the report as it is"


def test_what_is_public_is_shown_in_one_line(random_set: Callable[..., Any]) -> None:
    gt, rows = random_set(3)
    report = evaluate(rows, gt)
    evaluator = Evaluator(gt)
    evaluator.update(rows)
    tables = (report.gt, report.results, *report.matches, report.curves, report.settings)
    comparison = compare(report, report, replicates=5)
    others = (analyse(report, replicates=5), diagnose(report), comparison, pck_report(report))
    for each in (report, evaluator, *tables, *others):
        text = repr(each)
        assert "\n" not in text
        assert "array" not in text
        assert len(text) < 700
    assert f"AP {report.ap:.3f}" in repr(report)
    assert f"{len(rows)} detections" in repr(evaluator)


def test_update_compute_reset(small_set: Set) -> None:
    gt, rows = small_set
    expected = evaluate(rows, gt)
    evaluator = Evaluator(gt)
    for _ in range(2):
        evaluator.update(rows[:3])
        evaluator.update(rows[3:])
        assert evaluator.compute().stats == expected.stats
        evaluator.reset()
    assert evaluator.compute()["AP"] == 0
    evaluator.add(rows)
    assert evaluator.report().stats == expected.stats


@pytest.mark.parametrize("wrong", [3, 2.5, None, object()])
def test_what_is_no_source_is_refused(wrong: Any, small_set: Set) -> None:
    gt, rows = small_set
    with pytest.raises(ResultsError, match="results must be a list of results, got"):
        evaluate(wrong, gt)
    with pytest.raises(ResultsError, match="ground truth must be a COCO object"):
        evaluate(rows, wrong)


def test_types_refuse_what_is_no_source() -> None:
    hints = get_type_hints(evaluate)
    for name in ("results", "gt"):
        kinds = get_args(hints[name])
        assert str in kinds
        assert not {Any, object, int, float} & set(kinds)


def test_the_names_of_the_package_are_all_there() -> None:
    for name in pose_eval.__all__:
        assert getattr(pose_eval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        pose_eval.evalute  # noqa: B018
