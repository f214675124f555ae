"""Which pictures of an evaluation are worth a look, and what they show."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data import Persons, draw_people
from pose_data.images.decode import read_picture
from pose_data.images.headers import Exif
from pose_eval import Report
from pose_eval.analysis.breakdown import by_image
from pose_train.words import counted

Image = NDArray[np.uint8]
Ints = NDArray[np.int64]

WIDEST = 1280  # pixels of a drawn pair
_RED = (60, 45, 255)  # BGR


class Mistakes(NamedTuple):
    """What went wrong at the lowest OKS threshold.

    missed: persons (indices into the ground truth) that no detection matches. wrong: detections
    (indices into the results) that match nobody, although they score at least as high as the middle
    one of those that do: low scores cost little.
    """

    missed: Ints
    wrong: Ints


def find_mistakes(evaluation: Report) -> Mistakes:
    """Return the mistakes of an evaluation in its first category."""
    matches = evaluation.matches[0]
    lowest = int(np.argmin(evaluation.settings.thresholds))
    missed = (matches.gt_match[0, lowest] < 0) & ~matches.gt_ignored[0]
    counted = ~matches.det_ignored[0, lowest]
    is_right = counted & (matches.det_match[0, lowest] >= 0)
    scores = evaluation.results.scores[matches.detections]
    bar = np.median(scores[is_right]) if is_right.any() else -np.inf
    wrong = counted & ~is_right & (scores >= bar)
    return Mistakes(matches.persons[missed], matches.detections[wrong])


def spread(evaluation: Report, most: int) -> list[dict[str, Any]]:
    """Return rows of pose_eval's `by_image` with persons, spread evenly over the set."""
    rows = [row for row in by_image(evaluation) if row["persons"]]
    places = np.linspace(0, len(rows) - 1, min(most, len(rows)))
    return [rows[round(place)] for place in places]


def worst(evaluation: Report, most: int) -> list[dict[str, Any]]:
    """Return the rows of `by_image` that lose most: the sum over their persons of 1 - OKS.

    Those with an OKS that reads as 1.00 lose nothing.
    """
    rows = [row for row in by_image(evaluation) if row["persons"] and row["oks"] < 0.995]
    lost = np.array([row["persons"] * (1 - row["oks"]) for row in rows])
    return [rows[i] for i in np.argsort(-lost, kind="stable")[:most].tolist()]


def draw_pair(
    evaluation: Report,
    persons: Persons,
    image_id: int,
    mistakes: Mistakes,
    exif: Exif = "auto",
    bits: int | None = None,
) -> Image:
    """Draw what is annotated (left) and what was found (right); mistakes have red boxes.

    Raises DatasetError for a picture that cannot be read.
    """
    gt, results = evaluation.gt, evaluation.results
    place = int(np.flatnonzero(persons.image_ids == image_id)[0])
    w, h = persons.image_sizes[place].tolist()
    path = persons.image_dir / str(persons.file_names[place])
    image = read_picture(path, (w, h), exif=exif, bits=bits).pixels
    number = int(np.flatnonzero(gt.image_ids == image_id)[0])
    annotated = np.flatnonzero((gt.image == number) & (gt.category == 0))
    found = np.flatnonzero((results.image == number) & (results.category == 0))
    sides = []
    for keypoints, rows, wrong in (
        (gt.keypoints, annotated, mistakes.missed),
        (results.keypoints, found, mistakes.wrong),
    ):
        poses = keypoints[rows, : persons.skeleton.num_keypoints].astype(np.float32)  # (P, K, 3)
        side = draw_people(image, poses[..., :2], poses[..., 2], persons.skeleton)
        for pose in poses[np.isin(rows, wrong)]:
            _draw_box(side, pose)
        sides.append(side)
    pair = np.hstack(sides)
    factor = min(1.0, WIDEST / pair.shape[1])
    if factor < 1:
        pair = cv2.resize(pair, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return pair


def _draw_box(image: Image, pose: NDArray[np.float32]) -> None:
    """Draw a box around the keypoints (K, 3) of a pose with a value above 0, into the image."""
    points = pose[pose[:, 2] > 0, :2] if (pose[:, 2] > 0).any() else pose[:, :2]
    margin = 0.04 * max(image.shape[:2])
    limit = np.array(image.shape[1::-1]) - 1
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    corners = np.clip(np.rint([low, high]), 0, limit).astype(int)
    thick = max(2, round(max(image.shape[:2]) / 250))
    cv2.rectangle(image, corners[0].tolist(), corners[1].tolist(), _RED, thick)


def what_went_wrong(row: dict[str, Any], confident: int) -> str:
    """Return a row of `by_image` in words; confident: how many of its detections are mistakes."""
    missed = row["persons"] - row["found"]
    words = [f"mean OKS {row['oks']:.2f}"]
    words.append(f"{missed} of {counted(row['persons'], 'person')} missed" if missed else "")
    words.append(f"{counted(confident, 'confident detection')} of nobody" if confident else "")
    return ", ".join(word for word in words if word)
