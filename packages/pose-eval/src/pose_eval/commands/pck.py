"""pose-eval pck RESULTS --gt GT: PCK, AUC, EPE and NME."""

import argparse
from collections.abc import Sequence

from pose_eval.analysis.pck_persons import PckReport, pck_report
from pose_eval.coco.report import number
from pose_eval.commands.arguments import add_output, add_settings, read_reports
from pose_eval.render.text import emit, json_by_category, text_by_category


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    report = read_reports(args, [args.results])[0]
    how = {"norm": args.norm, "thresholds": args.thr, "auc_pixels": args.auc_pixels}
    found = report.each(lambda category: pck_report(report, category=category, **how))
    if args.format == "json":
        output = json_by_category(report, {name: p.section() for name, p in found.items()})
    else:
        output = text_by_category(report, {n: text(p, args.digits) for n, p in found.items()})
    emit(output, args.out)
    return 0


def text(found: PckReport, digits: int = 3) -> str:
    """Return a line for each joint and the other measures."""
    wide = max(8, *(len(name) for name in found.joint_names))
    lines = [f"{'PCK':{wide}s}" + "".join(f"{f'@{thr:g}':>9s}" for thr in found.pck)]
    for k, name in enumerate(found.joint_names):
        values = (joints[k] for joints, _ in found.pck.values())
        lines.append(f"{name:{wide}s}" + "".join(f"{number(v, digits):>9s}" for v in values))
    means = "".join(f"{number(mean, digits):>9s}" for _, mean in found.pck.values())
    lines += [
        f"{'mean':{wide}s}{means}",
        "",
        f"AUC {number(found.auc, digits)}   EPE {number(found.epe, digits)} px   "
        f"NME {number(found.nme, digits)}",
        f"{found.persons} persons, {found.unpaired} without a detection (wrong in PCK and AUC, not "
        f"in EPE and NME); norm: {found.norm}",
    ]
    if found.unmeasured:
        lines.append(f"{found.unmeasured} persons lack that length and are left out of PCK and NME")
    return "\n".join(lines) + "\n"


def thresholds(text: str) -> tuple[float, ...]:
    """Read numbers above 0 between commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers above 0 between commas")
    return values


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    found = argparse.ArgumentParser(
        prog="pose-eval pck",
        description="Print the share of joints near their place. Each person is compared with one "
        "detection of its image, pairs of the highest OKS first.",
    )
    found.add_argument("results", help="results: a list of rows; - is stdin")
    add_settings(found)
    add = found.add_argument_group("distances").add_argument
    add(
        "--norm",
        default="bbox",
        help="bbox (its longer side), bbox-wh (as MMPose), area (its root), or two joints: "
        "left_shoulder,right_hip is PCK by torso, head_top,neck is PCKh",
    )
    add("--thr", type=thresholds, default=(0.05, 0.1, 0.2, 0.5), help="(0.05,0.1,0.2,0.5)")
    add("--auc-pixels", type=float, default=30.0, help="of the AUC (30, as MMPose)")
    add_output(found)
    return found
