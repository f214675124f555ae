"""pose-eval errors RESULTS --gt GT: what goes wrong at the keypoints, and what it costs."""

import argparse
from collections.abc import Sequence

from pose_eval.analysis.error_types import REPAIRS, Diagnosis, diagnose
from pose_eval.commands import options
from pose_eval.render.parts import found, labels, repairs
from pose_eval.render.table import text_table
from pose_eval.settings import parse_pairs


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    (report,) = options.read_reports(args, args.results)

    def measure(category: int) -> Diagnosis:
        names = report.gt.categories[category].joint_names
        flip = None if args.flip_pairs is None else parse_pairs(args.flip_pairs, names)
        return diagnose(report, category=category, flip=flip)

    options.emit(options.by_category(report, report.each(measure), args, text), args.out)
    return 0


def text(diagnosis: Diagnosis, digits: int = 3) -> str:
    """Return the shares of labels for each keypoint, and AP with each kind of error repaired."""
    head, nothing, *rows = repairs(diagnosis, digits)
    for row in rows:
        row[0] = f"{row[0]:10s}  {REPAIRS[row[0]]}"
    tables = text_table(labels(diagnosis), 7), text_table([head, nothing, *rows], 7)
    return "\n".join([*tables[0], "", found(diagnosis), "", *tables[1], ""])


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    return options.command_parser(
        "errors",
        "Show what goes wrong at the keypoints and how much AP each kind of error costs\n"
        "(Ronchi and Perona, ICCV 2017).",
        options.RESULTS,
        {**options.SETTINGS, "errors": ("--flip-pairs",), "output": options.OUTPUT},
    )
