"""Evaluation in pieces gives what evaluation in one piece gives."""

import itertools
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pose_eval import Evaluator, ResultsError, SettingsError, evaluate


@pytest.mark.parametrize("seed", range(4))
def test_pieces_in_any_order_of_merging(random_set: Callable[..., Any], seed: int) -> None:
    gt, rows = random_set(seed)
    expected = evaluate(rows, gt)
    images = sorted({row["image_id"] for row in rows})
    parts = [[row for row in rows if images.index(row["image_id"]) % 3 == k] for k in range(3)]
    for order in itertools.permutations(range(3)):
        evaluators = []
        for k in order:
            evaluator = Evaluator(gt)
            for start in range(0, len(parts[k]), 5):
                evaluator.add(parts[k][start : start + 5])
            evaluators.append(pickle.loads(pickle.dumps(evaluator)))
        first = evaluators[0]
        for other in evaluators[1:]:
            first.merge(other)
        report = first.report()
        assert report.stats == expected.stats
        assert report.counts == expected.counts
        assert first.report().stats == expected.stats, "a report leaves the evaluator as it is"


def test_threads_evaluate_at_once(
    random_set: Callable[..., Any], write: Callable[[Any, Any], tuple[Path, Path]]
) -> None:
    """From the same files, and from content of their own."""
    sets = [random_set(seed) for seed in range(4)]
    alone = [evaluate(rows, gt) for gt, rows in sets]
    results, truth = write(*sets[0])
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: evaluate(each[1], each[0]), sets * 4))
        of_files = list(pool.map(lambda _: evaluate(results, truth), range(4)))
    for place, report in enumerate(together):
        assert report.stats == alone[place % 4].stats
        assert report.counts == alone[place % 4].counts
    assert all(report.stats == alone[0].stats for report in of_files)


def test_an_image_in_several_parts_gives_one_outcome_in_any_order(
    random_set: Callable[..., Any],
) -> None:
    gt, rows = random_set(5)
    for row in rows:
        row["score"] = round(row["score"], 1)
    outcomes = []
    for order in itertools.permutations(range(3)):
        evaluator = Evaluator(gt)
        for k in order:
            other = Evaluator(gt)
            other.add(rows[k::3])
            evaluator.merge(other)
        outcomes.append(evaluator.report().stats)
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_what_cannot_be_merged(random_set: Callable[..., Any]) -> None:
    gt, rows = random_set(1)
    other, _ = random_set(2)
    with pytest.raises(SettingsError, match="different ground truth"):
        Evaluator(gt).merge(Evaluator(other))
    with pytest.raises(SettingsError, match="different settings"):
        Evaluator(gt).merge(Evaluator(gt, max_dets=5))
    evaluator = Evaluator(gt)
    evaluator.add(rows[:3])
    evaluator.add([{**rows[3], "bbox": [0, 0, 5, 5]}])
    with pytest.raises(ResultsError, match="have a bbox in their rows and some have none"):
        evaluator.report()


def test_nothing_added(random_set: Callable[..., Any]) -> None:
    gt, _ = random_set(1)
    report = Evaluator(gt).report()
    assert report.stats["AP"] == 0.0
    assert re.search(r"\[no-detections\]$", report.warnings[-1])
