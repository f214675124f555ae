"""What goes on while it is looked at: cameras and streams, and a window that shows frames."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pose_data.opencv import cv2
from pose_train.config.schema import ConfigError, RunError
from pose_train.files.images import Image
from pose_train.files.video import usable_rate
from pose_train.words import counted

TIMEOUT = 10.0  # seconds without a frame of a stream, after which it is lost
PAUSES = (1.0, 2.0, 4.0)  # seconds before each attempt to open what was lost
WINDOW = "pose-train"
LARGEST = 1280, 720  # a window, at first


class LiveFrame(NamedTuple):
    """A frame (H, W, 3) BGR; its number, from 0, of those that came, and when it came.

    time: in seconds, from the first one on.
    """

    number: int
    image: Image
    time: float


class LiveSource:
    """A camera or a stream, read by a thread of its own, which keeps the newest frame alone.

    arrived: frames until now, and seconds: until the last of them; taken: of these; dropped: came
    while nobody asked for one. reopened: how often it was lost and found again. problem: why it
    ended by itself, None if its end is known. rate: frames per second, as it says.
    """

    def __init__(self, address: str, name: str, every: int = 1) -> None:
        """Open it; every: take every so many-th frame. Raises RunError."""
        self.address, self.name, self.every = address, name, every
        self.arrived = self.taken = self.dropped = self.reopened = 0
        self.seconds = 0.0
        self.problem: str | None = None
        self._video = self._opened()
        if not self._video.isOpened():
            hint = "is it connected, and used by no other program?"
            if not address.isdecimal():
                hint = "is the address right, and does VLC or ffplay open it?"
            raise RunError(f"{name} cannot be opened: {hint}")
        self.rate = usable_rate(self._video.get(cv2.CAP_PROP_FPS)) / every
        self._has_end = self._video.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        self._newest: LiveFrame | None = None
        self._is_over, self._stopped = False, threading.Event()
        self._changed = threading.Condition()

    def frames(self, is_stopped: Callable[[], bool]) -> Iterator[LiveFrame]:
        """Yield the newest frame whenever one is asked for, until the end or `is_stopped`."""
        thread = threading.Thread(target=self._read, daemon=True)
        thread.start()
        try:
            while not is_stopped():
                with self._changed:
                    self._changed.wait_for(lambda: self._newest or self._is_over, timeout=0.1)
                    frame, self._newest = self._newest, None
                if frame is not None:
                    self.taken += 1
                    yield frame
                elif self._is_over:
                    return
        finally:
            self._stopped.set()
            thread.join(timeout=2)  # a stream that hangs is left to itself

    def __str__(self) -> str:
        again = f", lost and opened again {counted(self.reopened, 'time')}" * bool(self.reopened)
        return (
            f"{self.name}: {counted(self.arrived, 'frame')} in {self.seconds:.1f} s, of which "
            f"{self.dropped} came while the network was busy and were dropped{again}"
        )

    def _opened(self) -> "cv2.VideoCapture":
        log: Any = getattr(cv2.utils, "logging", cv2)  # where OpenCV 5 has it, and 4
        level = log.getLogLevel()
        log.setLogLevel(0)  # our sentence is enough
        try:
            if self.address.isdecimal():
                return cv2.VideoCapture(int(self.address))
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
            options = [value for each in limits for value in (each, int(1000 * TIMEOUT))]
            return cv2.VideoCapture(self.address, cv2.CAP_FFMPEG, options)
        finally:
            log.setLogLevel(level)

    def _read(self) -> None:
        """Read until the end; after a loss open it again, some times in a row."""
        start, attempts = 0.0, 0
        try:
            while not self._stopped.is_set():
                is_read, image = self._video.read()
                if is_read:
                    now = time.monotonic()
                    start = start or now
                    self.reopened += attempts > 0
                    attempts, self.seconds = 0, now - start
                    self._keep(image.astype(np.uint8, copy=False))
                elif self._has_end:
                    return
                elif attempts == len(PAUSES):
                    when = f"after {counted(self.arrived, 'frame')} ({self.seconds:.1f} s)"
                    self.problem = f"{self.name} was lost {when}, and {attempts} attempts to "
                    self.problem += "open it again did not help"
                    return
                else:
                    self._stopped.wait(PAUSES[attempts])
                    attempts += 1
                    self._video.release()
                    self._video = self._opened()
        except cv2.error as error:
            self.problem = f"{self.name} cannot be read any more: {error}"
        finally:
            self._video.release()
            with self._changed:
                self._is_over = True
                self._changed.notify()

    def _keep(self, image: Image) -> None:
        with self._changed:
            number = self.arrived
            self.arrived += 1
            if number % self.every == 0:
                self.dropped += self._newest is not None
                self._newest = LiveFrame(number, image, self.seconds)
                self._changed.notify()


class Window:
    """A window for images; `q`, Esc or closing it is Ctrl-C."""

    def __init__(self) -> None:
        """See whether one can be opened; raises ConfigError.

        In a process of its own: some OpenCV ends its process where there is no display.
        """
        code = f"import cv2; cv2.namedWindow({WINDOW!r}); cv2.waitKey(1)"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if ended.returncode:
            reason = "there is no display that it reaches"
            if "not implemented" in ended.stderr:
                reason = "this one is built without: pip install opencv-python, not -headless"
            raise ConfigError(f"--show: OpenCV cannot open a window here, {reason}")
        self.is_open = False

    def show(self, image: Image) -> None:
        """Show an image (H, W, 3) BGR until the next."""
        if not self.is_open:
            height, width = image.shape[:2]
            factor = min(1, LARGEST[0] / width, LARGEST[1] / height)
            cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            cv2.resizeWindow(WINDOW, round(width * factor), round(height * factor))
            self.is_open = True
        cv2.imshow(WINDOW, image)
        if self._is_ended(1, ("q", "\x1b")):
            if not callable(signal.getsignal(signal.SIGINT)):  # ignored, as shells do behind `&`
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    def wait(self) -> None:
        """Keep the last image until a key is pressed, or the window closed."""
        while self.is_open and not self._is_ended(100):
            pass

    def _is_ended(self, milliseconds: int, keys: tuple[str, ...] | None = None) -> bool:
        """Return whether one of some keys (None: any) was pressed, or the window closed."""
        key = cv2.waitKey(milliseconds)
        is_pressed = key >= 0 and (keys is None or chr(key & 0xFF) in keys)
        return is_pressed or cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) < 1
