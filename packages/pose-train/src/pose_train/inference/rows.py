"""The people of image after image as files: predictions.json, .csv, and .jsonl as they come.

A job in parts, of several processes or machines that share a folder, or that may be killed: each
part is a file, `parts/predictions-00003-of-00016.jsonl`, which gets its name once it is whole. No
process waits for another: each does its own parts, skips those that are there, and whoever finds
all of them merges them. What a killed process left undone, a later run does.
"""

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pose_data import DatasetError, Skeleton
from pose_train.config.schema import ConfigError
from pose_train.files.boxes import PERSON, ImageId
from pose_train.files.inputs import Input
from pose_train.files.write import RowFile, RunDirError, line_file, row_file
from pose_train.inference.people import CSV_COLUMNS, People, csv_rows, csv_text
from pose_train.words import counted

# Options of the command that rows do not depend on.
FREE = {"command", "out", "threads", "device", "csv", "no_draw", "min_score", "person_score"}
FREE |= {"colours", "draw_boxes", "contact_sheet", "run", "quiet", "verbose"}


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

    def add_rows(
        self,
        rows: Sequence[dict[str, Any]],
        people: People,
        image_id: ImageId | None,
        where: Mapping[str, Any],
    ) -> None:
        """Add the rows of an image's people, which coco_rows made; raises RunDirError."""
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


@dataclass(frozen=True)
class PartWriter:
    """The rows of a part: a line for each image, with or without people."""

    file: RowFile
    category_id: int
    summary: Summary
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)  # of the lines so far

    def add_rows(
        self,
        rows: Sequence[dict[str, Any]],
        people: People,
        image_id: ImageId | None,
        where: Mapping[str, Any],
    ) -> None:
        """Add a line with the rows of an image; an image_id of None is given in merging."""
        line = json.dumps({"where": where, "image_id": image_id, "rows": rows}) + "\n"
        self.digest.update(line.encode())
        self.file.add(line, len(rows))


Writer = RowWriter | PartWriter


def add_people(
    writer: Writer,
    people: People,
    image_id: ImageId | None,
    where: Mapping[str, Any],
    categories: Sequence[int] | None = None,
    track_ids: Sequence[int] | None = None,
) -> None:
    """Add the people of an image, of the writer's category unless given; raises RunDirError.

    The other arguments are those of coco_rows.
    """
    categories = [writer.category_id] * len(people) if categories is None else categories
    rows = coco_rows(people, image_id, where, categories, track_ids)
    writer.add_rows(rows, people, image_id, where)


