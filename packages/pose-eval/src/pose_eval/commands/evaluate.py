"""pose-eval RESULTS --gt GT: print AP and AR."""

import argparse
from collections.abc import Sequence

from pose_eval import __version__
from pose_eval.coco.report import Report
from pose_eval.coco.tables import SettingsError
from pose_eval.commands import options
from pose_eval.render import files
from pose_eval.render.table import csv_table

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
    written = {name: getattr(args, name) for name in FILES if getattr(args, name) is not None}
    for path in written.values():
        if not path.parent.is_dir():
            raise SettingsError(f"cannot write {path}: there is no folder {path.parent}")
    if args.check:
        evaluator = options.evaluator_of(args, [args.results])
        evaluator.update(args.results)
        table, warnings = evaluator.collected()
        options.warn(warnings, args.quiet)
        print(f"{table.name}: {len(table.row)} rows are in order")
        return 0
    (report,) = options.read_reports(args, args.results)
    failures = options.too_low(report.all_stats(), args.fail_below)
    for name, path in written.items():
        options.emit(FILES[name](report), path)
    options.emit(_content(report, args), args.out)
    return options.exit_code(failures)


def _content(report: Report, args: argparse.Namespace) -> str:
    """Return the report in the format asked for, with what else was asked for."""
    more = args.bootstrap or args.breakdown
    if args.format == "csv":
        if more:
            raise SettingsError("--bootstrap and --breakdown need text, json, md or html")
        return csv_table([("name", "value"), *report.all_stats().items()])
    table = report.table(args.digits) + "\n"
    if args.format in ("text", "json") and not more:
        return report.to_json() if args.format == "json" else table
    # Imported here: the ten numbers do without.
    from pose_eval.analysis.overview import analyse, with_sections
    from pose_eval.render.html import page
    from pose_eval.render.parts import breakdown, markdown, numbers
    from pose_eval.render.table import as_markdown

    default = 1000 if args.format in ("md", "html") else 0
    replicates = default if args.bootstrap is None else args.bootstrap
    analysis = analyse(report, replicates=replicates, seed=args.seed)
    if args.format == "html":
        return page(analysis, args.digits, args.images_dir)
    if args.format == "md":
        return markdown(analysis, args.digits)
    if args.format == "json":
        return with_sections(analysis, args.breakdown).to_json()
    parts = [numbers(analysis, args.digits)] if replicates else []
    parts += breakdown(analysis, args.digits) if args.breakdown else []
    return f"{table}\n{as_markdown(parts)}"


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    output = (
        *options.OUTPUT,
        "--bootstrap",
        "--seed",
        "--breakdown",
        "--images-dir",
        "--fail-below",
    )
    help_text = "95 %% intervals from N replicates of the images (0; in md and html 1000)"
    found = options.command_parser(
        "",
        "Print the COCO keypoint numbers of a results file.",
        options.RESULTS,
        {
            **options.SETTINGS,
            "output": (*output, "--check", "--matches", "--curves", "--per-image"),
        },
        {
            "--format": {"choices": ("text", "json", "csv", "md", "html")},
            "--bootstrap": {"type": options.whole(0), "default": None, "help": help_text},
        },
        EPILOG,
    )
    found.add_argument("--version", action="version", version=f"pose-eval {__version__}")
    return found
