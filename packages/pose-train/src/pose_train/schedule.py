"""Learning rates."""

from collections.abc import Sequence


def learning_rate(
    base: float, *, epoch: int, step: int, warmup_steps: int, lr_steps: Sequence[int]
) -> float:
    """Return the rate of an optimizer step (from 0) in an epoch (from 1).

    Linear warm-up from base / 1000, and a tenth after each epoch of `lr_steps` (as published).
    """
    decay = 0.1 ** sum(epoch > milestone for milestone in lr_steps)
    if step < warmup_steps:
        decay *= 0.001 + 0.999 * step / max(1, warmup_steps - 1)
    return base * decay
