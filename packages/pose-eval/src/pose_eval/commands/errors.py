"""pose-eval errors RESULTS --gt GT: what goes wrong at the joints, and what it costs."""

import argparse
from collections.abc import Sequence

from pose_eval.analysis.error_types import LABELS, NO_FLIPS, REPAIRS, Diagnosis, diagnose
from pose_eval.coco.report import number
from pose_eval.coco.tables import SettingsError
from pose_eval.commands.arguments import add_output, add_settings, read_reports
from pose_eval.render.text import emit, gain, json_by_category, text_by_category
from pose_eval.settings import parse_joints

MEANING = {
    "jitter": "joint near its place",
    "inversion": "joint on its mirror joint",
    "swap": "joint on somebody else's",
    "miss": "joint far from all of these",
    "score": "order of the detections",
    "duplicate": "second detection of a person",
    "background": "detection of nobody",
    "missed": "person without a detection",
}


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    report = read_reports(args, [args.results])[0]

    def measure(category: int) -> Diagnosis:
        names = report.gt.categories[category].joint_names
        flip = None if args.flip_pairs is None else pairs(args.flip_pairs, names)
        return diagnose(report, category=category, flip=flip)

    found = report.each(measure)
    if args.format == "json":
        output = json_by_category(report, {name: d.section() for name, d in found.items()})
    else:
        output = text_by_category(report, {name: text(d, args.digits) for name, d in found.items()})
    emit(output, args.out)
    return 0


def text(diagnosis: Diagnosis, digits: int = 3) -> str:
    """Return the shares of labels for each joint, and AP with each kind of error repaired."""
    counts = diagnosis.counts()[1:]
    wide = max(10, *(len(name) for name in diagnosis.joint_names))
    lines = [f"{'joint':{wide}s} {'labelled':>9s}" + "".join(f"{n:>11s}" for n in LABELS[1:])]
    columns = [*zip(diagnosis.joint_names, counts.T, strict=True), ("all", counts.sum(axis=1))]
    for name, column in columns:
        total = int(column.sum())
        shares = [f"{100 * c / total:9.1f} %" if total else f"{'-':>11s}" for c in column]
        lines.append(f"{name:{wide}s} {total:9d}{''.join(shares)}")
    if not diagnosis.flips:
        lines += ["", NO_FLIPS + " (--flip-pairs)"]
    lines += [
        "",
        f"{len(diagnosis.rows)} detections belong to a person (OKS 0.1 and more), "
        f"{len(diagnosis.duplicates)} are duplicates, {len(diagnosis.background)} are background;",
        f"{len(diagnosis.missed)} of {diagnosis.counted} persons are missed.",
        "",
        f"{'repaired':11s} {'':30s} {'alone':>8s} {'AP':>9s}   {'with all above':>14s} {'AP':>9s}",
    ]
    now = diagnosis.repaired["now"]["AP"]
    lines.append(f"{'nothing':11s} {'':30s} {number(now, digits):>18s}")
    before = now
    for name in REPAIRS:
        alone, together = diagnosis.repaired[name]["AP"], diagnosis.cumulated[name]["AP"]
        lines.append(
            f"{name:11s} {MEANING[name]:30s} {gain(now, alone, digits):>8s} "
            f"{number(alone, digits):>9s}   {gain(before, together, digits):>14s} "
            f"{number(together, digits):>9s}"
        )
        before = together
    return "\n".join(lines) + "\n"


def pairs(text: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Read "1-2,3-4" or "left_eye-right_eye,..." as pairs of joints."""
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        ends = part.split("-")
        if len(ends) != 2:
            raise SettingsError(f"flip pair {part!r} is not two joints with a dash between them")
        a, b = (parse_joints(end, names)[0] for end in ends)
        if a == b or {a, b} & {joint for pair in found for joint in pair}:
            raise SettingsError(f"flip pair {part!r}: a joint mirrors one other joint")
        found.append((a, b))
    return found


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    found = argparse.ArgumentParser(
        prog="pose-eval errors",
        description="Show what goes wrong at the joints and how much AP each kind of error costs "
        "(Ronchi and Perona, ICCV 2017).",
    )
    found.add_argument("results", help="results: a list of rows; - is stdin")
    add_settings(found)
    add = found.add_argument_group("errors").add_argument
    add(
        "--flip-pairs",
        metavar="1-2,3-4",
        help="joints that mirror each other (those whose names differ in left and right)",
    )
    add_output(found)
    return found
