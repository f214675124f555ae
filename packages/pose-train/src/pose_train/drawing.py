"""Predict pictures and videos one after the other; memory does not grow with their number."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from pose_data import DatasetError, draw_people
from pose_data.images.decode import read_picture
from pose_train.boxes import PERSON, Boxes, Known, PictureFile, known_of
from pose_train.config import ConfigError
from pose_train.films import Film, Image, read_frames, stated_frames
from pose_train.inputs import Input
from pose_train.predictor import People, Predictor
from pose_train.rundir import RunDirError
from pose_train.words import counted


@dataclass
class Summary:
    """What came of the inputs: how many, how many people, and why some were left out."""

    pictures: int = 0
    frames: int = 0
    people: int = 0
    problems: list[str] = field(default_factory=list)
    not_in_gt: int = 0
    out: Path = Path()

    def __str__(self) -> str:
        seen = [counted(self.pictures, "picture")] if self.pictures or not self.frames else []
        seen += [counted(self.frames, "video frame")] if self.frames else []
        people = "1 person" if self.people == 1 else f"{self.people} people"
        lines = [f"{people} in {', '.join(seen)}: {self.out}"]
        if self.not_in_gt:
            lines.append(f"left out {counted(self.not_in_gt, 'input')} that --gt does not name")
        if self.problems:
            lines.append(f"{counted(len(self.problems), 'input')} not read, or not to the end:")
            lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def predict_inputs(
    predictor: Predictor,
    inputs: Sequence[Input],
    out: Path,
    boxes: PictureFile | None = None,
    gt: PictureFile | None = None,
    *,
    draw: bool = True,
    min_score: float = 0.2,
) -> Summary:
    """Predict every input; write predictions.json and, with `draw`, drawn pictures into `out`.

    boxes: for top-down; an input that the file does not name has nobody. gt: only the inputs that
    it names are predicted. Rows carry the image ids of gt, or boxes, where these are annotation
    files, else numbers from 1 (from above the last of those), one for each picture and frame; and
    the category of their people. Pictures are turned upright by their EXIF orientation, those that
    an annotation file gives a size for as `data.exif` says of the network's training.

    What cannot be read is listed and left out. Each file is written to a temporary name and
    renamed. Raises ConfigError where `out` cannot be written or would overwrite inputs, where names
    do not say whose boxes they are, or where boxes make no sense for the network.
    """
    if boxes is not None and predictor.trained.config.recipe == "bottomup":
        raise ConfigError("a bottom-up network finds people by itself: leave --boxes out")
    known = _known(inputs, boxes, gt)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}") from error
    if draw:
        _check_targets(inputs, out)
    category = next((file.category_id for file in (gt, boxes) if file), PERSON)
    ids = count(1 + max((each.image_id or 0 for each in known if each), default=0))
    summary = Summary(out=out)
    with RowWriter(out / "predictions.json", category) as writer:
        work = _Work(predictor, out, writer, summary, ids, boxes is not None, draw, min_score)
        bar = tqdm(inputs, unit="file", leave=False, disable=None)
        for entry, facts in zip(bar, known, strict=True):
            if facts is None:
                summary.not_in_gt += 1
                continue
            try:
                (_video if entry.is_video else _picture)(work, entry, facts)
            except DatasetError as error:
                text = str(error)
                summary.problems.append(
                    text if str(entry.path) in text else f"{entry.path}: {text}"
                )
    return summary


def _known(
    inputs: Sequence[Input], boxes: PictureFile | None, gt: PictureFile | None
) -> list[Known | None]:
    """Return what the files say of each input; None for those that gt does not name."""
    nothing: list[Known | None] = [Known()] * len(inputs)
    of_gt = nothing if gt is None else known_of(gt, inputs)
    of_boxes = nothing if boxes is None else known_of(boxes, inputs)
    known: list[Known | None] = []
    for listed, boxed in zip(of_gt, of_boxes, strict=True):
        boxed = boxed or Known()
        if gt is not None and listed is not None:
            known.append(listed._replace(boxes=boxed.boxes))
        else:
            known.append(None if listed is None else boxed)
    return known


def _check_targets(inputs: Sequence[Input], out: Path) -> None:
    """Raise ConfigError where a drawing would take an input's place."""
    files = {(stat.st_dev, stat.st_ino) for stat in (entry.path.stat() for entry in inputs)}
    for entry in inputs:
        target = _target(entry, out)
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in files:
            raise ConfigError(f"--out {out} would overwrite {target}: choose another folder")


