"""Predict pictures and videos one after the other; memory does not grow with their number."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pose_data import DatasetError, draw_people
from pose_train.config import ConfigError
from pose_train.inputs import Input, key_of
from pose_train.predictor import Image, People, Predictor, read_upright
from pose_train.rundir import RunDirError

Boxes = Mapping[str, NDArray[np.float32]]


@dataclass
class Summary:
    """What came of the inputs: how many, how many people, and why some were left out."""

    pictures: int = 0
    frames: int = 0
    people: int = 0
    skipped: list[str] = field(default_factory=list)
    out: Path = Path()

    def __str__(self) -> str:
        videos = f", {self.frames} video frames" if self.frames else ""
        lines = [f"{self.people} people in {self.pictures} pictures{videos}: {self.out}"]
        if self.skipped:
            lines += [
                f"{len(self.skipped)} inputs were skipped:",
                *map("  {}".format, self.skipped),
            ]
        return "\n".join(lines)


def predict_inputs(
    predictor: Predictor,
    inputs: Sequence[Input],
    out: Path,
    boxes: Boxes | None = None,
    *,
    draw: bool = True,
    min_score: float = 0.2,
) -> Summary:
    """Predict every input; write predictions.json and, with `draw`, drawn pictures into `out`.

    boxes: (P, 5) by key_of, for top-down; a picture without an entry has nobody. What cannot be
    read is skipped and listed. Each file is written to a temporary name and renamed. Raises
    ConfigError where `out` cannot be written or boxes make no sense for the network.
    """
    if boxes is not None and predictor.trained.config.recipe == "bottomup":
        raise ConfigError("a bottom-up network finds people by itself: leave --boxes out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}") from error
    summary = Summary(out=out)
    bar = tqdm(inputs, unit="file", leave=False)
    with RowWriter(out / "predictions.json") as writer:
        for image_id, entry in enumerate(bar, start=1):
            pen = _Pen(predictor, draw, min_score)
            try:
                predict = _video if entry.is_video else _picture
                predict(pen, entry, image_id, out, boxes, writer, summary)
            except DatasetError as error:
                summary.skipped.append(str(error))
    return summary


@dataclass(frozen=True)
class _Pen:
    predictor: Predictor
    draw: bool
    min_score: float

    def drawn(self, image: Image, people: People) -> Image:
        skeleton = self.predictor.trained.skeleton
        return draw_people(
            image, people.keypoints, people.scores, skeleton, min_score=self.min_score
        )


def _picture(
    pen: _Pen,
    entry: Input,
    image_id: int,
    out: Path,
    boxes: Boxes | None,
    writer: "RowWriter",
    summary: Summary,
) -> None:
    image = read_upright(entry.path)
    people = pen.predictor(image, _boxes_of(boxes, entry.name))
    writer.add(people, image_id, {"file_name": entry.name})
    summary.pictures += 1
    summary.people += len(people.keypoints)
    if pen.draw:
        suffix = ".png" if entry.path.suffix.lower() == ".png" else ".jpg"
        path = (out / entry.name).with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, pen.drawn(image, people))


def _video(
    pen: _Pen,
    entry: Input,
    image_id: int,
    out: Path,
    boxes: Boxes | None,
    writer: "RowWriter",
    summary: Summary,
) -> None:
    """Predict every frame; boxes of the frame with number n, from 0, have the key NAME/n."""
    path = (out / entry.name).with_suffix(".mp4")
    temporary = path.with_name(f".{path.stem}.tmp.mp4")
    film: cv2.VideoWriter | None = None
    try:
        for number, (image, rate) in enumerate(read_frames(entry.path)):
            people = pen.predictor(image, _boxes_of(boxes, f"{key_of(entry.name)}/{number}"))
            writer.add(people, image_id, {"file_name": entry.name, "frame": number})
            summary.frames += 1
            summary.people += len(people.keypoints)
            if pen.draw:
                if film is None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    film = open_film(temporary, rate, (image.shape[1], image.shape[0]))
                film.write(pen.drawn(image, people))
        if film is not None:
            film.release()
            os.replace(temporary, path)
    finally:
        if film is not None:
            film.release()
        temporary.unlink(missing_ok=True)


def _boxes_of(boxes: Boxes | None, name: str) -> NDArray[np.float32] | None:
    if boxes is None:
        return None
    none = np.empty((0, 5), np.float32)
    return boxes.get(name, boxes.get(key_of(name), none))


def read_frames(path: Path) -> Iterator[tuple[Image, float]]:
    """Yield the frames of a video, BGR, with its frames per second; raises DatasetError."""
    video = cv2.VideoCapture(str(path))
    try:
        rate = video.get(cv2.CAP_PROP_FPS) or 25.0
        read, frame = video.read()
        if not read:
            raise DatasetError(f"video {path} cannot be read: no video, damaged, or empty")
        while read:
            yield frame.astype(np.uint8, copy=False), rate
            read, frame = video.read()
    finally:
        video.release()


def open_film(path: Path, rate: float, size: tuple[int, int]) -> cv2.VideoWriter:
    """Open an MP4 for frames of a size (w, h); raises ConfigError."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not film.isOpened():
        raise ConfigError(f"cannot write the video {path}: is the folder writable?")
    return film


def write_picture(path: Path, image: Image) -> None:
    """Write a PNG or JPEG, by the name's suffix, whole or not at all; raises RunDirError."""
    temporary = path.with_name(f".{path.name}.tmp")
    _, encoded = cv2.imencode(path.suffix, image)
    try:
        temporary.write_bytes(encoded.tobytes())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error


class RowWriter:
    """Write COCO result rows as they come, and rename the file once all are there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.tmp")
        self.count = 0

    def __enter__(self) -> "RowWriter":
        try:
            self.file = self.temporary.open("w", encoding="utf-8")
        except OSError as error:
            raise self._cannot(error) from error
        self.file.write("[")
        return self

    def add(self, people: People, image_id: int, where: dict[str, Any]) -> None:
        """Add one row per person; a row is what pose-eval reads, and the names of `where`."""
        for points, values, score, box in zip(*people, strict=True):
            x1, y1, x2, y2 = box.tolist()
            row = {
                "image_id": image_id,
                "category_id": 1,
                "keypoints": np.column_stack([points, values]).ravel().tolist(),  # (3 K,)
                "score": float(score),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            try:
                self.file.write(("," if self.count else "") + "\n" + json.dumps(row | where))
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
            if error is None:
                self.file.write("\n]\n")
            self.file.close()
            if error is None:
                os.replace(self.temporary, self.path)
        except OSError as reason:
            raise self._cannot(reason) from reason
        finally:
            self.temporary.unlink(missing_ok=True)

    def _cannot(self, reason: OSError) -> RunDirError:
        return RunDirError(f"cannot write {self.path}: {reason.strerror}")
