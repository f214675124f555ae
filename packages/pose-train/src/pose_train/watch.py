"""What is looked at every few steps: losses, requests to stop, the speed. A look waits for the GPU;
between two looks nothing does.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pose_train.checkpoints import Progress
from pose_train.ranks import gather
from pose_train.run import NonFiniteError, Run, how_to_go_on

SLOW_SHARE = 0.3  # of the time spent waiting for data, above which the loader is the bottleneck
SLOW_SECONDS = 30.0  # of training before that is said


def look(
    run: Run,
    at: Progress,
    losses: list[tuple[dict[str, Tensor], Tensor]],
    name_of: Callable[[int], str],
) -> bool:
    """Add up the losses of the last batches; tell whether any process was asked to stop.

    losses: (scalars by name, indices of its samples) of each batch, "loss" being what is trained;
    emptied. name_of: the picture of a sample. Raises NonFiniteError, in every process, if one
    of them had such a loss.
    """
    table = torch.stack([torch.stack([*scalars.values()]) for scalars, _ in losses]).tolist()
    sums, images, bad = dict.fromkeys(losses[0][0], 0.0), 0, ""
    first = at.batch - len(losses) + 1
    for batch, (row, (scalars, index)) in enumerate(zip(table, losses, strict=True), start=first):
        values = dict(zip(scalars, row, strict=True))
        for name, value in values.items():
            sums[name] += value * len(index)
        images += len(index)
        if not math.isfinite(values["loss"]) and not bad:
            names = ", ".join(sorted({name_of(i) for i in index.tolist()}))
            bad = f"the loss became {values['loss']} in epoch {at.epoch}, batch {batch}, of {names}"
    losses.clear()
    everywhere = gather((sums, images, run.stop.asked, bad), run.ranks)
    for *_, bad_there in everywhere:
        if bad_there:
            raise NonFiniteError(f"{bad_there}; {how_to_go_on(run)}")
    for name in sums:
        total = math.fsum(part[0][name] for part in everywhere)
        at.loss_sums[name] = at.loss_sums.get(name, 0.0) + total
    at.images += sum(part[1] for part in everywhere)
    return any(part[2] for part in everywhere)


def losses_text(losses: dict[str, float]) -> str:
    """Return losses in words: the one that is trained, and its parts if it has any."""
    parts = [
        f"{name.removesuffix('_loss')} {value:.2g}"
        for name, value in losses.items()
        if name != "loss"
    ]
    return f"loss {losses['loss']:.5f}" + (f" ({', '.join(parts)})" if parts else "")


class Clock:
    """The progress line of one epoch, and the time that went into waiting for data.

    A GPU is told what to do long before it does it, and has work while the next batch is made. What
    counts is the time in which it has none, by two events in its queue, before and after a wait.
    """

    def __init__(
        self, title: str, batches: int, done: int, show: bool, device: torch.device
    ) -> None:
        self.device, self.total = device, batches
        self.images = 0
        self.waited = 0.0
        self.waits: list[tuple[Any, Any]] = []  # events that a GPU may not have come to
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=batches, initial=done, desc=title, leave=False, disable=None if show else True
        )

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
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    def show(self, losses: dict[str, float], lr: float, left: str = "") -> None:
        """Write the progress line; to be called after a look, when a GPU is done.

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
