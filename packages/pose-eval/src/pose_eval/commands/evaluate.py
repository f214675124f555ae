"""pose-eval RESULTS --gt GT: print AP and AR."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pose_eval import __version__
from pose_eval.coco.report import Report
from pose_eval.coco.tables import SettingsError
from pose_eval.commands.arguments import add_settings, read_checked, read_reports, say
from pose_eval.commands.gates import add_gate, outcome, too_low
from pose_eval.render import files
from pose_eval.render.text import WRITERS, emit, write_file

EPILOG = """other commands: check, errors, compare, nms, pck, sigmas; see pose-eval COMMAND --help
exit codes: 0 done, 1 bad data, 2 bad arguments, 3 a gate failed"""

# Files with more than the summary, by the name of their option.
FILES = {
    "matches": files.matches_json,
    "curves": files.curves_csv,
    "per_image": files.per_image_csv,
}


def run(argv: Sequence[str]) -> int:
    """Run the command; raises ResultsError."""
    args = parser().parse_args(argv)
    if args.images_dir is not None:
        if args.format != "html":
            raise SettingsError("--images-dir needs --format html")
        if not args.images_dir.is_dir():
            raise SettingsError(f"--images-dir {args.images_dir}: there is no such folder")
    for name in FILES:
        if (path := getattr(args, name)) is not None and not path.parent.is_dir():
            raise SettingsError(f"cannot write {path}: there is no folder {path.parent}")
    if args.check:
        table, warnings = read_checked(args)
        say(warnings, args.quiet)
        print(f"{table.name}: {len(table.row)} rows are in order")
        return 0
    report = read_reports(args, [args.results])[0]
    failures = too_low(report.all_stats(), args.fail_below)
    for name, content in FILES.items():
        if getattr(args, name) is not None:
            write_file(getattr(args, name), content(report))
    emit(written(report, args), args.out)
    return outcome(failures)


def written(report: Report, args: argparse.Namespace) -> str:
    """Return the report in the format asked for, with what else was asked for."""
    more = args.bootstrap or args.breakdown
    if args.format == "csv" and more:
        raise SettingsError("--bootstrap and --breakdown need text, json, md or html")
    if args.format in WRITERS and not more:
        return WRITERS[args.format](report, args.digits)
    # Imported here: the ten numbers do without.
    from pose_eval.analysis.overview import analyse, with_breakdown, with_intervals
    from pose_eval.render.html import page
    from pose_eval.render.markdown import appendix, markdown

    if args.format == "json":
        report = with_intervals(report, args.bootstrap, args.seed) if args.bootstrap else report
        return WRITERS["json"](with_breakdown(report) if args.breakdown else report, args.digits)
    default = 0 if args.format == "text" else 1000
    replicates = default if args.bootstrap is None else args.bootstrap
    analysis = analyse(report, replicates=replicates, seed=args.seed)
    if args.format == "html":
        return page(analysis, args.digits, args.images_dir)
    if args.format == "md":
        return markdown(analysis, args.digits)
    return WRITERS["text"](report, args.digits) + appendix(analysis, args.digits, args.breakdown)


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
    add("--version", action="version", version=f"pose-eval {__version__}")
    add("--check", action="store_true", help="check both files, evaluate nothing")

    add_settings(found)
    add = found.add_argument_group("output").add_argument
    add("--format", choices=(*WRITERS, "md", "html"), default="text")
    add("-o", "--out", type=Path, help="write there instead of to stdout")
    add("--digits", type=digits, default=3, help="digits of the numbers in tables (3)")
    add(
        "--bootstrap",
        type=count,
        metavar="N",
        help="95 %% intervals from N replicates of the images (0; in md and html 1000)",
    )
    add("--seed", type=int, default=0, help="of the bootstrap (0)")
    add(
        "--breakdown",
        action="store_true",
        help="joints, groups of persons and errors, in text and JSON (md and html have them)",
    )
    add("--images-dir", type=Path, metavar="FOLDER", help="draw the worst images, in html")
    add_gate(found, "exit with 3 if this number is lower; may be repeated")
    add("--quiet", action="store_true", help="no warnings")
    add("--matches", type=Path, metavar="F.json", help="OKS and matches of every image")
    add("--curves", type=Path, metavar="F.csv", help="precision and score at each recall")
    add("--per-image", type=Path, metavar="F.csv", help="right, wrong, missed of each image")
    return found


def count(text: str) -> int:
    """Read a whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def digits(text: str) -> int:
    """Read a number of digits from 0 to 17."""
    if not text.isdecimal() or int(text) > 17:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of digits from 0 to 17")
    return int(text)
