"""The people found in an image: what Predictor returns, and its forms for other programs."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data import Skeleton, draw_people
from pose_data.view.draw import Colours
from pose_train.files.images import Image, read_pixels

Floats = NDArray[np.float32]

CSV_COLUMNS = ("image", "frame", "time", "person", "keypoint", "x", "y", "score")


class Person(NamedTuple):
    """One person: keypoints (K, 2) in pixels of the image, scores (K,), score, bbox (4,) xyxy."""

    keypoints: Floats
    scores: Floats
    score: float
    bbox: Floats


class Heatmaps(NamedTuple):
    """The heatmaps that keypoints were decoded from.

    maps (N, K, h, w), matrix (N, 2, 3) from pixels of a map to pixels of the image, both with
    centres at integers: image_xy = matrix[n] @ (x, y, 1). Top-down, N is one for each person;
    bottom-up, N is 1: the maps of everybody, merged over stages, mirrored images and scales.
    """

    maps: Floats
    matrix: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class People:
    """The P people of an image: `len(people)`, `people[0]`, `for person in people`.

    keypoints (P, K, 2) in its pixels, scores (P, K), person_scores (P,), bboxes (P, 4) xyxy: those
    given, or the extent of the keypoints found. skeleton: the names of the K keypoints. heatmaps:
    where they were asked for.
    """

    keypoints: Floats
    scores: Floats
    person_scores: Floats
    bboxes: Floats
    skeleton: Skeleton
    heatmaps: Heatmaps | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: int) -> Person:
        score = float(self.person_scores[index])
        return Person(self.keypoints[index], self.scores[index], score, self.bboxes[index])

    def __iter__(self) -> Iterator[Person]:
        return (self[index] for index in range(len(self)))

    def plot(
        self,
        image: Any,
        min_score: float = 0.2,
        bits: int | None = None,
        *,
        person_score: float = 0.0,
        colours: Colours | None = None,
        boxes: bool = False,
        scores: bool = False,
        ids: Sequence[int] | None = None,
    ) -> Image:
        """Return the image (H, W, 3) BGR with the people drawn into a copy of it.

        image: in any form that a Predictor takes; people do not keep the one they were found in.
        min_score, person_score: keypoints and people below it are left out. bits: in use of a
        16-bit image. ids: numbers of the people, such as a tracker's, -1 for none, which are
        written. colours: by `side`, or by `identity` one for each person, by its number in ids;
        None is side, with ids identity. boxes, scores: draw boxes, write scores of people. Raises
        as `read_pixels` does.
        """
        who = np.flatnonzero(self.person_scores >= person_score).tolist()
        numbers = None if ids is None else [ids[i] for i in who]
        labels = [f"{self.person_scores[i]:.2f}" if scores else "" for i in who]
        if numbers is not None:
            labels = [
                f"{number}  {label}".strip() if number >= 0 else label
                for number, label in zip(numbers, labels, strict=True)
            ]
        return draw_people(
            read_pixels(image, bits),
            self.keypoints[who],
            self.scores[who],
            self.skeleton,
            min_score=min_score,
            colours=colours or ("side" if ids is None else "identity"),
            ids=numbers,
            boxes=self.bboxes[who] if boxes else None,
            labels=labels,
        )

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Return a COCO result row for each person, as pose-eval reads them; bbox is x, y, w, h."""
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": np.column_stack([keypoints, scores]).ravel().tolist(),
                "score": score,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for keypoints, scores, score, (x1, y1, x2, y2) in zip(
                self.keypoints,
                self.scores,
                self.person_scores.tolist(),
                self.bboxes.tolist(),
                strict=True,
            )
        ]

    def to_csv(self, image: str = "", frame: int | None = None, time: float | None = None) -> str:
        """Return CSV text with a header and a line for each keypoint of each person.

        Its columns are those of CSV_COLUMNS: the three given here (frame from 0, time in seconds,
        empty where None), the person's number in this image from 0, the keypoint's name, x and y in
        pixels, and its score.
        """
        return csv_text([CSV_COLUMNS]) + csv_text(csv_rows(self, image, frame, time))


@contextmanager
def number_in_errors(number: int, count: int) -> Iterator[None]:
    """Add to errors within it which image of a list they are of."""
    try:
        yield
    except Exception as error:
        if count > 1:
            error.add_note(f"image {number} of the list, from 0")
        raise


def map_matrix(center: Floats, scale: Floats, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from a map to its image, whose region of `scale` it spans.

    center, scale (2,): of the region, in pixels of the image. size: (w, h) that its scale is in the
    map. It is where keypoints_to_image takes keypoints from maps of that size.
    """
    factor = np.divide(scale, size, dtype=np.float64)
    offset = np.asarray(center, np.float64) - 0.5 * np.asarray(scale, np.float64)
    return np.column_stack([np.diag(factor), offset])  # (2, 3)


def csv_rows(
    people: People, image: str = "", frame: int | None = None, time: float | None = None
) -> list[tuple[Any, ...]]:
    """Return P * K rows of CSV_COLUMNS; numbers are as short as tells one float32 from the next."""
    return [
        (image, frame, time, number, name, *values)
        for number, person in enumerate(people)
        for name, values in zip(
            people.skeleton.keypoints,
            np.column_stack([person.keypoints, person.scores]).astype(str).tolist(),  # (K, 3)
            strict=True,
        )
    ]


def csv_text(rows: Any) -> str:
    """Return rows as CSV: None is empty, text with commas or quotes is quoted, lines end in LF.

    Text that a spreadsheet would run as a formula begins with '.
    """
    from pose_eval.render.table import csv_cell

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return text.getvalue()
