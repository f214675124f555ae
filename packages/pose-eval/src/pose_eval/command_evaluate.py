"""pose-eval RESULTS --gt GT: print AP and AR."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pose_eval import __version__, details
from pose_eval.evaluate import prepare, report_of, restrict
from pose_eval.output import WRITERS, write_file
from pose_eval.results import read_results
from pose_eval.settings import PROTOCOLS
from pose_eval.tables import SettingsError

EPILOG = """other commands: pose-eval check FILE [--gt GT]
exit codes: 0 done, 1 bad data, 2 bad arguments, 3 a gate failed"""

# Files with more than the summary, by the name of their option.
FILES = {
    "matches": details.matches_json,
    "curves": details.curves_csv,
    "per_image": details.per_image_csv,
}


def run(argv: Sequence[str]) -> int:
    """Run the command; raises ResultsError."""
    args = parser().parse_args(argv)
    if str(args.results) == "-" and str(args.gt) == "-":
        raise SettingsError("results and ground truth cannot both come from the standard input")
    for name in FILES:
        if (path := getattr(args, name)) is not None and not path.parent.is_dir():
            raise SettingsError(f"cannot write {path}: there is no folder {path.parent}")
    full, gt, settings, keep, warnings = prepare(
        args.gt,
        args.sigmas,
        args.protocol,
        args.joints,
        args.area,
        args.areas,
        args.oks,
        args.max_dets,
        args.images,
    )
    table, notes = read_results(
        args.results,
        full,
        unknown_images=args.unknown_images,
        unknown_categories=args.unknown_categories,
    )
    warnings += notes
    if not args.quiet:
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if args.check:
        print(f"{table.name}: {len(table.row)} rows are in order")
        return 0
    report = report_of(gt, restrict(table, settings, keep), settings, warnings)
    for name, content in FILES.items():
        if getattr(args, name) is not None:
            write_file(getattr(args, name), content(report))
    text = WRITERS[args.format](report, args.digits)
    if args.out is None:
        sys.stdout.write(text)
    else:
        write_file(args.out, text)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    found = argparse.ArgumentParser(
        prog="pose-eval",
        description="Print the COCO keypoint numbers of a results file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add("results", help="results: a list of rows as JSON or JSON lines, .gz or not; - is stdin")
    add("--gt", required=True, help="COCO keypoint annotations, .gz or not; - is stdin")
    add("--version", action="version", version=f"pose-eval {__version__}")
    add("--check", action="store_true", help="check both files, evaluate nothing")

    add = found.add_argument_group("what is evaluated").add_argument
    add("--protocol", default="coco", choices=PROTOCOLS, help="whose numbers (coco)")
    add("--sigmas", help="coco, crowdpose, aic, mpii, a file, or 0.026,0.025,... (coco)")
    add("--joints", help="a subset: 5-16, or names between commas")
    add("--area", choices=("ann", "bbox"), help="area of a person: annotated, or 0.53 w h")
    add("--areas", help="ranges: small=0:1024,large=9216:1e10 (medium and large)")
    add("--oks", help="thresholds: FIRST:LAST:STEP or numbers (0.5:0.95:0.05)")
    add("--max-dets", type=int, default=20, help="detections of an image that take part (20)")
    add("--images", help="image ids between commas, or a file of them")
    add("--unknown-images", choices=("error", "drop"), default="error")
    add("--unknown-categories", choices=("error", "drop"), default="error")

    add = found.add_argument_group("output").add_argument
    add("--format", choices=tuple(WRITERS), default="text")
    add("-o", "--out", type=Path, help="write there instead of to stdout")
    add("--digits", type=digits, default=3, help="digits of the numbers in tables (3)")
    add("--quiet", action="store_true", help="no warnings")
    add("--matches", type=Path, metavar="F.json", help="OKS and matches of every image")
    add("--curves", type=Path, metavar="F.csv", help="precision and score at each recall")
    add("--per-image", type=Path, metavar="F.csv", help="right, wrong, missed of each image")
    return found


def digits(text: str) -> int:
    """Read a number of digits from 0 to 17."""
    if not text.isdecimal() or int(text) > 17:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of digits from 0 to 17")
    return int(text)
