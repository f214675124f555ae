"""DeepLabCut: CollectedData_*.csv, a row for each frame below rows that name the columns."""

import csv
import math
from pathlib import Path

from pose_data.errors import DatasetError, reading
from pose_data.formats.animals import Animal, Found, Point, image_size
from pose_data.images.missing import inside


def read_deeplabcut(tables: list[Path], images: Path | None = None) -> Found:
    """Read tables of a project; names of images are those of the tables' rows.

    Individuals become animals of one category; `single`, the parts that belong to no animal, is
    another. Raises DatasetError naming table and row.
    """
    above = tables[0].absolute().parents  # of labeled-data/VIDEO/CollectedData_*.csv: the project
    folder = images or (above[2] if above[1].name == "labeled-data" else above[0])
    found = Found(folder)
    for path in tables:
        with reading(path):
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            _add_rows([row for row in csv.reader(lines) if any(row)], folder, found)
    if not found.images:
        raise DatasetError(f"{tables[0]} has no labels below its header")
    return found


def _add_rows(rows: list[list[str]], folder: Path, found: Found) -> None:
    header = {row[0]: row for row in rows[:4]}
    coords, parts = header.get("coords", []), header.get("bodyparts", [])
    if not parts or "x" not in coords or "likelihood" in coords:
        raise DatasetError("not a table of labels: rows scorer, bodyparts, coords (x, y)")
    who = header.get("individuals", [""] * len(coords))
    first = coords.index("x")  # the columns before it, one or three, name the image
    for number, row in enumerate(rows[rows.index(coords) + 1 :], rows.index(coords) + 2):
        name = "/".join(row[:first]).replace("\\", "/")
        animals: dict[str, dict[str, Point]] = {}
        with reading(f"row {number}"):
            for column in range(first, len(coords) - 1, 2):
                x, y = (float(value or "nan") for value in row[column : column + 2])
                points = animals.setdefault(who[column], {})
                points[parts[column]] = (x, y, 2) if math.isfinite(x + y) else (0, 0, 0)
        labelled = [
            Animal("single" if individual == "single" else "animal", points)
            for individual, points in animals.items()
            if any(v for _, _, v in points.values())
        ]
        found.images.append((name, image_size(inside(folder, name)), labelled))
