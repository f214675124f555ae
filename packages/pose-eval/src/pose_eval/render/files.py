"""Beyond the summary: matches of every image, curves and a line for each image."""

import json
from typing import Any

from pose_eval.coco.report import Report
from pose_eval.coco.tables import Matches
from pose_eval.render.table import csv_table


def matches_json(report: Report) -> str:
    """Return detections, persons, OKS and matches of each image as JSON, one image on each line.

    dt: rows of the results file by falling score; gt: annotation ids in file order; oks[d][g]. By
    area, for each threshold: dt_match, the annotation id of each detection or null; gt_match, the
    row of each person or null; dt_ignored, gt_ignored.
    """
    lines = []
    for matches in report.matches:
        for image in range(len(report.gt.image_ids)):
            entry = _image_entry(report, matches, image)
            if entry["dt"] or entry["gt"]:
                lines.append(json.dumps(entry))
    thresholds = json.dumps(list(report.settings.thresholds))
    body = ",\n".join(lines)
    return f'{{"oks_thresholds": {thresholds}, "images": [\n{body}\n]}}\n'


def _image_entry(report: Report, matches: Matches, image: int) -> dict[str, Any]:
    dets, gts, oks = matches.of_image(image)
    rows = [*report.results.row[matches.detections].tolist(), None]  # -1, for nobody, is the last
    ids = [*report.gt.ids[matches.persons].tolist(), None]
    areas = {
        area.name: {
            "dt_match": [[ids[g] for g in row] for row in matches.det_match[a, :, dets].tolist()],
            "gt_match": [[rows[d] for d in row] for row in matches.gt_match[a, :, gts].tolist()],
            "dt_ignored": matches.det_ignored[a, :, dets].tolist(),
            "gt_ignored": matches.gt_ignored[a, gts].tolist(),
        }
        for a, area in enumerate(report.settings.areas)
    }
    about = {
        "image_id": report.gt.image_ids[image].item(),
        "category_id": report.gt.categories[matches.category].id,
    }
    return about | {"dt": rows[dets], "gt": ids[gts], "oks": oks.tolist(), "areas": areas}


def curves_csv(report: Report) -> str:
    """Return precision and score at each recall, for each category, area and threshold."""
    curves = report.curves
    rows: list[Any] = [("category_id", "area", "oks", "recall", "precision", "score")]
    for c, category in enumerate(report.gt.categories):
        for a, area in enumerate(report.settings.areas):
            for t, threshold in enumerate(report.settings.thresholds):
                if curves.recall[t, c, a] < 0:
                    continue
                columns = curves.recalls, curves.precision[t, :, c, a], curves.scores[t, :, c, a]
                values = zip(*(column.tolist() for column in columns), strict=True)
                rows += [(category.id, area.name, threshold, *each) for each in values]
    return csv_table(rows)


def per_image_csv(report: Report) -> str:
    """Return a line for each image and category that has persons or detections.

    right, wrong, missed: at the lowest OKS threshold, over all areas, without what is ignored.
    best_oks: the mean over the persons that count of their best OKS with any detection.
    """
    from pose_eval.analysis.breakdown import by_image  # the ten numbers do without

    header = ("image_id", "file_name", "category_id", "persons", "ignored_persons", "detections")
    rows: list[Any] = [(*header, "right", "wrong", "missed", "best_oks")]
    for index, category in enumerate(report.gt.categories):
        for row in by_image(report, index):
            keys = ("persons", "ignored", "detections", "found", "wrong")
            about = row["image_id"], row["file_name"], category.id, *(row[key] for key in keys)
            rows.append((*about, row["persons"] - row["found"], row["best_oks"]))
    return csv_table(rows)
