"""pose-eval RESULTS --gt GT: print AP and AR."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pose_eval import __version__, details
from pose_eval.arguments import add_settings, read_checked, read_reports, say
from pose_eval.output import WRITERS, write_file
from pose_eval.tables import SettingsError

EPILOG = """other commands: pose-eval check, errors, compare, nms, pck; each has its own --help
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
    for name in FILES:
        if (path := getattr(args, name)) is not None and not path.parent.is_dir():
            raise SettingsError(f"cannot write {path}: there is no folder {path.parent}")
    if args.check:
        table, warnings = read_checked(args)
        say(warnings, args.quiet)
        print(f"{table.name}: {len(table.row)} rows are in order")
        return 0
    report = read_reports(args, [args.results])[0]
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
    add("--version", action="version", version=f"pose-eval {__version__}")
    add("--check", action="store_true", help="check both files, evaluate nothing")

    add_settings(found)
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
