"""What changes the weights: optimizers, frozen parameters, learning rates, averaged weights."""

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

OptimizerName = Literal["adam", "adamw", "sgd"]
Schedule = Literal["step", "cosine"]


def create_optimizer(
    name: OptimizerName,
    model: nn.Module,
    lr: float,
    *,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    lr_mult: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Build an optimizer of the parameters that are not frozen, in one fused kernel per step.

    "adam" without weight decay is the published one of all four families; its weight decay, as
    sgd's, is added to the gradient, that of adamw is not (Loshchilov and Hutter, 2019). `momentum`
    is sgd's. Weights decay, biases and norm layers do not. lr_mult: see parameter_groups. Raises
    ValueError if all is frozen.
    """
    groups = parameter_groups(model, weight_decay, lr_mult)
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, fused=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)
    raise ValueError(f"optimizer must be adam, adamw or sgd, got {name!r}")


def parameter_groups(
    model: nn.Module, weight_decay: float, lr_mult: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return the parameters that are not frozen: weights, which decay, and biases and norms.

    lr_mult: factors on the learning rate by shell pattern, see `decide`; each group carries its
    own as "lr_mult", which whoever sets the rate multiplies by. Raises ValueError.
    """
    decided = decide(model, lr_mult or {})
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = lr_mult[decided[name]] if lr_mult and name in decided else 1.0
            decay = weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    if not groups:
        raise ValueError("all parameters are frozen; there is nothing to train")
    return [
        {"params": groups[key], "weight_decay": key[1], "lr_mult": key[0]}
        for key in sorted(groups, reverse=True)
    ]


def trained_names(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[str]:
    """Return the names of the optimizer's parameters in its order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def carry_over(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    stored: Mapping[str, Any],
    names: Sequence[str] | None,
) -> list[str]:
    """Give each parameter the averages that another optimizer of the same kind kept for it.

    stored: the state_dict of that optimizer, names: those of its parameters in its order; None: the
    same as now. Returns the names of the parameters that it had not, which start afresh.
    """
    own = trained_names(optimizer, model)
    places = {name: i for i, name in enumerate(own if names is None else names)}
    state = stored["state"]
    kept = {i: state[places[name]] for i, name in enumerate(own) if places.get(name, -1) in state}
    rates = {group.get("lr_mult", 1.0): group["lr"] for group in stored["param_groups"]}
    groups = [
        group | {"lr": rates.get(group["lr_mult"], group["lr"])}
        for group in optimizer.state_dict()["param_groups"]
    ]
    optimizer.load_state_dict({"state": kept, "param_groups": groups})
    return [name for name in own if name not in places]


def freeze(
    model: nn.Module, patterns: Sequence[str] | Mapping[str, int | None], epoch: int = 1
) -> list[str]:
    """Stop the training of the parameters that `decide` finds; return their names.

    patterns: alone, or with the last epoch in which each holds (None: for ever). What is no longer
    frozen in `epoch` is set to train. Raises ValueError for a pattern that matches nothing.
    """
    until = last_epochs(patterns)
    parameters, decided = dict(model.named_parameters()), decide(model, until)
    for name, pattern in decided.items():
        last = until[pattern]
        parameters[name].requires_grad_(last is not None and epoch > last)
    return [name for name in decided if not parameters[name].requires_grad]


def last_epochs(patterns: Sequence[str] | Mapping[str, int | None]) -> Mapping[str, int | None]:
    """Return patterns with the last epoch in which each freezes; None: for ever."""
    return patterns if isinstance(patterns, Mapping) else dict.fromkeys(patterns)


def decide(model: nn.Module, patterns: Iterable[str]) -> dict[str, str]:
    """Return, by name, the shell pattern that decides over each parameter that any matches.

    A pattern also stands for all parameters of the modules it matches: backbone, backbone.stem*.
    Of several the longest decides, as of MMEngine's custom_keys; of equally long ones the first of
    the alphabet. Raises ValueError for a pattern that matches nothing.
    """
    names = [name for name, _ in model.named_parameters()]
    found: dict[str, str] = {}
    for pattern in sorted(sorted(patterns), key=len, reverse=True):
        matching = {*_matching(names, pattern), *_matching(names, f"{pattern}.*")}
        if not matching:
            tops = sorted({".".join(name.split(".")[:2]) for name in names})
            raise ValueError(
                f"{pattern!r} matches no parameter; their names begin with {', '.join(tops)}"
            )
        for name in matching:
            found.setdefault(name, pattern)
    return {name: found[name] for name in names if name in found}


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def set_training(model: nn.Module, freeze_bn: bool = False) -> None:
    """Set a model to training, but batch norms whose parameters are all frozen to evaluation.

    A layer that keeps its weights keeps the statistics they were trained with. freeze_bn: all batch
    norms keep theirs, whether their parameters train or not.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            own = list(module.parameters())
            if freeze_bn or (own and not any(parameter.requires_grad for parameter in own)):
                module.eval()


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
