"""Shared building blocks: convolution + batch norm, the two residual blocks.

Attribute names are the names in published checkpoints.
"""

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from numbers import Integral
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

T = TypeVar("T", Tensor, list[Tensor])
Shapes = Mapping[str, tuple[int, ...]]  # of the tensors of a state dict, by name
Networks = list[tuple[str, int, dict[str, Any]]]  # model, num_keypoints, options


class Conv2d(nn.Conv2d):
    """Convolve, with weights drawn from N(0, 0.001) and no bias at first.

    The initialisation MMPose trains all families from; batch norms start at 1 and 0, as in torch.
    """

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:  # which has no values, and torch takes long to find that out
            nn.init.normal_(self.weight, std=0.001)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class MapsConv(Conv2d):
    """Convolve features into maps, under autocast in float32.

    Maps are decoded to fractions of a pixel, and 16 bits make neighbours of a maximum equal.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype:  # without autocast
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class ConvBN(nn.Module):
    """Convolve, normalise, rectify; `norm` and `relu` turn the last two off.

    `(B, Cin, H, W) -> (B, Cout, H / stride, W / stride)`. The convolution has a bias only where
    no norm follows it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        norm: bool = True,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=not norm
        )
        self.bn = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution without bias and its batch norm, to be put into a Sequential."""
    conv = Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class BasicBlock(nn.Module):
    """Add two 3x3 convolutions to the input (He et al., 2015).

    `(B, Cin, H, W) -> (B, Cout, H / stride, W / stride)`.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(in_channels, out_channels, 3, stride)
        self.conv2, self.bn2 = conv_bn(out_channels, out_channels, 3)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.downsample(x)  # in place: no backward pass needs what a batch norm returned
        return F.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """Add a 1x1, 3x3, 1x1 chain to the input; `out_channels` is four times the inner width.

    `(B, Cin, H, W) -> (B, Cout, H, W)`.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inner = out_channels // self.expansion
        self.conv1, self.bn1 = conv_bn(in_channels, inner, 1)
        self.conv2, self.bn2 = conv_bn(inner, inner, 3)
        self.conv3, self.bn3 = conv_bn(inner, out_channels, 1)
        self.downsample = _shortcut(in_channels, out_channels, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride))


def are_sizes(values: object, length: int | None = None) -> bool:
    """Tell whether this is a sequence of integers of at least 1, `length` of them if given."""
    return (
        isinstance(values, Sequence)
        and length in (None, len(values))
        and all(isinstance(n, Integral) and n >= 1 for n in values)  # type: ignore[operator]
    )


def check_sizes(model: str, **sizes: int) -> None:
    """Raise ValueError unless every option is an integer of at least 1."""
    for option, value in sizes.items():
        if not are_sizes([value]):
            raise ValueError(f"{model}: {option} must be an integer of at least 1, got {value!r}")


def count(names: Container[str], pattern: str, start: int = 0) -> int:
    """Return how many names `pattern` gives with 0, 1, 2, ... in it, up to the first gap."""
    return next(i for i in itertools.count() if pattern.format(start + i) not in names)


def check_buildable(blocks: int, shapes: Shapes) -> None:
    """Raise LookupError for more blocks than there are tensors for: junk may name thousands."""
    if 10 * blocks > len(shapes):  # a residual block has ten tensors, a stage of CPM more
        raise LookupError(f"{blocks} blocks, {len(shapes)} tensors")


def check_multiple(images: Tensor, multiple: int, model: str) -> None:
    """Raise ValueError unless height and width of `images` (B, C, H, W) divide by `multiple`."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple:
        raise ValueError(
            f"{model} needs a height and width that are multiples of {multiple}, "
            f"got {height}x{width} (height x width)"
        )


def recompute(module: nn.Module, x: T) -> T:
    """Return `module(x)`, whose activations are computed again in the backward pass, not kept."""
    contexts = nullcontext(), _keep_running_stats(module)
    return checkpoint(module, x, use_reentrant=False, context_fn=lambda: contexts)


@contextmanager
def _keep_running_stats(module: nn.Module) -> Iterator[None]:
    # The second forward sees the same batch: without this, running statistics would count it twice.
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    counts = [c.clone() for norm in norms if (c := norm.num_batches_tracked) is not None]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
