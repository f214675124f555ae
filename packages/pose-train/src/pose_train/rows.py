"""Write the people of image after image: predictions.json and predictions.csv."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from pose_train.boxes import PERSON, ImageId
from pose_train.found import CSV_COLUMNS, People, csv_rows, csv_text
from pose_train.rundir import RunDirError
from pose_train.words import counted


class RowWriter:
    """Write COCO result rows as they come, and with `csv` a table of keypoints beside them.

    The JSON is a plain list of results, as pose-eval and pycocotools read it; what the keypoints
    are called stands in the table.
    """

    def __init__(self, path: Path, category_id: int = PERSON, csv: bool = False) -> None:
        self.category_id = category_id
        self.json = RowFile(path, "[", "\n]\n")
        self.csv = RowFile(path.with_suffix(".csv"), csv_text([CSV_COLUMNS])) if csv else None

    def __enter__(self) -> "RowWriter":
        with ExitStack() as stack:
            stack.enter_context(self.json)
            if self.csv is not None:
                stack.enter_context(self.csv)
            self._stack = stack.pop_all()
        return self

    def add(
        self,
        people: People,
        image_id: ImageId,
        where: Mapping[str, Any],
        categories: Sequence[int] | None = None,
    ) -> None:
        """Add one row per person; a row is what pose-eval reads, and the names of `where`.

        where: `file_name`, and of videos `frame` and `time`. categories: of each person; None for
        the writer's. Raises RunDirError.
        """
        own = [self.category_id] * len(people) if categories is None else categories
        for row, category_id in zip(people.to_coco(0), own, strict=True):
            row |= {"image_id": image_id, "category_id": category_id, **where}
            comma = "," if self.json.count else ""
            self.json.add(f"{comma}\n{json.dumps(row)}", 1)
        if self.csv is not None:
            rows = csv_rows(
                people, where.get("file_name", ""), where.get("frame"), where.get("time")
            )
            self.csv.add(csv_text(rows), len(rows))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class RowFile:
    """A text file of rows, which gets its name once all are there.

    Until then it is NAME.partial.SUFFIX, which stays, with its tail, where an error or Ctrl-C ends
    the work between rows. A file from before stays until it is replaced.
    """

    def __init__(self, path: Path, head: str, tail: str = "") -> None:
        self.path, self.head, self.tail = path, head, tail
        self.partial = path.with_suffix(f".partial{path.suffix}")
        self.count = 0

    def __enter__(self) -> "RowFile":
        try:
            # A file name may hold bytes that are no text: they are written as they are.
            self.file = self.partial.open(
                "w", encoding="utf-8", errors="surrogateescape", newline=""
            )
        except OSError as error:
            raise self._cannot(error) from error
        self.file.write(self.head)
        return self

    def add(self, text: str, count: int) -> None:
        """Add the text of some rows; raises RunDirError."""
        try:
            self.file.write(text)
        except OSError as reason:
            raise self._cannot(reason) from reason
        self.count += count

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.file.write(self.tail)
            self.file.close()
            if error is None:
                os.replace(self.partial, self.path)
        except OSError as reason:  # what is there is not whole
            self.partial.unlink(missing_ok=True)
            if error is None:
                raise self._cannot(reason) from reason
            return
        if error is not None and self.count:
            print(f"{counted(self.count, 'row')} so far: {self.partial}", file=sys.stderr)
        elif error is not None:
            self.partial.unlink()

    def _cannot(self, reason: OSError) -> RunDirError:
        return RunDirError(f"cannot write {self.path}: {reason.strerror}")
