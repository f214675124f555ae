"""One table, however it is written: the first row is its head, the first column has names."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

Cells = Sequence[Sequence[Any]]
UNPRINTABLE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What a spreadsheet would take for a formula, and what it takes for a number.
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)
SPECIAL = str.maketrans({character: "\\" + character for character in "\\`*_{}[]<>#|"})


class Part(NamedTuple):
    """A part of a page: a title, a table, and a sentence about it, each if there is one."""

    title: str = ""
    rows: Cells = ()
    note: str = ""


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash for what was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def gain(before: float | None, after: float | None, digits: int) -> str:
    """Return the signed difference, or a dash."""
    return "-" if before is None or after is None else f"{after - before:+.{digits}f}"


def text_table(rows: Cells, least: int = 0) -> list[str]:
    """Return the lines of a table for a terminal; least: characters of a column of numbers."""
    cells = [[str(cell) for cell in row] for row in rows]
    first, *wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    wide = [max(each, least) for each in wide]
    aligned = (
        [name.ljust(first), *(c.rjust(w) for c, w in zip(rest, wide, strict=True))]
        for name, *rest in cells
    )
    return ["  ".join(row).rstrip() for row in aligned]


def markdown_table(rows: Cells) -> list[str]:
    """Return the lines of a table; names are kept from being read as Markdown or HTML."""
    lines = [
        "| " + " | ".join([plain(str(first)), *(str(cell).strip() for cell in rest)]) + " |"
        for first, *rest in rows
    ]
    return [lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]]


def html_table(rows: Cells, *, safe: bool = False) -> str:
    """Return a table; safe: the cells are HTML already."""
    cells = [[str(cell) if safe else escape(str(cell)) for cell in row] for row in rows]
    lines = ["".join(f"<th>{cell}</th>" for cell in cells[0])]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in cells[1:]]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def csv_table(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV with \\n between lines; None and NaN are empty, floats have all digits.

    Text goes through `csv_cell`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if v is None or v != v else csv_cell(v) for v in row])
    return out.getvalue()


def csv_cell(value: Any) -> Any:
    """Return text that a spreadsheet would run as a formula with ' before it; all else as it is.

    Names come from files of others, and =HYPERLINK(...) sends away what is beside it.
    """
    is_formula = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def as_text(parts: Iterable[Part]) -> str:
    """Return parts for a terminal."""
    lines: list[str] = []
    for title, rows, note in parts:
        lines += [f"{title}:"] if title else []
        lines += text_table(rows) if rows else []
        lines += ["", note, ""] if note else [""]
    return "\n".join(lines)


def as_markdown(parts: Iterable[Part]) -> str:
    """Return parts for a pull request or a log."""
    lines: list[str] = []
    for title, rows, note in parts:
        lines += [f"## {heading(title)}", ""] if title else []
        lines += [*markdown_table(rows), ""] if rows else []
        lines += [note, ""] if note else []
    return "\n".join(lines)


def as_html(parts: Iterable[Part]) -> list[str]:
    """Return the elements of parts, for a page."""
    found: list[str] = []
    for title, rows, note in parts:
        found += [f"<h2>{escape(heading(title))}</h2>"] if title else []
        found += [f'<div class="card scroll">{html_table(rows)}</div>'] if rows else []
        found += [f'<p class="note">{escape(note)}</p>'] if note else []
    return found


def heading(text: str) -> str:
    """Return a text that begins with a capital."""
    return text[:1].upper() + text[1:]


def plain(text: str) -> str:
    """Return a name as Markdown shows it unchanged."""
    return text.translate(SPECIAL).replace("\n", " ")


def printable(text: object) -> str:
    """Return text for a terminal: control characters, which names in files may hold, as escapes.

    They would move the cursor, set the window's title or turn the direction of what follows.
    """
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))
