"""pose-eval against pycocotools on random sets: crowds, ties, no areas, several categories."""

import contextlib
import copy
import io
from random import Random
from typing import Any

import numpy as np
from harness import fuzzed
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pose_eval import evaluate


def random_set(draw: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return ground truth and results of a few images, some of them without either."""
    images = [{"id": int(i)} for i in draw.choice(1000, draw.integers(1, 6), replace=False)]
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    boxes = bool(draw.random() < 0.5)  # in the results
    for image in images:
        for _ in range(draw.integers(0, 5)):
            side = float(np.exp(draw.uniform(1, 6)))
            points = draw.uniform(0, side, (17, 2)) + draw.uniform(0, 300, 2)
            visible = draw.integers(0, 3, 17) * (draw.random() > 0.1)
            gt = np.column_stack([points * (visible > 0)[:, None], visible])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": 1,
                    "iscrowd": int(draw.random() < 0.1),
                    "num_keypoints": int((visible > 0).sum()),
                    "area": side * side * draw.uniform(0.3, 1),
                    "bbox": [*points.min(axis=0).tolist(), side, side],
                    "keypoints": gt.round(2).ravel().tolist(),
                }
            )
            for _ in range(draw.integers(0, 4)):
                noise = draw.normal(0, side * draw.choice((0.01, 0.05, 0.2)), (17, 2))
                row = np.column_stack([points + noise, draw.random(17)])
                results.append(
                    {
                        "image_id": image["id"],
                        "category_id": 1,
                        "keypoints": row.round(2).ravel().tolist(),
                        "score": round(draw.random(), int(draw.integers(1, 4))),  # ties
                    }
                )
                if boxes:
                    results[-1]["bbox"] = [*points.min(axis=0).tolist(), side, side]
    category = {"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(17)]}
    return {"images": images, "annotations": annotations, "categories": [category]}, results


@fuzzed(100)
def test_ten_numbers_and_curves(rng: Random) -> None:
    gt, rows = random_set(np.random.default_rng(rng.randrange(2**31)))
    if not rows:
        return  # pycocotools cannot read an empty list
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(gt)
        truth.createIndex()
        theirs = COCOeval(truth, truth.loadRes(copy.deepcopy(rows)), "keypoints")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    report = evaluate(rows, gt)
    ours = [-1 if value is None else value for value in report.stats.values()]
    assert ours == theirs.stats.tolist()
    np.testing.assert_array_equal(report.curves.precision, theirs.eval["precision"][..., 0])
    np.testing.assert_array_equal(report.curves.scores, theirs.eval["scores"][..., 0])
