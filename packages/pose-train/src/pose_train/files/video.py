"""Read videos frame by frame, and write MP4 files, whole or not at all."""

import importlib.util
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_train.files.write import RunDirError

Image = NDArray[np.uint8]

LOOK = 100  # frames by which film_rate judges a video
FASTEST = 60.0  # frames per second of a film whose frames are not evenly spaced
MOST_REPEATS = 18_000  # of one frame: 10 minutes at 30 frames per second


class Frame(NamedTuple):
    """A frame (H, W, 3) BGR, upright, and its time in seconds."""

    image: Image
    time: float


class Stated(NamedTuple):
    """What a video says of itself: frames and seconds, 0 where it does not; frames per second."""

    frames: int
    seconds: float
    rate: float


def stated(path: Path) -> Stated:
    """Read what a video says of itself; all of it may be estimates."""
    video = cv2.VideoCapture(str(path))
    try:
        count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
        # The duration of some containers counts from before the first frame.
        start = video.get(getattr(cv2, "CAP_PROP_PTS", -1)) if video.grab() else 0.0
    finally:
        video.release()
    is_known = count > 0 and rate > 0
    seconds = (count - max(0.0, start)) / rate if is_known else 0.0
    return Stated(int(count) if is_known else 0, seconds, usable_rate(rate))


def usable_rate(said: float) -> float:
    """Return the frames per second that a video says, or a usual number where it does not know."""
    return said if 0 < said < 1000 else 25.0  # 1000 is what WebM without a rate says


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a video, timed from its start by the container's time stamps.

    Times rise: where a stamp is missing or goes back, by the frame rate. What OpenCV cannot decode,
    such as AV1, PyAV reads (extra `video`). Raises DatasetError where there is not even one frame.
    A video that is cut short just ends: compare with `stated`.
    """
    frames = _with_opencv(path)
    first = next(frames, None)
    if first is None:
        frames = _with_pyav(path)
        first = next(frames, None)
    if first is None:
        raise DatasetError(f"video {path} cannot be read: no video, damaged, or empty")
    yield first
    last, step = first.time, 1 / stated(path).rate
    for image, time in frames:
        last = time if time > last else last + step
        yield Frame(image, last)


def _with_opencv(path: Path) -> Iterator[Frame]:
    video = cv2.VideoCapture(str(path))
    try:
        read, frame = video.read()
        while read:
            time = video.get(cv2.CAP_PROP_POS_MSEC) / 1000  # 0 where there is no time stamp
            yield Frame(frame.astype(np.uint8, copy=False), time)
            read, frame = video.read()
    finally:
        video.release()


def _with_pyav(path: Path) -> Iterator[Frame]:
    if importlib.util.find_spec("av") is None:
        raise DatasetError(
            f"video {path} cannot be read: no video, damaged, empty, or of a kind that OpenCV does "
            "not decode: pip install 'pose-train[video]'"
        )
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start = float((stream.start_time or 0) * (stream.time_base or 0))
            for frame in container.decode(stream):
                # PyAV does not turn frames as the container asks; counterclockwise, as numpy does.
                image = np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // 90)
                time = 0.0 if frame.time is None else frame.time - start
                yield Frame(np.ascontiguousarray(image), time)
    except (av.FFmpegError, IndexError):  # IndexError: it has no video
        return


def film_rate(path: Path) -> float:
    """Return a constant rate for a film of a video: its own, if its first frames keep one.

    Else one at which the first frames all have a place, up to FASTEST.
    """
    said = stated(path).rate
    times = np.array([frame.time for frame in islice(read_frames(path), LOOK)])
    gaps = np.diff(times)
    if not len(gaps):
        return said
    if gaps.max() <= 1.5 * gaps.min():
        mean = len(gaps) / float(times[-1] - times[0])
        return said if abs(said / mean - 1) < 0.02 else mean
    fastest = 1 / float(gaps.min())
    return min(FASTEST, said if fastest < 1.1 * said else fastest)


def is_cut_short(path: Path, end: float, longest: float) -> bool:
    """Tell whether a video ends before it says; end: the last frame's time, in seconds.

    longest: the longest time between two frames, which the last one may have been shown for, too.
    Frames are not counted: of uneven ones, some containers only guess how many there are.
    """
    _, seconds, rate = stated(path)
    return seconds - end > 1 / rate + max(2 / rate, longest, seconds / 100)


class Film:
    """An MP4 written frame by frame: `with Film(path, rate) as film: film.add(image, time)`.

    OpenCV writes constant rates alone: a frame is repeated until the time of the next, up to
    MOST_REPEATS, and left out where its place is taken. count: frames in the file; repeated: of
    these; left_out: frames; shortened: seconds.

    It gets its name at the end, if there was a frame and no error. MPEG-4 video has even sides: of
    odd frames OpenCV leaves out the last row or column. All frames get the size of the first.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self.temporary = path.with_name(f".{path.stem}.tmp.mp4")
        self.count = self.repeated = self.left_out = 0
        self.shortened = 0.0
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "Film":
        return self

    def add(self, image: Image, time: float) -> None:
        """Add a BGR frame at its time in seconds, later than the one before; raises RunDirError."""
        size = image.shape[1], image.shape[0]
        if self._writer is None:
            self._size, self._writer = size, _open(self.temporary, self.rate, size)
            self._start = time
            self._last: Image = image
        elif size != self._size:  # OpenCV would leave it out, without a word
            image = cv2.resize(image, self._size)  # type: ignore[assignment]
        missing = round((time - self._start - self.shortened) * self.rate) - self.count
        if missing < 0:
            self.left_out += 1
            return
        if missing > MOST_REPEATS:
            self.shortened += (missing - MOST_REPEATS) / self.rate
            missing = MOST_REPEATS
        for again in [self._last] * missing + [image]:
            self._writer.write(again)
        self._last = image
        self.repeated += missing
        self.count += missing + 1

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
        arrived = stated(self.temporary).frames
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
