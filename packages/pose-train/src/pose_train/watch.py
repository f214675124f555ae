"""What is looked at every few steps: losses, requests to stop, the speed. A look waits for the GPU;
between two looks nothing does.
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from pose_train.checkpoints import LAST, Progress
from pose_train.config import ConfigError
from pose_train.ranks import gather
from pose_train.run import Run

SLOW_SHARE = 0.3  # of the time spent waiting for data, above which the loader is the bottleneck
SLOW_SECONDS = 30.0  # of training before that is said


class NonFiniteLossError(ConfigError):
    """The loss became NaN or infinite; the message names the pictures."""


def look(
    run: Run,
    at: Progress,
    losses: list[tuple[Tensor, Tensor]],
    name_of: Callable[[int], str],
) -> bool:
    """Add up the losses of the last batches; tell whether any process was asked to stop.

    losses: (loss, indices of its samples) of each batch; emptied. name_of: the picture of a sample.
    Raises NonFiniteLossError, in every process, if one of them had such a loss.
    """
    values = torch.stack([loss for loss, _ in losses]).tolist()
    total, images, bad = 0.0, 0, ""
    first = at.batch - len(losses) + 1
    for batch, (value, (_, index)) in enumerate(zip(values, losses, strict=True), start=first):
        total += value * len(index)
        images += len(index)
        if not math.isfinite(value) and not bad:
            names = ", ".join(sorted({name_of(i) for i in index.tolist()}))
            bad = f"the loss became {value} in epoch {at.epoch}, batch {batch}, of {names}"
    losses.clear()
    everywhere = gather((total, images, run.stop.asked, bad), run.ranks)
    for *_, bad_there in everywhere:
        if bad_there:
            raise NonFiniteLossError(
                f"{bad_there}; {LAST} is from before that: try "
                f"`pose-train resume {run.dir} train.lr={run.config.train.lr / 2:.2g}`"
            )
    at.loss_sum += math.fsum(part[0] for part in everywhere)
    at.images += sum(part[1] for part in everywhere)
    return any(part[2] for part in everywhere)


class Clock:
    """The progress line of one epoch, and the time that went into waiting for data."""

    def __init__(self, title: str, batches: int, done: int, show: bool) -> None:
        self.images = 0
        self.waited = 0.0
        self.started = self.mark = time.perf_counter()
        self.bar = tqdm(
            total=batches, initial=done, desc=title, leave=False, disable=None if show else True
        )

    def data_came(self) -> None:
        """Call when a batch has arrived."""
        self.waited += time.perf_counter() - self.mark

    def step_done(self, images: int) -> None:
        """Call when the work on a batch has been handed out; the wait for the next one begins."""
        self.images += images
        self.mark = time.perf_counter()
        self.bar.update()

    def show(self, loss: float, lr: float) -> None:
        """Write the progress line."""
        self.bar.set_postfix_str(
            f"loss {loss:.5f}, lr {lr:.1e}, {self.images_per_s:.0f} images/s, "
            f"data {self.data_share:.0%}"
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