@dataclass(frozen=True)
class Parts:
    """The parts of a job, of which process `rank` of `world_size` does every world_size-th.

    job: a fingerprint of inputs and options, which every part carries.
    """

    folder: Path
    count: int
    job: str
    rank: int
    world_size: int

    def path(self, part: int) -> Path:
        """Return the file of a part."""
        return self.folder / f"predictions-{part:05}-of-{self.count:05}.jsonl"

    def are_there(self) -> bool:
        """Tell whether all parts are whole, of whichever process."""
        return all(self.path(part).is_file() for part in range(self.count))

    def own(self, part: int, num_inputs: int) -> slice:
        """Return which inputs are of a part."""
        return slice(*(num_inputs * (part + i) // self.count for i in (0, 1)))

    def missing(self) -> Iterator[int]:
        """Yield the parts that this process is to do and that are not there when their turn comes.

        Raises ConfigError where the folder has parts of another job, RunDirError where it cannot be
        made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirError(f"cannot make {self.folder}: {error.strerror}") from error
        for path in sorted(self.folder.glob("predictions-*-of-?????.jsonl")):
            with path.open(encoding="utf-8", errors="surrogateescape") as file:
                if path.stem[-5:] != f"{self.count:05}" or file.readline() != self._head():
                    raise ConfigError(
                        f"{path} is of a job with other inputs or options: delete the folder "
                        f"{self.folder}, or choose another --out"
                    )
        for part in range(self.rank, self.count, self.world_size):
            if not self.path(part).is_file():
                yield part

    def _head(self) -> str:
        return json.dumps({"job": self.job}) + "\n"

    @contextmanager
    def writer(self, part: int, category_id: int, summary: Summary) -> Iterator[PartWriter]:
        """Yield the writer of a part; summary: of it, which the part ends with."""
        with row_file(self.path(part), self._head()) as file:
            writer = PartWriter(file, category_id, summary)
            yield writer
            values = dataclasses.asdict(summary) | {"out": ""}
            line = json.dumps({"summary": values}) + "\n"
            writer.digest.update(line.encode())
            file.add(line + json.dumps({"sha256": writer.digest.hexdigest()}) + "\n", 0)

    def merge(
        self,
        target: Path,
        csv: bool,
        skeleton: Skeleton,
        new_ids: Iterator[int | None],
        summary: Summary,
    ) -> Summary:
        """Write the rows of all parts into `target`, if all are there; return what came of them.

        new_ids: for images that have none. Raises RunDirError.
        """
        paths = [self.path(part) for part in range(self.count)]
        absent = sum(not path.is_file() for path in paths)
        if absent:
            summary.notes.append(f"{absent} of {self.count} parts are not there yet: not merged")
            return summary
        with row_writer(target, csv=csv) as writer:
            for path in paths:
                for line in _lines(path):
                    if "summary" in line:
                        summary.add(line["summary"])
                        continue
                    rows, image_id = line["rows"], line["image_id"]
                    image_id = next(new_ids) if image_id is None else image_id
                    rows = [row | {"image_id": image_id} for row in rows]
                    writer.add_rows(rows, _people(rows, skeleton), image_id, line["where"])
        return summary


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a part between its head and its checksum.

    Raises RunDirError for one that is damaged.
    """
    digest, last, count = hashlib.sha256(), b"", 0
    with path.open("rb") as file:
        start = len(next(file, b""))
        for line in file:
            digest.update(last)
            last, count = line, count + 1
        if last != f"{json.dumps({'sha256': digest.hexdigest()})}\n".encode():
            raise RunDirError(f"{path} is damaged: delete it, and predict again")
        file.seek(start)
        yield from map(json.loads, islice(file, count - 1))


def _people(rows: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> People:
    """Return the people whose rows these are, as the table needs them."""
    poses = np.array([row["keypoints"] for row in rows], np.float32)
    poses = poses.reshape(len(rows), skeleton.num_keypoints, 3)
    scores = np.array([row["score"] for row in rows], np.float32)
    boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
    return People(poses[..., :2], poses[..., 2], scores, boxes, skeleton)


def find_parts(args: argparse.Namespace, names: Sequence[str], origin: str) -> Parts | None:
    """Return the parts of a command that asks for some, or that torchrun started several times.

    names: of the inputs. origin: of the weights.
    """
    rank, world_size = (int(os.environ.get(k, v)) for k, v in (("RANK", "0"), ("WORLD_SIZE", "1")))
    count = args.parts
    if count is None and world_size == 1:
        return None
    count = 4 * world_size if count is None else count
    if count < 1:
        raise ConfigError(f"--parts must be at least 1, got {count}")
    options = {key: str(value) for key, value in vars(args).items() if key not in FREE}
    text = json.dumps([sorted(options.items()), list(names), origin, count])
    job = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    return Parts(args.out / "parts", min(count, max(1, len(names))), job, rank, world_size)


def json_file(rows: Sequence[Mapping[str, Any]], keypoints: Sequence[str]) -> str:
    """Return result rows as COCO's tools read them."""
    return json.dumps(rows)


def csv_file(rows: Sequence[Mapping[str, Any]], keypoints: Sequence[str]) -> str:
    """Return result rows as a table, with three columns for each keypoint: x, y and score."""
    columns = ["image_id", "category_id", "score", "bbox_x", "bbox_y", "bbox_w", "bbox_h"]
    columns += [f"{name}_{of}" for name in keypoints for of in ("x", "y", "score")]
    lines = []
    for row in rows:
        numbers = [*row.get("bbox", [None] * 4), *row["keypoints"]]
        lines.append([row["image_id"], row["category_id"], row["score"], *numbers])
    return csv_text([columns, *lines])


# How the rows of a set become a file, by its ending.
WRITERS = {".json": json_file, ".csv": csv_file}
