"""Stop between two steps when asked to, instead of in the middle of one."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from pose_data import start_worker

GRACE = 15.0  # seconds
NOTED = b"\nstopping after the step or evaluation at hand; a second signal stops at once\n"


@dataclass
class StopRequest:
    """Whether SIGTERM or SIGINT has come."""

    asked: bool = False


def start_sampling(worker: int) -> None:
    """Prepare a process that makes samples; for torch's DataLoader(worker_init_fn=...).

    Whoever stops a run may signal all its processes. Those that make samples go on for a while, so
    that the one that trains can end its step and save.
    """
    start_worker(worker)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    timer = threading.Timer(GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()


@contextmanager
def stop_requests(*, tell: bool) -> Iterator[StopRequest]:
    """Note the first SIGTERM or SIGINT instead of ending; a second one interrupts at once.

    tell: say so on stderr, because an evaluation at hand may go on for a while.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # Python delivers signals to the main thread only
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.asked:
            raise KeyboardInterrupt
        request.asked = True
        if tell:
            os.write(2, NOTED)  # print could come in the middle of another print

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
