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
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must be between 0 and 1, such as 0.999, got {decay}")
        self.decay = decay
        self.updates = 0
        self.tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of the model, after an optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, values = [], []
        for name, value in model.state_dict().items():
            average = self.tensors[name]
            if value.is_floating_point():
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)  # counts have no mean
        torch._foreach_lerp_(averages, values, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights within a with statement, then its own back."""
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.tensors)
        try:
            yield
        finally:
            model.load_state_dict(own)

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
