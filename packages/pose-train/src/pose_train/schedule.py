"""Learning rates: of a step, and of a batch size."""

import math
from collections.abc import Sequence
from typing import Literal

Schedule = Literal["step", "cosine"]


def learning_rate(
    base: float,
    *,
    epoch: int,
    step: int,
    warmup_steps: int,
    lr_steps: Sequence[int] = (),
    schedule: Schedule = "step",
    total_steps: int | None = None,
) -> float:
    """Return the rate of an optimizer step (from 0) in an epoch (from 1).

    Linear warm-up from base / 1000 (as published); then, with "step", a tenth after each epoch of
    `lr_steps` (as published), or, with "cosine", half a period of the cosine that reaches 0 after
    the last of `total_steps`. Raises ValueError for a cosine without room for it.
    """
    if schedule == "step":
        factor = 0.1 ** sum(epoch > milestone for milestone in lr_steps)
    else:
        if total_steps is None or total_steps <= warmup_steps:
            raise ValueError(
                f"a cosine needs more steps in total than warmup_steps={warmup_steps}, "
                f"got total_steps={total_steps}"
            )
        done = max(0, step - warmup_steps) / (total_steps - warmup_steps)
        factor = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if step < warmup_steps:
        factor *= 0.001 + 0.999 * step / max(1, warmup_steps - 1)
    return base * factor


def scaled_learning_rate(base: float, batch_size: int, base_batch_size: int | None) -> float:
    """Return the rate for a batch size, in proportion to the one that base is meant for.

    batch_size: samples per optimizer step, over all processes and accumulated batches. Goyal et
    al., "Accurate, Large Minibatch SGD", 2017. base_batch_size None: no scaling.
    """
    return base if base_batch_size is None else base * batch_size / base_batch_size
