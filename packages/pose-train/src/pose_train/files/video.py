"""Read videos frame by frame, and write MP4 files, whole or not at all."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_data.opencv import cv2
from pose_train.files.write import RunDirError, whole_file

Image = NDArray[np.uint8]

SAMPLED = 100  # frames by which constant_rate judges a video
FASTEST = 60.0  # frames per second for a video whose frames are not evenly spaced
MOST_REPEATS = 18_000  # of one frame: 10 minutes at 30 frames per second


class Frame(NamedTuple):
    """A frame (H, W, 3) BGR, upright, and its time in seconds."""

    image: Image
    time: float


class VideoFacts(NamedTuple):
    """What the header of a video states: frames and seconds, 0 if unknown; frames per second."""

    frames: int
    seconds: float
    rate: float


def video_facts(path: Path | str) -> VideoFacts:
    """Read the header of a video, a file or at a URL; all of it may be estimates."""
    video = cv2.VideoCapture(str(path))
    try:
        count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
        # The duration of some containers counts from before the first frame.
        start = video.get(getattr(cv2, "CAP_PROP_PTS", -1)) if video.grab() else 0.0
    finally:
        video.release()
    is_known = count > 0 and rate > 0
    seconds = (count - max(0.0, start)) / rate if is_known else 0.0
    return VideoFacts(int(count) if is_known else 0, seconds, usable_rate(rate))


def usable_rate(rate: float) -> float:
    """Return the frame rate of a header, or a usual one where it is unknown."""
    return rate if 0 < rate < 1000 else 25.0  # WebM without a rate states 1000


def read_frames(path: Path | str) -> Iterator[Frame]:
    """Yield the frames of a video, timed from its start by the container's time stamps.

    Times rise: where a stamp is missing or goes back, by the frame rate. What OpenCV cannot decode,
    such as AV1, is read by PyAV (extra `video`). Raises DatasetError where there is not even one
    frame. A video that is cut short just ends: see `is_cut_short`.
    """
    frames = _with_opencv(path)
    first = next(frames, None)
    if first is None:
        frames = _with_pyav(path)
        first = next(frames, None)
    if first is None:
        raise DatasetError(f"video {path} cannot be read: no video, damaged, or empty")
    yield first
    last, step = first.time, 1 / video_facts(path).rate
    for image, time in frames:
        last = time if time > last else last + step
        yield Frame(image, last)


def _with_opencv(path: Path | str) -> Iterator[Frame]:
    video = cv2.VideoCapture(str(path))
    try:
        read, frame = video.read()
        while read:
            time = video.get(cv2.CAP_PROP_POS_MSEC) / 1000  # 0 where there is no time stamp
            yield Frame(frame.astype(np.uint8, copy=False), time)
            read, frame = video.read()
    finally:
        video.release()


def _with_pyav(path: Path | str) -> Iterator[Frame]:
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


def constant_rate(path: Path | str) -> float:
    """Return the rate to write a video's frames at: its own, if its first frames keep one.

    Else one at which the first frames all have a place, up to FASTEST.
    """
    own = video_facts(path).rate
    gaps = np.diff([frame.time for frame in islice(read_frames(path), SAMPLED)])
    if not len(gaps):
        return own
    if gaps.max() <= 1.5 * gaps.min():
        measured = 1 / float(gaps.mean())
        return own if abs(own / measured - 1) < 0.02 else measured
    fastest = 1 / float(gaps.min())
    return min(FASTEST, own if fastest < 1.1 * own else fastest)


def is_cut_short(facts: VideoFacts, end: float, longest: float) -> bool:
    """Tell whether a video ends before its header says; end: the last frame's time, in seconds.

    longest: the longest time between two frames, which the last one may have been shown for, too.
    Frames are not counted: of uneven ones, some containers only guess how many there are.
    """
    _, seconds, rate = facts
    return seconds - end > 1 / rate + max(2 / rate, longest, seconds / 100)


class VideoWriter:
    """An MP4 of a constant rate, for browsers, of frames with times.

    PyAV writes H.264 where it is installed (extra `video`), else OpenCV writes VP9, which takes ten
    times as long, or MPEG-4 part 2, which browsers do not show.

    A frame is repeated until the time of the next, up to MOST_REPEATS, and left out where its place
    is taken. count: frames in the file; repeated: of these; left_out: frames; shortened: seconds.

    Sides are even: of odd frames the last row or column is left out. All frames get the size of the
    first.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self.count = self.repeated = self.left_out = 0
        self.shortened = 0.0
        self.file: cv2.VideoWriter | _H264 | None = None
        self._size: tuple[int, int] | None = None

    def add(self, image: Image, time: float) -> None:
        """Add a BGR frame at its time in seconds, later than the one before; raises RunDirError."""
        size = image.shape[1], image.shape[0]
        if self._size is None:
            self._open(size)
            self._size, self._start, self._last = size, time, image
        elif size != self._size:  # OpenCV would leave it out, without a word
            image = cv2.resize(image, self._size)  # type: ignore[assignment]
        missing = round((time - self._start - self.shortened) * self.rate) - self.count
        if missing < 0:
            self.left_out += 1
            return
        if missing > MOST_REPEATS:
            self.shortened += (missing - MOST_REPEATS) / self.rate
            missing = MOST_REPEATS
        assert self.file is not None
        for frame in [self._last] * missing + [image]:
            self.file.write(frame)
        self._last = image
        self.repeated += missing
        self.count += missing + 1

    def _open(self, size: tuple[int, int]) -> None:
        self.path.touch()  # neither library says well why it cannot write a file
        if importlib.util.find_spec("av") is not None:
            self.file = _H264.opened(self.path, self.rate, size)
        for codec in ("vp09", "mp4v"):
            if self.file is None:
                fourcc = cv2.VideoWriter.fourcc(*codec)
                file = cv2.VideoWriter(str(self.path), fourcc, self.rate, size)
                self.file = file if file.isOpened() else None
        if self.file is None:
            raise RunDirError(
                f"cannot write an MP4 of {size[0]}x{size[1]} at {self.rate:g} frames per second "
                "with this OpenCV; leave drawing out with --no-draw"
            )


