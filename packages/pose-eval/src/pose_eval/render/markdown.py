"""An analysis as Markdown, for a pull request or a log."""

from typing import Any

from pose_eval.analysis.error_types import LABELS, REPAIRS
from pose_eval.analysis.overview import Analysis, CategoryAnalysis
from pose_eval.coco.report import number
from pose_eval.render.table import markdown_table as table
from pose_eval.render.table import plain
from pose_eval.render.text import gain


def markdown(analysis: Analysis, digits: int = 3) -> str:
    """Return tables of the numbers, joints, errors and groups. Same input, same bytes."""
    report = analysis.report
    lines = [f"# {plain(report.results.name)} on {plain(report.gt.name)}", ""]
    lines += _numbers(analysis, digits)
    counts = report.counts
    lines += [
        "",
        f"{counts['images']} images, {counts['persons']} persons, {counts['detections']} "
        f"detections; protocol {report.protocol}.",
    ]
    if report.warnings:
        lines += ["", "Warnings:", "", *(f"- {plain(line)}" for line in report.warnings)]
    if len(report.gt.categories) > 1:
        lines += ["", *table(report.category_rows(digits))]
    for category in analysis.categories:
        if len(report.gt.categories) > 1:
            lines += ["", f"# {plain(category.name)}"]
        lines += _category(category, digits)
    return "\n".join(lines) + "\n"


def appendix(analysis: Analysis, digits: int, breakdown: bool) -> str:
    """Return what text output shows below the table of pycocotools."""
    lines = ["", *_numbers(analysis, digits)] if analysis.intervals else []
    for category in analysis.categories if breakdown else ():
        if len(analysis.report.gt.categories) > 1:
            lines += ["", f"# {plain(category.name)}"]
        lines += _category(category, digits)
    return "\n".join(lines) + "\n"


def _numbers(analysis: Analysis, digits: int) -> list[str]:
    report = analysis.report
    header: list[Any] = ["number", "value"]
    if analysis.intervals:
        header += ["95 % interval"]
    further = {k: v for k, v in report.all_stats().items() if k in analysis.intervals}
    rows = []
    for name, value in (report.stats | further).items():
        row = [name, number(value, digits)]
        if analysis.intervals:
            found = analysis.intervals.get(name)
            row.append(f"{found.low:.{digits}f} to {found.high:.{digits}f}" if found else "-")
        rows.append(row)
    lines = table([header, *rows])
    if analysis.intervals:
        lines += ["", f"Bootstrap over images, {analysis.replicates} replicates."]
    return lines


def _category(category: CategoryAnalysis, digits: int) -> list[str]:
    diagnosis = category.diagnosis
    counts = diagnosis.counts()[1:]
    rows = []
    for k, joint in enumerate(category.joints):
        total = int(counts[:, k].sum())
        shares = [f"{100 * c / total:.1f} %" if total else "-" for c in counts[:, k]]
        rows.append(
            [
                joint["name"],
                joint["labelled"],
                number(joint["ap"], digits),
                number(joint["pck10"], digits),
                number(joint["median_px"], 1),
                *shares,
            ]
        )
    header = ["joint", "labelled", "AP", "PCK 0.1", "median px", *LABELS[1:]]
    lines = ["", "## Joints", "", *table([header, *rows])]

    lines += ["", "## What each kind of error costs", ""]
    rows = []
    now = before = diagnosis.repaired["now"]["AP"]
    for name in REPAIRS:
        alone, together = diagnosis.repaired[name]["AP"], diagnosis.cumulated[name]["AP"]
        gains = [gain(now, alone, digits), gain(before, together, digits)]
        rows.append([name, *gains, number(together, digits)])
        before = together
    lines += table([["repaired", "alone", "after those above", "AP then"], *rows])

    lines += ["", "## Groups of persons"]
    for title, groups in category.groups.items():
        rows = [
            [g.name, g.persons, *(number(v, digits) for v in (g.recall50, g.recall75, g.ar, g.oks))]
            for g in groups
        ]
        lines += ["", *table([[title, "persons", "AR50", "AR75", "AR", "mean OKS"], *rows])]
    rows = [
        [v["name"], v["joints"], number(v["similarity"], digits), f"{100 * v['good']:.1f} %"]
        for v in category.visibility
    ]
    return [*lines, "", *table([["joints", "labelled", "mean similarity", "good"], *rows])]
