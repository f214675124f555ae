"""The people of image after image as files: predictions.json and predictions.csv."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose_train.files.boxes import PERSON, ImageId
from pose_train.files.write import RowFile, row_file
from pose_train.inference.people import CSV_COLUMNS, People, csv_rows, csv_text


@dataclass(frozen=True)
class RowWriter:
    """COCO result rows in JSON, as pose-eval and pycocotools read them, and keypoints in CSV.

    The JSON is a plain list of results; the names of the keypoints are in the table alone.
    """

    json: RowFile
    csv: RowFile | None
    category_id: int

    def add(
        self,
        people: People,
        image_id: ImageId,
        where: Mapping[str, Any],
        categories: Sequence[int] | None = None,
        track_ids: Sequence[int] | None = None,
    ) -> None:
        """Add a row for each person; raises RunDirError.

        where: `file_name`, and of videos `frame` and `time`, which the rows carry besides.
        categories: of each person; None for the writer's. track_ids: of each person of a tracked
        video, -1 where it has none.
        """
        own = [self.category_id] * len(people) if categories is None else categories
        for i, (row, category_id) in enumerate(zip(people.to_coco(0), own, strict=True)):
            row |= {"image_id": image_id, "category_id": category_id, **where}
            row |= {} if track_ids is None else {"track_id": int(track_ids[i])}
            comma = "," if self.json.count else ""
            self.json.add(f"{comma}\n{json.dumps(row)}", 1)
        if self.csv is not None:
            rows = csv_rows(people, where["file_name"], where.get("frame"), where.get("time"))
            self.csv.add(csv_text(rows), len(rows))


@contextmanager
def row_writer(path: Path, category_id: int = PERSON, csv: bool = False) -> Iterator[RowWriter]:
    """Yield a writer of the JSON file `path` and, with `csv`, of a table beside it."""
    with ExitStack() as stack:
        rows, table = stack.enter_context(row_file(path, "[", "\n]\n")), None
        if csv:
            head = csv_text([CSV_COLUMNS])
            table = stack.enter_context(row_file(path.with_suffix(".csv"), head))
        yield RowWriter(rows, table, category_id)
