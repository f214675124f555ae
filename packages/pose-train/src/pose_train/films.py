"""Read videos frame by frame, and write MP4 files, whole or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_train.rundir import RunDirError

Image = NDArray[np.uint8]


def read_frames(path: Path) -> Iterator[tuple[Image, float]]:
    """Yield the frames of a video, BGR and upright, with its frames per second.

    Raises DatasetError where there is not even one. One that is cut short just ends: compare with
    `stated_frames`.
    """
    video = cv2.VideoCapture(str(path))
    try:
        rate = usable_rate(video.get(cv2.CAP_PROP_FPS))
        read, frame = video.read()
        if not read:
            raise DatasetError(f"video {path} cannot be read: no video, damaged, or empty")
        while read:
            yield frame.astype(np.uint8, copy=False), rate
            read, frame = video.read()
    finally:
        video.release()


def usable_rate(said: float) -> float:
    """Return the frames per second that a video says, or a usual number where it does not know."""
    return said if 0 < said < 1000 else 25.0  # 1000 is what WebM without a rate says


def stated_frames(path: Path) -> int:
    """Return how many frames a video says it has; 0 where it cannot be opened or does not say."""
    video = cv2.VideoCapture(str(path))
    try:
        return max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        video.release()


class Film:
    """An MP4 written frame by frame: `with Film(path) as film: film.add(frame, rate)`.

    It gets its name at the end, if there was a frame and no error. MPEG-4 video has even sides: of
    odd frames OpenCV leaves out the last row or column. All frames get the size of the first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.stem}.tmp.mp4")
        self.count = 0
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "Film":
        return self

    def add(self, frame: Image, rate: float) -> None:
        """Add a BGR frame; the rate is that of the first. Raises RunDirError."""
        size = frame.shape[1], frame.shape[0]
        if self._writer is None:
            self._size, self._writer = size, _open(self.temporary, rate, size)
        elif size != self._size:  # OpenCV would leave it out, without a word
            frame = cv2.resize(frame, self._size)  # type: ignore[assignment]
        self._writer.write(frame)
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._writer is None:
                return
            self._writer.release()
            if error is None:
                self._keep()
        finally:
            if self.temporary.is_file():
                self.temporary.unlink()

    def _keep(self) -> None:
        # The writer reports nothing, a full disk neither: see what arrived. The number of frames
        # is written last, so that it is missing where anything is.
        arrived = stated_frames(self.temporary)
        if arrived != self.count:
            raise RunDirError(
                f"cannot write {self.path}: {arrived} of {self.count} frames arrived in the file; "
                "is the disk full?"
            )
        try:
            os.replace(self.temporary, self.path)
        except OSError as error:
            raise RunDirError(f"cannot write {self.path}: {error.strerror}") from error


def _open(path: Path, rate: float, size: tuple[int, int]) -> cv2.VideoWriter:
    """Open an MP4 for frames of a size (w, h); raises RunDirError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        path.unlink()
        raise RunDirError(
            f"cannot write an MP4 of {size[0]}x{size[1]} at {rate:g} frames per second with this "
            "OpenCV; leave drawing out with --no-draw"
        )
    return writer
