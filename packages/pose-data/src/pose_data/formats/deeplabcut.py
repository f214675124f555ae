"""DeepLabCut: CollectedData_*.csv, a row for each frame below header rows that end with `coords`."""

import csv
import math
from pathlib import Path

from pose_data.errors import DatasetError
from pose_data.formats.animals import Animal, Found, Point, image_size


def read_deeplabcut(sources: list[Path], images: Path | None = None) -> Found:
    """Read tables, or all of a project; names of images are those of the table's rows.

    Individuals become animals of one category; `single`, the parts that belong to no animal, is
    another. Raises DatasetError naming table and row.
    """
    pattern = "CollectedData*.csv"
    tables = [p for s in sources for p in (sorted(s.rglob(pattern)) if s.is_dir() else [s])]
    if not tables:
        raise DatasetError(f"{sources[0]}: no {pattern}")
    above = tables[0].absolute().parents  # of labeled-data/VIDEO/CollectedData_*.csv: the project
    found = Found(images or (above[2] if above[1].name == "labeled-data" else above[0]))
    for path in tables:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = [row for row in csv.reader(file) if any(row)]
        except (OSError, ValueError, csv.Error) as error:
            raise DatasetError(f"cannot read {path}: {error}") from error
        _add_rows(rows, path, found)
    return found


def _add_rows(rows: list[list[str]], path: Path, found: Found) -> None:
    header = {row[0]: row for row in rows[:4]}
    coords, parts = header.get("coords", []), header.get("bodyparts", [])
    if not parts or "x" not in coords or "likelihood" in coords:
        raise DatasetError(f"{path} is no table of labels: rows scorer, bodyparts, coords (x, y)")
    who = header.get("individuals", [""] * len(coords))
    first = coords.index("x")  # the columns before it, one or three, name the image
    for number, row in enumerate(rows[rows.index(coords) + 1 :], rows.index(coords) + 2):
        name = "/".join(row[:first]).replace("\\", "/")
        animals: dict[str, dict[str, Point]] = {}
        for column in range(first, len(coords) - 1, 2):
            try:
                x, y = (float(value or "nan") for value in row[column : column + 2])
            except ValueError:
                raise DatasetError(f"{path} row {number}: x and y must be numbers") from None
            points = animals.setdefault(who[column], {})
            points[parts[column]] = (x, y, 2) if math.isfinite(x + y) else (0, 0, 0)
        labelled = [
            Animal("single" if individual == "single" else "animal", points)
            for individual, points in animals.items()
            if any(v for _, _, v in points.values())
        ]
        assert found.folder is not None
        found.add(name, image_size(found.folder / name), labelled)