class _H264:
    """What cv2.VideoWriter is, with PyAV."""

    def __init__(self, container: Any, stream: Any, rate: Fraction) -> None:
        self.container, self.stream, self.rate, self.count = container, stream, rate, 0

    @classmethod
    def opened(cls, path: Path, rate: float, size: tuple[int, int]) -> "_H264 | None":
        """Return a writer of frames of a size (w, h); None where this PyAV cannot encode them."""
        import av

        exact = Fraction(rate).limit_denominator(10_000)
        try:
            container = av.open(str(path), "w", format="mp4")
            stream = container.add_stream("libx264", exact)
            stream.width, stream.height = (side // 2 * 2 for side in size)
            stream.pix_fmt, stream.options = "yuv420p", {"preset": "veryfast", "crf": "20"}
            stream.codec_context.open()
        except (av.FFmpegError, ValueError):
            return None
        return cls(container, stream, exact)

    def write(self, image: Image) -> None:
        """Add a BGR frame."""
        import av

        even = np.ascontiguousarray(image[: self.stream.height, : self.stream.width])
        frame = av.VideoFrame.from_ndarray(even, format="bgr24")
        frame.pts, frame.time_base = self.count, 1 / self.rate
        self.count += 1
        self._mux(frame)

    def release(self) -> None:
        """Write what is left, and close the file."""
        self._mux(None)
        self.container.close()

    def _mux(self, frame: Any) -> None:
        import av

        with suppress(av.FFmpegError):  # a full disk: the frames are counted at the end
            self.container.mux(self.stream.encode(frame))


@contextmanager
def video_writer(path: Path, rate: float) -> Iterator[VideoWriter]:
    """Yield a writer of an MP4 of one frame or more; the file gets its name at the end.

    Where the block raises, there is no file. Raises RunDirError.
    """
    with whole_file(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = VideoWriter(temporary, rate)
        try:
            yield writer
        finally:
            if writer.file is not None:
                writer.file.release()
        # The writer reports nothing, a full disk neither: see what arrived. The number of frames
        # is written last, so that it is missing where anything is.
        arrived = video_facts(temporary).frames
        if arrived != writer.count:
            raise RunDirError(
                f"cannot write {path}: {arrived} of {writer.count} frames arrived in the file; "
                "is the disk full?"
            )
