"""What a command shows while it lasts, and how it is asked to stop."""

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pose_train.words import are_notes_shown, duration

if TYPE_CHECKING:
    import torch

SLOW_SHARE = 0.3  # of the time spent waiting for data, above which the loader is the bottleneck
SLOW_SECONDS = 30.0  # of training before that is said
STOPPING = b"\nstopping after the current step; send the signal again to stop immediately\n"


@dataclass
class StopRequest:
    """Whether SIGTERM or SIGINT has come."""

    asked: bool = False


@contextmanager
def stop_requests(*, tell: bool) -> Iterator[StopRequest]:
    """Note the first SIGTERM or SIGINT instead of ending; a second one interrupts at once.

    tell: say so on stderr, because a step or an evaluation may take a while to end.
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
            os.write(2, STOPPING)  # print could come in the middle of another print

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Pace:
    """How fast a run gets on, evaluations included."""

    started: float = 0.0
    step: int = 0  # optimizer steps that were done then

    def start(self, step: int) -> None:
        """Begin to measure."""
        self.started, self.step = time.monotonic(), step

    def left(self, step: int, last: int) -> str:
        """Return in words how long it is from a step to the last one; "" at the last."""
        if step >= last:
            return ""
        seconds = (time.monotonic() - self.started) / max(1, step - self.step) * (last - step)
        return f"{duration(seconds)} left"


class ProgressLine:
    """The progress line of one epoch, and the time that went into waiting for data.

    A GPU is told what to do long before it does it, and has work while the next batch is made. What
    counts is the time in which it has none, by two events in its queue, before and after a wait.
    """

    def __init__(
        self, title: str, batches: int, done: int, show: bool, device: "torch.device"
    ) -> None:
        self.device, self.total = device, batches
        self.images = 0
        self.waited = 0.0
        self.waits: list[tuple[Any, Any]] = []  # events that a GPU may not have come to
        self.started = time.perf_counter()
        hidden = None if show and are_notes_shown() else True  # None: shown on a terminal alone
        self.bar = tqdm(total=batches, initial=done, desc=title, leave=False, disable=hidden)

    def batches(self, loader: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the batches of a loader, and note the waits for them."""
        source = iter(loader)
        while True:
            before = self._moment()
            batch = next(source, None)
            if batch is None:
                return
            after = self._moment()
            if self.device.type == "cuda":
                self.waits.append((before, after))
            else:
                self.waited += after - before
            self.images += len(batch["index"])
            yield batch
            self.bar.update()

    def _moment(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    def show(self, losses: dict[str, float], lr: float, left: str = "") -> None:
        """Write the progress line; to be called when a GPU has done all it was told.

        left: how long it is to the end of the run, in words.
        """
        self.waited += sum(before.elapsed_time(after) for before, after in self.waits) / 1000
        self.waits.clear()
        self.bar.set_postfix_str(
            f"{losses_text(losses)}, lr {lr:.1e}, {self.images_per_s:.0f} images/s, "
            f"data {self.data_share:.0%}" + (f", run: {left}" if left else "")
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the start; a little more than 0."""
        return time.perf_counter() - self.started + 1e-9

    @property
    def data_share(self) -> float:
        """The share of the time in which the network waited for data."""
        return self.waited / self.elapsed

    @property
    def images_per_s(self) -> float:
        """Images per second of this process."""
        return self.images / self.elapsed

    def waits_for_data(self) -> bool:
        """Tell whether the loader is the bottleneck, once there is enough to judge by."""
        return self.elapsed > SLOW_SECONDS and self.data_share > SLOW_SHARE


def losses_text(losses: dict[str, float]) -> str:
    """Return losses in words: the one that is trained, and what else the recipe records."""
    parts = [
        f"{name.removesuffix('_loss')} {value:.2g}"
        for name, value in losses.items()
        if name != "loss"
    ]
    return f"loss {losses['loss']:.5f}" + (f" ({', '.join(parts)})" if parts else "")
