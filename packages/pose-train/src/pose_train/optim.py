"""Optimizers, and what they leave alone: frozen parameters.

Clipping needs no code of ours: the recipes call torch.nn.utils.clip_grad_norm_.
"""

import fnmatch
from collections.abc import Iterable, Sequence
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
) -> torch.optim.Optimizer:
    """Build an optimizer of the parameters that are not frozen, in one fused kernel per step.

    "adam" without weight decay is the published one of all four families; its weight decay, as
    sgd's, is added to the gradient, that of adamw is not (Loshchilov and Hutter, 2019). `momentum`
    is sgd's. Weights decay, biases and norm layers do not. Raises ValueError if all is frozen.
    """
    groups = parameter_groups(model, weight_decay)
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, fused=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)
    raise ValueError(f"optimizer must be adam, adamw or sgd, got {name!r}")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters that are not frozen: weights, which decay, and biases and norms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("all parameters are frozen; there is nothing to train")
    if not weight_decay:
        return [{"params": trained, "weight_decay": 0.0}]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Stop the training of the parameters whose names match a shell pattern; return the names.

    A pattern also stands for all parameters of the modules it matches: backbone, backbone.stem*.
    Raises ValueError for a pattern that matches nothing.
    """
    parameters = dict(model.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        matching = {*_matching(parameters, pattern), *_matching(parameters, f"{pattern}.*")}
        if not matching:
            tops = sorted({".".join(name.split(".")[:2]) for name in parameters})
            raise ValueError(
                f"{pattern!r} matches no parameter; their names begin with {', '.join(tops)}"
            )
        frozen |= matching
    for name in frozen:
        parameters[name].requires_grad_(False)
    return [name for name in parameters if name in frozen]


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def set_training(model: nn.Module) -> None:
    """Set a model to training, but batch norms whose parameters are all frozen to evaluation.

    A layer that keeps its weights keeps the statistics they were trained with.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
