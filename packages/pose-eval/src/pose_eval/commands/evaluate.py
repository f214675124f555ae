"""pose-eval RESULTS --gt GT: print AP and AR; and what other commands share with it."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pose_eval.coco.evaluate import Evaluator
from pose_eval.coco.report import Report
from pose_eval.coco.suppress import parse_suppression
from pose_eval.coco.tables import SettingsError
from pose_eval.commands.options import EVALUATED
from pose_eval.render import files
from pose_eval.render.table import csv_table, printable

# Files with more than the summary, by the name of their option.
FILES = {
    "matches": files.matches_json,
    "curves": files.curves_csv,
    "per_image": files.per_image_csv,
}


def evaluate(args: argparse.Namespace) -> int:
    """Run the command; raises ResultsError."""
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
        evaluator = evaluator_of(args, [args.results])
        evaluator.update(args.results)
        table, warnings = evaluator.collected()
        emit_checked(table.name, {"rows": len(table.row)}, warnings, args)
        return 0
    (report,) = read_reports(args, args.results)
    failures = too_low(report.all_stats(), args.fail_below)
    for name, path in written.items():
        emit(FILES[name](report), path)
    emit(_content(report, args), args.out)
    return exit_code(failures)


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
    from pose_eval.analysis.breakdown import analyse, with_sections
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


def evaluator_of(args: argparse.Namespace, results: Sequence[str]) -> Evaluator:
    """Return an evaluator with the settings asked for."""
    if [args.gt, *results].count("-") > 1:
        raise SettingsError("only one file can come from the standard input")
    # The options of the table are its arguments.
    names = [option[2:].replace("-", "_") for option in EVALUATED]
    how = {name: getattr(args, name) for name in names if name not in ("gt", "category")}
    return Evaluator(args.gt, categories=args.category, **how)


def read_reports(args: argparse.Namespace, *results: str) -> list[Report]:
    """Evaluate results files on one ground truth; prints the warnings unless `quiet`.

    Files of the same name are told apart by their paths.
    """
    how = parse_suppression(args.nms, args.score, args.nms_area)
    evaluator = evaluator_of(args, results)
    names = [Path(path).name for path in results]
    reports = []
    for path, name in zip(results, names, strict=True):
        evaluator.reset()
        evaluator.update(path, name=path if names.count(name) > 1 else "")
        reports.append(evaluator.compute(how if args.nms or args.score else None))
    warn((line for report in reports for line in report.warnings), args.quiet)
    return reports


def warn(warnings: Iterable[str], quiet: bool = False) -> None:
    """Print warnings to the standard error, each once."""
    for warning in () if quiet else dict.fromkeys(warnings):
        print(printable(f"warning: {warning}"), file=sys.stderr)


def emit_checked(
    name: str, counts: Mapping[str, int], warnings: Iterable[str], args: argparse.Namespace
) -> None:
    """Print that a file is in order, and what is in it, in the format asked for."""
    if args.format == "json":
        print(as_json({"file": name, **counts, "warnings": list(dict.fromkeys(warnings))}), end="")
        return
    warn(warnings, args.quiet)
    found = " in ".join(f"{count} {what}" for what, count in counts.items())
    print(printable(f"{name}: {found} are in order"))


def too_low(stats: Mapping[str, float | None], gates: Iterable[tuple[str, float]]) -> list[str]:
    """Return one line for each number below its limit; raises SettingsError for unknown names."""
    lines = []
    for name, limit in gates:
        value = gated(stats, name)
        if value is None:
            lines.append(f"{name} has no value here, so it is not known to reach {limit:g}")
        elif value < limit:
            lines.append(f"{name} is {value:.6f}, below {limit:g}")
    return lines


def gated(stats: Mapping[str, float | None], name: str) -> float | None:
    """Return the number that a gate is about; raises SettingsError that lists the names."""
    if name not in stats:
        known = ", ".join(stats)
        raise SettingsError(f"a gate is about {name!r}, which is not measured; there are {known}")
    return stats[name]


def exit_code(failures: Sequence[str]) -> int:
    """Print the gates that failed; returns the exit code."""
    for failure in failures:
        print(f"pose-eval: gate failed: {failure}", file=sys.stderr)
    return 3 if failures else 0


def as_json(content: Any) -> str:
    """Return a value as JSON."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def by_category(
    report: Report, found: Mapping[str, Any], args: argparse.Namespace, text: Callable[..., str]
) -> str:
    """Return what each category has by its name, in the format asked for; a single one alone."""
    one = len(report.gt.categories) == 1
    if args.format == "json":
        sections = {name: each.section() for name, each in found.items()}
        return as_json(next(iter(sections.values())) if one else sections)
    texts = {name: text(each, args.digits) for name, each in found.items()}
    if one:
        return next(iter(texts.values()))
    return "\n".join(f"category {name}\n{each}" for name, each in texts.items())


def emit(content: str, out: Path | None) -> None:
    """Print, or write a file whole or not at all; raises SettingsError."""
    if out is None:
        sys.stdout.write(printable(content))
        return
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    try:
        # JSON allows half a character, "\\ud800", which no file does.
        temporary.write_bytes(content.encode(errors="backslashreplace"))
        os.replace(temporary, out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {out}: {error.strerror}") from None
