"""The arguments that commands share, and the reports that they ask for."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pose_eval.coco.evaluate import prepare, report_of, restrict
from pose_eval.coco.report import Report
from pose_eval.coco.suppress import AREA_HELP, NMS_HELP, SCORE_HELP, parse_suppression, suppress
from pose_eval.coco.tables import Bools, GroundTruth, Results, SettingsError
from pose_eval.io.results import read_results
from pose_eval.settings import PROTOCOLS, Settings


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add what says how results are evaluated."""
    parser.add_argument("--gt", required=True, help="COCO keypoint annotations; - is stdin")
    add = parser.add_argument_group("what is evaluated").add_argument
    add("--protocol", default="coco", choices=PROTOCOLS, help="whose numbers (coco)")
    add(
        "--sigmas",
        help="coco, crowdpose, aic, mpii, a file, a run directory, or 0.026,0.025,... (coco)",
    )
    add("--category", metavar="NAMES", help="names or ids of categories between commas (all)")
    add("--joints", help="a subset: 5-16, or names between commas")
    add("--area", choices=("ann", "bbox"), help="area of a person: annotated, or 0.53 w h")
    add("--areas", help="ranges: small=0:1024,large=9216:1e10 (medium and large)")
    add("--oks", help="thresholds: FIRST:LAST:STEP or numbers (0.5:0.95:0.05)")
    add("--max-dets", type=int, default=20, help="detections of an image that take part (20)")
    add("--images", help="image ids between commas, or a file of them")
    add("--unknown-images", choices=("error", "drop"), default="error")
    add("--unknown-categories", choices=("error", "drop"), default="error")
    add("--match-images", choices=("file_name", "stem"), help="what image_id of the results is")
    add_suppression(parser)


def add_suppression(parser: argparse.ArgumentParser) -> None:
    """Add what says which duplicates are removed, and by which score."""
    add = parser.add_argument_group("before that").add_argument
    add("--nms", metavar="HOW", help=NMS_HELP + " (none)")
    add("--score", metavar="HOW", help=SCORE_HELP + " (bbox)")
    add("--nms-area", metavar="HOW", help=AREA_HELP + " (joints)")


def add_output(parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json")) -> None:
    """Add how and where a command writes."""
    add = parser.add_argument_group("output").add_argument
    add("--format", choices=formats, default="text")
    add("-o", "--out", type=Path, help="write there instead of to stdout")
    add("--digits", type=int, choices=range(1, 13), metavar="N", default=3, help="(3)")
    add("--quiet", action="store_true", help="no warnings")


def read_reports(args: argparse.Namespace, results: Sequence[str]) -> list[Report]:
    """Evaluate results files on one ground truth; prints the warnings unless `quiet`.

    Files of the same name are told apart by their paths.
    """
    how = parse_suppression(args.nms, args.score, args.nms_area)
    full, gt, settings, keep, warnings = _prepared(args, results)
    names = [Path(path).name for path in results]
    reports = []
    for path in results:
        name = path if names.count(Path(path).name) > 1 else ""
        table, notes = _table(args, path, full, settings.joints, name)
        table = restrict(table, settings, keep)
        if args.nms or args.score:
            table = suppress(table, settings, how)
        reports.append(report_of(gt, table, settings, [*warnings, *notes]))
    say(dict.fromkeys(line for report in reports for line in report.warnings), args.quiet)
    return reports


def read_checked(args: argparse.Namespace) -> tuple[Results, list[str]]:
    """Read both files without evaluating them; returns the results and all warnings."""
    full, _, settings, _, warnings = _prepared(args, [args.results])
    table, notes = _table(args, args.results, full, settings.joints, "")
    return table, [*warnings, *notes]


def say(warnings: Iterable[str], quiet: bool) -> None:
    """Print warnings to the standard error."""
    for warning in () if quiet else warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _prepared(
    args: argparse.Namespace, results: Sequence[str]
) -> tuple[GroundTruth, GroundTruth, Settings, Bools | None, list[str]]:
    if [args.gt, *results].count("-") > 1:
        raise SettingsError("only one file can come from the standard input")
    return prepare(
        args.gt,
        args.sigmas,
        args.protocol,
        args.joints,
        args.area,
        args.areas,
        args.oks,
        args.max_dets,
        args.images,
        args.category,
    )


def _table(
    args: argparse.Namespace, path: str, gt: GroundTruth, joints: Sequence[int] | None, name: str
) -> tuple[Results, list[str]]:
    return read_results(
        path,
        gt,
        unknown_images=args.unknown_images,
        unknown_categories=args.unknown_categories,
        match_images=args.match_images,
        joints=joints,
        name=name,
    )