def _target(entry: Input, out: Path) -> Path:
    is_png = entry.path.suffix.lower() == ".png"
    return out / (entry.drawn + (".mp4" if entry.is_video else ".png" if is_png else ".jpg"))


@dataclass(frozen=True)
class _Work:
    """What every input needs."""

    predictor: Predictor
    out: Path
    writer: "RowWriter"
    summary: Summary
    ids: Iterator[int]
    has_boxes: bool
    draw: bool
    min_score: float

    def boxes(self, known: Known, frame: int | None) -> Boxes | None:
        none = np.empty((0, 5), np.float32)
        return known.boxes.get(frame, none) if self.has_boxes else None

    def drawn(self, image: Image, people: People) -> Image:
        skeleton = self.predictor.trained.skeleton
        return draw_people(
            image, people.keypoints, people.scores, skeleton, min_score=self.min_score
        )


def _picture(work: _Work, entry: Input, known: Known) -> None:
    exif = "apply" if known.size is None else work.predictor.trained.config.data.exif
    image = read_picture(entry.path, known.size, exif=exif).pixels
    people = work.predictor(image, work.boxes(known, None))
    image_id = next(work.ids) if known.image_id is None else known.image_id
    work.writer.add(people, image_id, {"file_name": entry.name})
    work.summary.pictures += 1
    work.summary.people += len(people.keypoints)
    if work.draw:
        write_picture(_target(entry, work.out), work.drawn(image, people))


def _video(work: _Work, entry: Input, known: Known) -> None:
    stated, number = stated_frames(entry.path), -1
    frames = tqdm(
        read_frames(entry.path), entry.name, stated or None, unit="frame", leave=False, disable=None
    )
    with Film(_target(entry, work.out)) as film:
        for number, (image, rate) in enumerate(frames):
            people = work.predictor(image, work.boxes(known, number))
            work.writer.add(people, next(work.ids), {"file_name": entry.name, "frame": number})
            work.summary.frames += 1
            work.summary.people += len(people.keypoints)
            if work.draw:
                film.add(work.drawn(image, people), rate)
    # Some containers only guess their number of frames.
    if number + 1 < stated - max(2, stated // 100):
        work.summary.problems.append(
            f"video {entry.path} is cut short or damaged: frame {number} is the last that can be "
            f"read, of 0 to {stated - 1}"
        )


def write_picture(path: Path, image: Image) -> None:
    """Write a PNG or JPEG, by the name's suffix, whole or not at all; raises RunDirError."""
    temporary = path.with_name(f".{path.name}.tmp")
    _, encoded = cv2.imencode(path.suffix, image)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(encoded.tobytes())
        os.replace(temporary, path)
    except OSError as error:
        if temporary.is_file():
            temporary.unlink()
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error


class RowWriter:
    """Write COCO result rows as they come; the file gets its name once all are there.

    Until then it is NAME.partial.json, which stays, as whole JSON, where an error or Ctrl-C ends
    the work between rows. A file from before stays until it is replaced.
    """

    def __init__(self, path: Path, category_id: int = PERSON) -> None:
        self.path, self.category_id = path, category_id
        self.partial = path.with_suffix(f".partial{path.suffix}")
        self.count = 0

    def __enter__(self) -> "RowWriter":
        try:
            self.file = self.partial.open("w", encoding="utf-8")
        except OSError as error:
            raise self._cannot(error) from error
        self.file.write("[")
        return self

    def add(self, people: People, image_id: int, where: Mapping[str, Any]) -> None:
        """Add one row per person; a row is what pose-eval reads, and the names of `where`."""
        for points, values, score, box in zip(*people, strict=True):
            x1, y1, x2, y2 = box.tolist()
            row = {
                "image_id": image_id,
                "category_id": self.category_id,
                "keypoints": np.column_stack([points, values]).ravel().tolist(),  # (3 K,)
                "score": float(score),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                **where,
            }
            try:
                self.file.write(("," if self.count else "") + "\n" + json.dumps(row))
            except OSError as reason:
                raise self._cannot(reason) from reason
            self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.file.write("\n]\n")
            self.file.close()
            if error is None:
                os.replace(self.partial, self.path)
        except OSError as reason:  # what is there is no JSON
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
