"""COCO keypoint AP and AR, the numbers of pycocotools."""

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pose_eval.inputs import ResultsError, Source, check_ground_truth, check_results, read_json

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
STATS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    stats: the ten COCO numbers by name, None where there is nothing to measure (COCO's -1).
    counts: images, persons (with labelled keypoints), detections. warnings: one line each.
    """

    stats: dict[str, float | None]
    counts: dict[str, int]
    warnings: tuple[str, ...]
    protocol: str = "coco"

    def table(self) -> str:
        """Return the ten lines that pycocotools prints."""
        lines = []
        for name in STATS:
            kind = "Average Precision  (AP)" if name.startswith("AP") else "Average Recall     (AR)"
            iou = {"50": "0.50", "75": "0.75"}.get(name[2:], "0.50:0.95")
            area = {"M": "medium", "L": "large"}.get(name[2:], "all")
            value = self.stats[name]
            number = -1.0 if value is None else value
            lines.append(
                f" {kind} @[ IoU={iou:<9} | area={area:>6s} | maxDets= 20 ] = {number:.3f}"
            )
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return stats, protocol, counts and warnings as a JSON object."""
        content = {
            "stats": self.stats,
            "protocol": self.protocol,
            "counts": self.counts,
            "warnings": list(self.warnings),
        }
        return json.dumps(content, indent=2) + "\n"


def evaluate(results: Source, gt: Source, *, sigmas: Sequence[float] | None = None) -> Report:
    """Evaluate keypoint results against COCO ground truth.

    results: a path, or a list of rows with image_id, category_id, keypoints (x, y, score per joint)
    and score. gt: a path, or a COCO annotation object. sigmas: one per joint; COCO's 17 by default.
    Raises ResultsError naming file and row; nothing is silently dropped.
    """
    truth, truth_name = read_json(gt)
    num_keypoints = check_ground_truth(truth, truth_name)
    rows, rows_name = read_json(results)
    image_ids = {image["id"] for image in truth["images"]}
    check_results(rows, rows_name, image_ids, num_keypoints)
    sigmas = COCO_SIGMAS if sigmas is None else sigmas
    if len(sigmas) != num_keypoints:
        raise ResultsError(
            f"{truth_name} has {num_keypoints} joints but there are {len(sigmas)} sigmas; "
            "give one sigma per joint"
        )

    persons = sum(_num_keypoints(a) > 0 and not a.get("iscrowd", 0) for a in truth["annotations"])
    counts = {"images": len(image_ids), "persons": persons, "detections": len(rows)}
    warnings = []
    if not persons:
        warnings.append(f"{truth_name} has no person with labelled keypoints: every number is -1")
    if not rows:
        warnings.append(f"{rows_name} holds no detections: every number is 0")
    values = _coco_stats(truth, rows, np.asarray(sigmas, np.float64)) if rows else np.zeros(10)
    if not persons:
        values = np.full(10, -1.0)
    stats = {n: None if v == -1 else float(v) for n, v in zip(STATS, values, strict=True)}
    return Report(stats, counts, tuple(warnings))


def _num_keypoints(annotation: dict[str, Any]) -> int:
    """Return the stored number of labelled keypoints, which pycocotools trusts, or count them."""
    if "num_keypoints" in annotation:
        return int(annotation["num_keypoints"])
    return sum(v > 0 for v in annotation["keypoints"][2::3])


def _coco_stats(truth: dict[str, Any], rows: list[Any], sigmas: Any) -> Any:
    """Run pycocotools on copies, without its printing; returns the ten numbers."""
    # Annotations are numbered from 1: pycocotools takes a match with id 0 for no match.
    annotations = [
        {**a, "id": number, "iscrowd": a.get("iscrowd", 0), "num_keypoints": _num_keypoints(a)}
        for number, a in enumerate(truth["annotations"], start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco_truth = COCO()
        coco_truth.dataset = {**truth, "annotations": annotations}
        coco_truth.createIndex()
        coco_results = coco_truth.loadRes([dict(row) for row in rows])
        evaluation = COCOeval(coco_truth, coco_results, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats
