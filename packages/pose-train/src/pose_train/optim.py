"""Optimizers: their groups of parameters, and what they leave alone, frozen parameters.

Clipping needs no code of ours: the recipes call torch.nn.utils.clip_grad_norm_.
"""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

OptimizerName = Literal["adam", "adamw", "sgd"]


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
