"""Networks of one channel, and how weights of networks of three become theirs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the figures are there without torch
    from torch import Tensor

# What RGB values in 0..255 are normalised by for all published weights: ImageNet's statistics.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
# Of grey values: the luma (0.299, 0.587, 0.114) of these.
GREY_MEAN = (117.0376,)
GREY_STD = (57.5303,)


def sum_channels(state: "dict[str, Tensor]", own: "dict[str, Tensor]") -> list[str]:
    """Turn the first convolutions in `state` into those of a network of one channel, `own`.

    They give of a grey image what they gave of its three equal channels, each normalised by MEAN
    and STD, but for the zeros around it, which stand for slightly different grey values. The
    weights are summed with those of STD divided out; the means that are no longer subtracted go
    into the batch norm behind. Returns their names; [] where the channels are the same.
    """
    import torch

    summed = []
    for name, weight in own.items():
        theirs = state.get(name)
        if theirs is None or theirs.ndim != 4 or weight.shape == theirs.shape:
            continue
        if weight.shape[1] != 1 or theirs.shape != (len(weight), 3, *weight.shape[2:]):
            continue
        by_channel = theirs.double() / torch.tensor(STD).double()[:, None, None]  # (C, 3, k, k)
        offset = torch.tensor(MEAN).double() - GREY_MEAN[0]  # (3,)
        state[name] = (by_channel.sum(dim=1, keepdim=True) * GREY_STD[0]).to(theirs.dtype)
        mean = _norm_of(name) + "running_mean"
        if mean in state:
            constant = (by_channel.sum(dim=(2, 3)) * offset).sum(dim=1)  # (C,)
            state[mean] = (state[mean].double() + constant).float()
        summed.append(name)
    return summed


def _norm_of(convolution: str) -> str:
    """Return where the batch norm behind a convolution is: conv1.weight -> bn1."""
    module = convolution.removesuffix("weight")
    parent, _, last = module.rstrip(".").rpartition(".")
    return f"{parent}.{last.replace('conv', 'bn')}.".removeprefix(".")
