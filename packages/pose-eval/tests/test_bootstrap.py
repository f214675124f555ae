"""Resampled images against an evaluation of the same images put together by hand."""

from typing import Any

import numpy as np
import pytest

from pose_eval import evaluate
from pose_eval.analysis.bootstrap import Interval, bootstrap, interval, replicate_stats

IMAGES, SEED = 12, 4


def problem() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rng = np.random.default_rng(1)
    rows, annotations = [], []
    for image in range(IMAGES):
        for _ in range(rng.integers(0, 4)):
            places = rng.uniform(0, 200, (3, 2))
            side = float(rng.uniform(40, 150))
            keypoints = np.column_stack([places, np.full(3, 2)]).ravel().tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "area": side**2,
                    "bbox": [0, 0, side, side],
                    "keypoints": keypoints,
                }
            )
            for _ in range(rng.integers(0, 3)):
                near = places + rng.normal(0, 0.1 * side, (3, 2))
                keypoints = np.column_stack([near, np.ones(3)]).ravel().tolist()
                score = float(rng.uniform())
                rows.append(
                    {"image_id": image, "category_id": 1, "keypoints": keypoints, "score": score}
                )
    gt = {
        "images": [{"id": i} for i in range(IMAGES)],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["a", "b", "c"]}],
        "annotations": annotations,
    }
    return rows, gt


def drawn_together(rows: Any, gt: Any, weights: Any) -> dict[str, float | None]:
    """Evaluate a data set in which each image stands as often as it was drawn."""
    new_rows, annotations, images = [], [], []
    for image, weight in enumerate(weights):
        for _ in range(weight):
            number = len(images)
            images.append({"id": number})
            for a in gt["annotations"]:
                if a["image_id"] == image:
                    annotations.append(a | {"image_id": number, "id": len(annotations)})
            new_rows += [r | {"image_id": number} for r in rows if r["image_id"] == image]
    return evaluate(
        new_rows, gt | {"images": images, "annotations": annotations}, sigmas=[0.1] * 3
    ).stats


def test_replicates_are_evaluations_of_the_images_drawn() -> None:
    rows, gt = problem()
    got = replicate_stats(evaluate(rows, gt, sigmas=[0.1] * 3), 5, SEED)
    weights = np.random.default_rng(SEED).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=5)
    for replicate in range(5):
        wanted = drawn_together(rows, gt, weights[replicate])
        assert set(got) == set(wanted)
        for name, value in wanted.items():
            value = np.nan if value is None else value
            assert got[name][replicate] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_intervals() -> None:
    rows, gt = problem()
    report = evaluate(rows, gt, sigmas=[0.1] * 3)
    found = bootstrap(report, 200, seed=1)
    assert found == bootstrap(report, 200, seed=1)
    assert found != bootstrap(report, 200, seed=2)
    for name, value in found.items():
        assert value.value == report.stats[name]
        assert value.low <= value.value <= value.high
        assert value.std > 0
    with pytest.raises(ValueError, match="replicates must be at least 1, got 0"):
        bootstrap(report, 0)


def test_replicates_without_persons_are_left_out() -> None:
    drawn = np.array([0.2, np.nan, 0.4])
    assert interval(0.3, drawn).low == pytest.approx(0.205)
    assert interval(0.3, drawn[1:2]) == Interval(0.3, 0.3, 0.3, 0.0)
    gt = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1, "keypoints": ["a"]}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "area": 2000,
                "bbox": [0, 0, 9, 9],
                "keypoints": [1, 1, 2],
            }
        ],
    }
    row = {"image_id": 1, "category_id": 1, "keypoints": [1, 1, 1], "score": 1}
    report = evaluate([row], gt, sigmas=[0.1])
    drawn = replicate_stats(report, 50, 0)["AP"]
    assert np.isnan(drawn).any()
    assert bootstrap(report, 50)["AP"].low == pytest.approx(1)
