"""A report as text, JSON or CSV. The same report gives the same bytes."""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose_eval.categories import category_names
from pose_eval.summary import area_suffix
from pose_eval.tables import ResultsError

if TYPE_CHECKING:
    from pose_eval.report import Report


def text(report: "Report", digits: int = 3) -> str:
    """Return the table of pycocotools, "-" where it has -1, and a line for each category."""
    settings = report.settings
    names = {area_suffix(area.name): area.name for area in settings.areas}
    whole = f"{settings.thresholds[0]:0.2f}:{settings.thresholds[-1]:0.2f}"
    lines = []
    for name, value in report.stats.items():
        kind = "Average Precision  (AP)" if name.startswith("AP") else "Average Recall     (AR)"
        rest = name[2:]
        if rest in ("M", "L") and rest not in names:
            continue  # an area that was not asked for
        oks = {"50": "0.50", "75": "0.75"}.get(rest, whole)
        column = f"area={names.get(rest, 'all'):>6s}"
        if rest in ("_easy", "_medium", "_hard") and rest not in names:
            column = f"type={rest[1:]:>6s}"
        line = f" {kind} @[ IoU={oks:<9} | {column} | maxDets={settings.max_dets:>3d} ] = "
        lines.append(line + number(value, digits) + "\n")
    return "".join(lines) + _category_lines(report, digits)


def _category_lines(report: "Report", digits: int) -> str:
    """Return a table of the numbers of each category; nothing of a single one."""
    if len(report.gt.categories) == 1:
        return ""
    rows = category_rows(report, digits)
    wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = (
        "  ".join(
            [row[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(row[1:], wide[1:], strict=True))]
        )
        for row in rows
    )
    return "\n" + "".join(f"{line}\n" for line in lines)


def category_rows(report: "Report", digits: int) -> list[list[str]]:
    """Return the cells of a table: a header, and the numbers of each category."""
    rows = [["category", "persons", "detections", *report.stats]]
    for name, entry in report.by_category().items():
        values = (number(entry["stats"].get(key), digits) for key in report.stats)
        rows.append([name, str(entry["persons"]), str(entry["detections"]), *values])
    return rows


def json_by_category(report: "Report", sections: Mapping[str, Any]) -> str:
    """Return JSON by category name; where there is one category, its section stands alone."""
    one = len(report.gt.categories) == 1
    content = next(iter(sections.values())) if one else sections
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def text_by_category(report: "Report", texts: Mapping[str, str]) -> str:
    """Return texts below the names of their categories; where there is one, its text alone."""
    if len(report.gt.categories) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"category {name}\n{text}" for name, text in texts.items())


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash for what was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def gain(before: float | None, after: float | None, digits: int) -> str:
    """Return the signed difference, or a dash."""
    return "-" if before is None or after is None else f"{after - before:+.{digits}f}"


def json_text(report: "Report", digits: int = 3) -> str:
    """Return stats (all digits), protocol, counts, warnings and what analyses added, as JSON."""
    settings = report.settings
    content = {
        "stats": report.stats,
        "protocol": report.protocol,
        "counts": report.counts,
        "warnings": list(report.warnings),
        "settings": {
            "sigmas": [list(values) for values in settings.sigmas],
            "oks_thresholds": list(settings.thresholds),
            "areas": {area.name: [area.low, area.high] for area in settings.areas},
            "area_from": settings.area_from,
            "max_dets": settings.max_dets,
            "joints": None if settings.joints is None else list(settings.joints),
            "categories": list(category_names(report.gt)),
        },
        **({"categories": report.by_category()} if len(report.gt.categories) > 1 else {}),
        **report.sections,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def csv_text(report: "Report", digits: int = 3) -> str:
    """Return one line for each number: its name (AP, AP/cat) and value, empty where None."""
    return csv_of([("name", "value"), *report.all_stats().items()])


def csv_of(rows: list[Any]) -> str:
    """Return rows as CSV with \\n between lines; None and NaN are empty, floats have all digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if v is None or v != v else v for v in row])
    return out.getvalue()


# How a report is written, by the name of --format.
WRITERS: dict[str, Callable[["Report", int], str]] = {
    "text": text,
    "json": json_text,
    "csv": csv_text,
}


def emit(content: str, out: Path | None) -> None:
    """Print, or write a file whole or not at all; raises ResultsError."""
    if out is None:
        sys.stdout.write(content)
    else:
        write_file(out, content)


def write_file(path: Path, content: str) -> None:
    """Write a file whole or not at all; raises ResultsError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(content, encoding="utf-8", newline="")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


class OutputError(ResultsError):
    """A file that cannot be written."""


def finite(value: float) -> float | None:
    """Return a number as JSON can hold it."""
    return float(value) if math.isfinite(value) else None
