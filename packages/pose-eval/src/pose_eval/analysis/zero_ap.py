"""Why AP is nearly 0: rows of a category that nobody has, or coordinates that are no pixels."""

import numpy as np

from pose_eval.coco.report import Report
from pose_eval.io.hints import warning

NEARLY_0 = 0.05


def why_zero(report: Report) -> list[str]:
    """Return warnings of rows that cannot count, and of what explains an AP below 0.05."""
    name, gt = report.results.name, report.gt
    found = []
    for category, (what, entry) in enumerate(report.by_category().items()):
        ap, rows = entry["stats"]["AP"], entry["detections"]
        if rows and not (gt.category == category).any() and len(gt.category):
            text = (
                f"{name}: {rows} of {len(report.results.row)} rows are of category {what}, of "
                f"which {gt.name} has no annotation; they count neither as right nor as wrong"
            )
            found.append(warning("unused-category", text))
        elif ap is not None and ap < NEARLY_0 and (why := _explained(report, category)):
            of = f" of {what}" if len(gt.categories) > 1 else ""
            found.append(warning("wrong-coordinates", f"{name}: AP{of} is {ap:.3f}, but {why}"))
    return found


def _explained(report: Report, category: int) -> str | None:
    from pose_eval.analysis.hypotheses import explain  # hardly ever needed

    gt, results, matches = report.gt, report.results, report.matches[category]
    rows, persons = matches.detections, matches.persons[matches.counts()]
    sigmas = np.array(report.settings.sigmas[category])
    boxes = np.full((len(results.row), 4), np.nan) if results.bbox is None else results.bbox
    return explain(
        results.keypoints[rows, : len(sigmas)],
        boxes[rows],
        results.image[rows],
        gt.keypoints[persons, : len(sigmas)],
        gt.bbox[persons],
        gt.image[persons],
        gt.image_sizes,
        sigmas,
    )
