"""A report as text, JSON or CSV. The same report gives the same bytes."""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pose_eval.coco.report import Report
from pose_eval.coco.tables import ResultsError
from pose_eval.render.table import csv_table


def json_by_category(report: Report, sections: Mapping[str, Any]) -> str:
    """Return JSON by category name; where there is one category, its section stands alone."""
    one = len(report.gt.categories) == 1
    content = next(iter(sections.values())) if one else sections
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def text_by_category(report: Report, texts: Mapping[str, str]) -> str:
    """Return texts below the names of their categories; where there is one, its text alone."""
    if len(report.gt.categories) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"category {name}\n{text}" for name, text in texts.items())


def gain(before: float | None, after: float | None, digits: int) -> str:
    """Return the signed difference, or a dash."""
    return "-" if before is None or after is None else f"{after - before:+.{digits}f}"


def text(report: Report, digits: int = 3) -> str:
    """Return the table of the numbers."""
    return report.table(digits) + "\n"


def json_text(report: Report, digits: int = 3) -> str:
    """Return everything, with all digits, as JSON."""
    return report.to_json()


def csv_text(report: Report, digits: int = 3) -> str:
    """Return one line for each number: its name (AP, AP/cat) and value, empty where None."""
    return csv_table([("name", "value"), *report.all_stats().items()])


# How a report is written, by the name of --format.
WRITERS: dict[str, Callable[[Report, int], str]] = {
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
