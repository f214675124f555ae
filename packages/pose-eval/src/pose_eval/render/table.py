"""One table, however it is written: the first row is its head, the first column has names."""

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Any

Cells = Sequence[Sequence[Any]]
SPECIAL = str.maketrans({character: "\\" + character for character in "\\`*_{}[]<>#|"})


def text_table(rows: Cells) -> list[str]:
    """Return the lines of a table for a terminal, numbers below each other."""
    cells = [[str(cell) for cell in row] for row in rows]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [
        [row[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(row[1:], wide[1:], strict=True))]
        for row in cells
    ]
    return ["  ".join(row).rstrip() for row in aligned]


def markdown_table(rows: Cells) -> list[str]:
    """Return the lines of a table; names are kept from being read as Markdown or HTML."""
    lines = [
        "| " + " | ".join([plain(str(first)), *map(str, rest)]) + " |" for first, *rest in rows
    ]
    return [lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]]


def html_table(rows: Cells, *, safe: bool = False) -> str:
    """Return a table; safe: the cells are HTML already."""
    cells = [[str(cell) if safe else escape(str(cell)) for cell in row] for row in rows]
    lines = ["".join(f"<th>{cell}</th>" for cell in cells[0])]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in cells[1:]]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def csv_table(rows: Cells) -> str:
    """Return rows as CSV with \\n between lines; None and NaN are empty, floats have all digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if v is None or v != v else v for v in row])
    return out.getvalue()


def plain(text: str) -> str:
    """Return a name as Markdown shows it unchanged."""
    return text.translate(SPECIAL).replace("\n", " ")
