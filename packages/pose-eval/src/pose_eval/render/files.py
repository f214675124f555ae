"""Beyond the summary: matches of every image, curves and a line for each image."""

import json
from typing import Any

import numpy as np

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
    dets = slice(matches.det_start[image], matches.det_start[image + 1])
    gts = slice(matches.gt_start[image], matches.gt_start[image + 1])
    pairs = slice(matches.pair_start[image], matches.pair_start[image + 1])
    rows = report.results.row[matches.detections].tolist()
    ids = report.gt.ids[matches.persons].tolist()
    dt, gt = rows[dets], ids[gts]
    areas = {}
    for a, area in enumerate(report.settings.areas):
        det_match = matches.det_match[a, :, dets].tolist()
        gt_match = matches.gt_match[a, :, gts].tolist()
        areas[area.name] = {
            "dt_match": [[ids[g] if g >= 0 else None for g in line] for line in det_match],
            "gt_match": [[rows[d] if d >= 0 else None for d in line] for line in gt_match],
            "dt_ignored": matches.det_ignored[a, :, dets].tolist(),
            "gt_ignored": matches.gt_ignored[a, gts].tolist(),
        }
    return {
        "image_id": report.gt.image_ids[image].item(),
        "category_id": report.gt.categories[matches.category].id,
        "dt": dt,
        "gt": gt,
        "oks": matches.oks[pairs].reshape(len(dt), len(gt)).tolist(),
        "areas": areas,
    }


def curves_csv(report: Report) -> str:
    """Return precision and score at each recall, for each category, area and threshold."""
    curves = report.curves
    rows: list[Any] = [("category_id", "area", "oks", "recall", "precision", "score")]
    for c, category in enumerate(report.gt.categories):
        for a, area in enumerate(report.settings.areas):
            for t, threshold in enumerate(report.settings.thresholds):
                if curves.recall[t, c, a] < 0:
                    continue
                columns = (
                    curves.recalls.tolist(),
                    curves.precision[t, :, c, a].tolist(),
                    curves.scores[t, :, c, a].tolist(),
                )
                rows += [
                    (category.id, area.name, threshold, *v) for v in zip(*columns, strict=True)
                ]
    return csv_table(rows)


def per_image_csv(report: Report) -> str:
    """Return a line for each image and category that has persons or detections.

    right, wrong, missed: at the lowest OKS threshold, over all areas, without what is ignored.
    best_oks: the mean over the persons that count of their best OKS with any detection.
    """
    header = ("image_id", "file_name", "category_id", "persons", "ignored_persons", "detections")
    rows: list[Any] = [(*header, "right", "wrong", "missed", "best_oks")]
    for matches in report.matches:
        for image in range(len(report.gt.image_ids)):
            dets = slice(matches.det_start[image], matches.det_start[image + 1])
            gts = slice(matches.gt_start[image], matches.gt_start[image + 1])
            counted = ~matches.gt_ignored[0, gts]
            size = dets.stop - dets.start, gts.stop - gts.start
            if not any(size):
                continue
            matched = matches.det_match[0, 0, dets] >= 0
            det_counted = ~matches.det_ignored[0, 0, dets]
            pairs = slice(matches.pair_start[image], matches.pair_start[image + 1])
            oks = matches.oks[pairs].reshape(size)[:, counted]
            best = oks.max(axis=0, initial=0.0)
            right = int(np.count_nonzero(matched & det_counted))
            rows.append(
                (
                    report.gt.image_ids[image].item(),
                    report.gt.file_names[image],
                    report.gt.categories[matches.category].id,
                    int(counted.sum()),
                    int((~counted).sum()),
                    size[0],
                    right,
                    int(np.count_nonzero(~matched & det_counted)),
                    int(counted.sum()) - right,
                    float(best.mean()) if best.size else None,
                )
            )
    return csv_table(rows)
