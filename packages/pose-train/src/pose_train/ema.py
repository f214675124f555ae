"""The average of the weights over training, which is often better than the last ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """The exponential moving average of a model's weights and batch statistics.

    Early on the average follows faster, by (1 + n) / (10 + n) after n updates where that is less
    than `decay`, so that the first random weights do not linger. Polyak and Juditsky, 1992; the
    ramp is TensorFlow's.

    The model is to be on its device by then: its tensors are looked up once, and what replaces them
    later, instead of writing into them, would not be seen.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must be between 0 and 1, such as 0.999, got {decay}")
        self.decay = decay
        self.updates = 0
        own = model.state_dict()
        self.tensors = {name: tensor.clone() for name, tensor in own.items()}
        # (averages, the model's tensors): what has a mean, and counts, which have none.
        self._means = _pairs(self.tensors, own, is_mean=True)
        self._counts = _pairs(self.tensors, own, is_mean=False)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of the model, after an optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(*self._means, 1 - decay)
        if self._counts[0]:
            torch._foreach_copy_(*self._counts)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights within a with statement, then its own back."""
        averages, tensors = (self._means[i] + self._counts[i] for i in (0, 1))
        own = [tensor.clone() for tensor in tensors]
        with torch.no_grad():
            torch._foreach_copy_(tensors, averages)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(tensors, own)

    def state_dict(self) -> dict[str, Any]:
        """Return all there is to resume from; the tensors are not copied."""
        return {"decay": self.decay, "updates": self.updates, "tensors": self.tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where a state_dict was taken, but for a changed `decay`."""
        stored: Mapping[str, Tensor] = state["tensors"]
        if stored.keys() != self.tensors.keys():
            raise ValueError("the averaged weights are those of another model")
        self.updates = int(state["updates"])
        for name, tensor in stored.items():
            self.tensors[name].copy_(tensor)


def _pairs(
    averages: Mapping[str, Tensor], own: Mapping[str, Tensor], *, is_mean: bool
) -> tuple[list[Tensor], list[Tensor]]:
    names = [name for name, tensor in own.items() if tensor.is_floating_point() == is_mean]
    return [averages[name] for name in names], [own[name] for name in names]
