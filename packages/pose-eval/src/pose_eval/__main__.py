"""The command line: pose-eval RESULTS.json --gt ANNOTATIONS.json."""

import argparse
import os
import sys
from pathlib import Path

from pose_eval import ResultsError, __version__, evaluate


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 done, 1 bad data, 2 bad arguments."""
    args = _parser().parse_args(argv)
    try:
        report = evaluate(args.results, args.gt, sigmas=args.sigmas)
    except ResultsError as error:
        print(f"pose-eval: {error}", file=sys.stderr)
        return 1
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    text = report.to_json() if args.format == "json" else report.table() + "\n"
    if args.out is None:
        sys.stdout.write(text)
        return 0
    try:
        temporary = args.out.with_name(args.out.name + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, args.out)
    except OSError as error:
        print(f"pose-eval: cannot write {args.out}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pose-eval",
        description="Print the ten COCO keypoint numbers of a results file.",
    )
    parser.add_argument("results", type=Path, help="results JSON: a list of rows")
    parser.add_argument("--gt", type=Path, required=True, help="COCO keypoint annotations")
    parser.add_argument("--sigmas", type=_sigmas, help="one per joint: 0.026,0.025,... (COCO's 17)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("-o", "--out", type=Path, help="write there instead of to stdout")
    parser.add_argument("--version", action="version", version=f"pose-eval {__version__}")
    return parser


def _sigmas(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers") from None
    if min(values) <= 0:
        raise argparse.ArgumentTypeError("every sigma must be above 0")
    return values


if __name__ == "__main__":
    raise SystemExit(main())
