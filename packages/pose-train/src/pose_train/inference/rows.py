"""The people of image after image as files: predictions.json, .csv, and .jsonl as they come."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pose_data import DatasetError
from pose_train.files.boxes import PERSON, ImageId
from pose_train.files.inputs import Input
from pose_train.files.write import RowFile, line_file, row_file
from pose_train.inference.people import CSV_COLUMNS, People, csv_rows, csv_text
from pose_train.words import counted


@dataclass
class Summary:
    """What came of the inputs: how many, how many people, and why some were left out."""

    out: Path
    images: int = 0
    frames: int = 0
    people: int = 0
    not_in_gt: int = 0
    outside: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add_problem(self, entry: Input, error: DatasetError) -> None:
        """Add why an input was not read, or not to the end; of a video once."""
        name = str(entry.path) if entry.address is None else entry.name
        problem = str(error) if name in str(error) else f"{name}: {error}"
        if problem not in self.problems:
            self.problems.append(problem)

    def add(self, part: Mapping[str, Any]) -> None:
        """Add what came of a part of the inputs, as dataclasses.asdict gives it."""
        for name in ("images", "frames", "people", "outside"):
            setattr(self, name, getattr(self, name) + part[name])
        self.notes += part["notes"]
        self.problems += part["problems"]

    def __str__(self) -> str:
        inputs = [counted(self.images, "image")] if self.images or not self.frames else []
        inputs += [counted(self.frames, "video frame")] if self.frames else []
        people = "1 person" if self.people == 1 else f"{self.people} people"
        lines = [f"{people} in {', '.join(inputs)}: {self.out}"]
        if self.not_in_gt:
            lines.append(f"left out {counted(self.not_in_gt, 'input')} that --gt does not name")
        if self.outside:
            lines.append(f"left out {self.outside} of --boxes that lie outside of their image")
        lines += self.notes
        if self.problems:
            lines.append(f"{counted(len(self.problems), 'input')} not read, or not to the end:")
            lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


@dataclass(frozen=True)
class RowWriter:
    """COCO result rows in JSON, as pose-eval and pycocotools read them, and keypoints in CSV.

    The JSON is a plain list of results; the names of the keypoints are in the table alone. live:
    the same rows, one a line, those of an image at once, for those who read along.
    """

    json: RowFile
    csv: RowFile | None
    category_id: int
    live: RowFile | None = None

    def add(
        self,
        people: People,
        image_id: ImageId | None,
        where: Mapping[str, Any],
        categories: Sequence[int] | None = None,
        track_ids: Sequence[int] | None = None,
    ) -> None:
        """Add a row for each person; raises RunDirError. Arguments: as of coco_rows."""
        categories = [self.category_id] * len(people) if categories is None else categories
        self.add_rows(coco_rows(people, image_id, where, categories, track_ids), people, where)

    def add_rows(
        self, rows: Sequence[dict[str, Any]], people: People, where: Mapping[str, Any]
    ) -> None:
        """Add the rows of an image's people, which coco_rows made."""
        lines = [json.dumps(row) for row in rows]
        for line in lines:
            comma = "," if self.json.count else ""
            self.json.add(f"{comma}\n{line}", 1)
        if self.live is not None:
            self.live.add("".join(f"{line}\n" for line in lines), len(lines))
        if self.csv is not None:
            table = csv_rows(people, where["file_name"], where.get("frame"), where.get("time"))
            self.csv.add(csv_text(table), len(table))


def coco_rows(
    people: People,
    image_id: ImageId | None,
    where: Mapping[str, Any],
    categories: Sequence[int],
    track_ids: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return a COCO result row for each person of an image.

    where: `file_name`, and of videos `frame` and `time`, which the rows carry besides. categories:
    of each person. track_ids: of each person of a tracked video, -1 where it has none.
    """
    rows = people.to_coco(0)
    for i, row in enumerate(rows):
        row |= {"image_id": image_id, "category_id": categories[i], **where}
        row |= {} if track_ids is None else {"track_id": track_ids[i]}
    return rows


@contextmanager
def row_writer(
    path: Path, category_id: int = PERSON, csv: bool = False, live: bool = False
) -> Iterator[RowWriter]:
    """Yield a writer of the JSON file `path` and, with `csv`, of a table beside it.

    live: and of a file of lines, which has its name from the start.
    """
    with ExitStack() as stack:
        rows, table = stack.enter_context(row_file(path, "[", "\n]\n")), None
        if csv:
            head = csv_text([CSV_COLUMNS])
            table = stack.enter_context(row_file(path.with_suffix(".csv"), head))
        lines = stack.enter_context(line_file(path.with_suffix(".jsonl"))) if live else None
        yield RowWriter(rows, table, category_id, lines)
