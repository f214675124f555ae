"""What is behind the numbers: pose-eval errors, compare and pck."""

import argparse
from collections.abc import Iterable, Mapping
from html import escape

from pose_eval.analysis.bootstrap import Comparison
from pose_eval.analysis.bootstrap import compare as compare_reports
from pose_eval.analysis.error_types import REPAIRS, Diagnosis, diagnose
from pose_eval.analysis.pck_persons import PckReport, pck_report
from pose_eval.commands.evaluate import (
    as_json,
    by_category,
    emit,
    exit_code,
    gated,
    read_reports,
    too_low,
)
from pose_eval.render.html import document
from pose_eval.render.parts import compared, found, labels, repairs
from pose_eval.render.table import as_html, as_markdown, as_text, number, plain, text_table
from pose_eval.settings import parse_pairs


def errors(args: argparse.Namespace) -> int:
    """Run the command."""
    (report,) = read_reports(args, args.results)

    def measure(category: int) -> Diagnosis:
        names = report.gt.categories[category].joint_names
        flip = None if args.flip_pairs is None else parse_pairs(args.flip_pairs, names)
        return diagnose(report, category=category, flip=flip)

    emit(by_category(report, report.each(measure), args, _errors_text), args.out)
    return 0


def _errors_text(diagnosis: Diagnosis, digits: int = 3) -> str:
    """Return the shares of labels for each keypoint, and AP with each kind of error repaired."""
    head, nothing, *rows = repairs(diagnosis, digits)
    for row in rows:
        row[0] = f"{row[0]:10s}  {REPAIRS[row[0]]}"
    tables = text_table(labels(diagnosis), 7), text_table([head, nothing, *rows], 7)
    return "\n".join([*tables[0], "", found(diagnosis), "", *tables[1], ""])


def compare(args: argparse.Namespace) -> int:
    """Run the command; returns 3 where a gate fails."""
    report_a, report_b = read_reports(args, args.a, args.b)
    changed = compare_reports(report_a, report_b, replicates=args.bootstrap, seed=args.seed)
    stats = report_b.all_stats()
    failures = too_low(stats, args.fail_below) + _fallen(stats, changed, args.fail_drop)
    title = f"{changed.name_b} against {changed.name_a}"
    parts = compared(changed, args.digits, "**" if args.format == "md" else "")
    if args.format == "json":
        output = as_json(changed.section() | {"failed": failures})
    elif args.format == "md":
        output = f"# {plain(title)}\n\n{as_markdown(parts)}"
    elif args.format == "html":
        output = document(title, [f"<h1>{escape(title)}</h1>", *as_html(parts)])
    else:
        output = f"a = {changed.name_a}\nb = {changed.name_b}\n\n{as_text(parts)}"
    emit(output, args.out)
    return exit_code(failures)


def _fallen(
    stats: Mapping[str, float | None], found: Comparison, gates: Iterable[tuple[str, float]]
) -> list[str]:
    """Return one line for each number that is lower in b than in a by more than its limit."""
    lines = []
    for name, limit in gates:
        gated(stats, name)
        change = found.changes.get(name)
        if change is None:
            lines.append(f"{name} has no value in both, so its drop is not known")
        elif -change.delta > limit:
            values = f"{-change.delta:.6f} ({change.a:.6f} to {change.b:.6f})"
            lines.append(f"{name} fell by {values}, more than {limit:g}")
    return lines


def pck(args: argparse.Namespace) -> int:
    """Run the command."""
    (report,) = read_reports(args, args.results)
    how = {"norm": args.norm, "thresholds": args.thr, "auc_pixels": args.auc_pixels}
    found = report.each(lambda category: pck_report(report, category=category, **how))
    emit(by_category(report, found, args, _pck_text), args.out)
    return 0


def _pck_text(found: PckReport, digits: int = 3) -> str:
    """Return a line for each keypoint and the other measures."""
    rows = [["PCK", *(f"@{thr:g}" for thr in found.pck)]]
    for k, name in enumerate(found.joint_names):
        rows.append([name, *(number(joints[k], digits) for joints, _ in found.pck.values())])
    rows.append(["mean", *(number(mean, digits) for _, mean in found.pck.values())])
    lines = [
        *text_table(rows, 7),
        "",
        f"AUC {number(found.auc, digits)}   EPE {number(found.epe, digits)} px   "
        f"NME {number(found.nme, digits)}",
        f"{found.persons} persons, {found.unpaired} without a detection (wrong in PCK and AUC, not "
        f"in EPE and NME); norm: {found.norm}",
    ]
    if found.unmeasured:
        lines.append(f"{found.unmeasured} persons lack that length and are left out of PCK and NME")
    return "\n".join(lines) + "\n"
