"""An analysis as Markdown, for a pull request or a log."""

from collections.abc import Iterable, Sequence
from typing import Any

from pose_eval.analysis import Analysis, CategoryAnalysis
from pose_eval.errors import LABELS, REPAIRS
from pose_eval.output import category_rows, gain, number


def markdown(analysis: Analysis, digits: int = 3) -> str:
    """Return tables of the numbers, joints, errors and groups. Same input, same bytes."""
    report = analysis.report
    lines = [f"# {_plain(report.results.name)} on {_plain(report.gt.name)}", ""]
    lines += _numbers(analysis, digits)
    counts = report.counts
    lines += [
        "",
        f"{counts['images']} images, {counts['persons']} persons, {counts['detections']} "
        f"detections; protocol {report.protocol}.",
    ]
    if report.warnings:
        lines += ["", "Warnings:", "", *(f"- {_plain(line)}" for line in report.warnings)]
    if len(report.gt.categories) > 1:
        header, *rows = category_rows(report, digits)
        lines += ["", *table(header, ([_plain(name), *cells] for name, *cells in rows))]
    for category in analysis.categories:
        if len(report.gt.categories) > 1:
            lines += ["", f"# {_plain(category.name)}"]
        lines += _category(category, digits)
    return "\n".join(lines) + "\n"


def appendix(analysis: Analysis, digits: int, breakdown: bool) -> str:
    """Return what text output shows below the table of pycocotools."""
    lines = ["", *_numbers(analysis, digits)] if analysis.intervals else []
    for category in analysis.categories if breakdown else ():
        if len(analysis.report.gt.categories) > 1:
            lines += ["", f"# {_plain(category.name)}"]
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
        row = [_plain(name), number(value, digits)]
        if analysis.intervals:
            found = analysis.intervals.get(name)
            row.append(f"{found.low:.{digits}f} to {found.high:.{digits}f}" if found else "-")
        rows.append(row)
    lines = table(header, rows)
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
                _plain(joint["name"]),
                joint["labelled"],
                number(joint["ap"], digits),
                number(joint["pck10"], digits),
                number(joint["median_px"], 1),
                *shares,
            ]
        )
    header = ["joint", "labelled", "AP", "PCK 0.1", "median px", *LABELS[1:]]
    lines = ["", "## Joints", "", *table(header, rows)]

    lines += ["", "## What each kind of error costs", ""]
    rows = []
    now = before = diagnosis.repaired["now"]["AP"]
    for name in REPAIRS:
        alone, together = diagnosis.repaired[name]["AP"], diagnosis.cumulated[name]["AP"]
        gains = [gain(now, alone, digits), gain(before, together, digits)]
        rows.append([name, *gains, number(together, digits)])
        before = together
    lines += table(["repaired", "alone", "after those above", "AP then"], rows)

    lines += ["", "## Groups of persons"]
    for title, groups in category.groups.items():
        rows = [
            [g.name, g.persons, *(number(v, digits) for v in (g.recall50, g.recall75, g.ar, g.oks))]
            for g in groups
        ]
        lines += ["", *table([title, "persons", "AR50", "AR75", "AR", "mean OKS"], rows)]
    rows = [
        [v["name"], v["joints"], number(v["similarity"], digits), f"{100 * v['good']:.1f} %"]
        for v in category.visibility
    ]
    return [*lines, "", *table(["joints", "labelled", "mean similarity", "good"], rows)]


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return the lines of a table; all columns but the first are aligned to the right."""
    lines = ["| " + " | ".join(str(cell) for cell in header) + " |"]
    lines.append("|---|" + "---:|" * (len(header) - 1))
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def _plain(text: str) -> str:
    """Keep names from being read as Markdown or HTML."""
    for character in "\\`*_{}[]<>#|":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")
