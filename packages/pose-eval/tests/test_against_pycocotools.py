"""The numbers, curves and matches of pycocotools, on random data."""

import contextlib
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import evaluate
from pose_eval.coco_eval import COCOeval as OurEval

pytest.importorskip("pycocotools", reason="pycocotools, the reference, is not installed")

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def reference(gt: dict[str, Any], rows: list[dict[str, Any]], **params: Any) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(gt)
        truth.createIndex()
        found = COCOeval(truth, truth.loadRes(copy.deepcopy(rows)), "keypoints")
        for name, value in params.items():
            setattr(found.params, name, value)
        found.evaluate()
        found.accumulate()
        if not params:
            found.summarize()
    return found


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("boxes", [False, True])
def test_stats_and_curves(random_set: Callable[..., Any], seed: int, boxes: bool) -> None:
    gt, rows = random_set(seed, boxes)
    before = copy.deepcopy((gt, rows))
    report = evaluate(rows, gt)
    assert (gt, rows) == before, "arguments were changed"
    expected = reference(gt, rows)
    got = [-1 if value is None else value for value in report.stats.values()]
    assert got == expected.stats.tolist()
    np.testing.assert_array_equal(report.curves.precision, expected.eval["precision"][..., 0])
    np.testing.assert_array_equal(report.curves.recall, expected.eval["recall"][..., 0])
    np.testing.assert_array_equal(report.curves.scores, expected.eval["scores"][..., 0])
    images = report.gt.image_ids.tolist()
    oks = np.concatenate([np.ravel(expected.ious[image, 1]) for image in images])
    np.testing.assert_allclose(report.matches[0].oks, oks, rtol=1e-14)


def test_the_random_sets_are_neither_trivial_nor_hopeless(random_set: Callable[..., Any]) -> None:
    stats = [evaluate(rows, gt).stats["AP"] for gt, rows in map(random_set, range(25))]
    values = [value for value in stats if value is not None]
    assert min(values) > 0.02
    assert 0.2 < max(values) < 0.9


@pytest.mark.parametrize("seed", range(12))
def test_the_class_has_the_shape_of_theirs(
    random_set: Callable[..., Any], seed: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gt, rows = random_set(100 + seed, boxes=seed % 2 == 0)
    expected = reference(gt, rows)
    with contextlib.redirect_stdout(io.StringIO()) as table:
        expected.summarize()
    printed = table.getvalue()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(gt)
        truth.createIndex()
        given = truth, truth.loadRes(copy.deepcopy(rows))
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    for ours in (OurEval(*given, "keypoints"), OurEval(tmp_path / "gt.json", rows)):
        capsys.readouterr()
        ours.evaluate()
        ours.accumulate()
        ours.summarize()
        assert capsys.readouterr().out == printed
        assert list(ours.stats) == expected.stats.tolist()
        for name in ("precision", "recall", "scores"):
            np.testing.assert_array_equal(ours.eval[name], expected.eval[name])
        assert len(ours.evalImgs) == len(expected.evalImgs)
        for got, wanted in zip(ours.evalImgs, expected.evalImgs, strict=True):
            assert (got is None) == (wanted is None)
            for key in wanted or ():
                if key != "maxDet":
                    assert np.array_equal(got[key], wanted[key]), key  # type: ignore[index]


def test_the_class_with_other_parameters(random_set: Callable[..., Any]) -> None:
    gt, rows = random_set(7)
    params = {
        "imgIds": sorted(image["id"] for image in gt["images"])[::2],
        "maxDets": [1, 5, 20],
        "iouThrs": np.array([0.3, 0.5]),
        "recThrs": np.linspace(0, 1, 11),
        "areaRng": [[0, 1e10], [0, 1000]],
        "areaRngLbl": ["all", "small"],
        "kpt_oks_sigmas": np.full(17, 0.05),
    }
    expected = reference(gt, rows, **params)
    ours = OurEval(gt, rows)
    for name, value in params.items():
        setattr(ours.params, name, value)
    ours.evaluate()
    ours.accumulate()
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours.eval[name], expected.eval[name])
