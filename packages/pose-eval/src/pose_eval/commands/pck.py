"""pose-eval pck RESULTS --gt GT: PCK, AUC, EPE and NME."""

import argparse
from collections.abc import Sequence

from pose_eval.analysis.pck_persons import PckReport, pck_report
from pose_eval.commands import options
from pose_eval.render.table import number, text_table


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    (report,) = options.read_reports(args, args.results)
    how = {"norm": args.norm, "thresholds": args.thr, "auc_pixels": args.auc_pixels}
    found = report.each(lambda category: pck_report(report, category=category, **how))
    options.emit(options.by_category(report, found, args, text), args.out)
    return 0


def text(found: PckReport, digits: int = 3) -> str:
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    return options.command_parser(
        "pck",
        "Print the share of keypoints near their place. Each person is compared with one detection "
        "of its\nimage, pairs of the highest OKS first.",
        options.RESULTS,
        {
            **options.SETTINGS,
            "distances": ("--norm", "--thr", "--auc-pixels"),
            "output": options.OUTPUT,
        },
    )
