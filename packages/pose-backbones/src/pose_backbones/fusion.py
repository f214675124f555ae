"""Fold batch norms into the convolutions before them, for inference."""

import copy
import itertools
import platform
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pose_backbones.blocks import BasicBlock, Bottleneck, ConvBN, MapsConv
from pose_backbones.hrnet import HRNet

# Where a batch norm that stands next to a convolution is known to follow it in the forward.
KNOWN = (nn.Sequential, ConvBN, BasicBlock, Bottleneck, HRNet)


def fuse(model: nn.Module, *, onednn: bool = False) -> nn.Module:
    """Return a copy in eval mode without the batch norms, equal up to rounding.

    Folds only in modules it knows: a foreign backbone keeps its own batch norms, except those in
    a Sequential. The copy is for inference; its weights have other names.

    onednn: additions and ReLUs become part of the convolution before them, and weights lie as
    oneDNN reads them, in float32 on an x86 CPU. Such a copy cannot be exported, copied, moved or
    run by autocast. On other devices, before torch 2.13, and where it has no oneDNN, this changes
    nothing.
    """
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        if isinstance(module, KNOWN):
            _fuse_children(module)
    if onednn and _has_onednn():
        for module in list(model.modules()):
            if isinstance(module, KNOWN):
                _pack_children(module)
    return model


def _fuse_children(module: nn.Module) -> None:
    for (name, conv), (norm_name, norm) in itertools.pairwise(list(module.named_children())):
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        if isinstance(conv, nn.Conv2d):
            module.register_module(name, fuse_conv_bn_eval(conv, norm))
        elif isinstance(conv, nn.ConvTranspose2d):
            module.register_module(name, fuse_conv_bn_eval(conv, norm, transpose=True))
        else:
            continue
        module.register_module(norm_name, nn.Identity())


# The rest uses the operators that torch.compile uses; they are not documented. With those of torch
# 2.10 maps of one pixel are an error; tried are 2.13 and 2.15.
OLDEST = "2.13"


def _has_onednn() -> bool:
    operators = ("_reorder_convolution_weight", "_convolution_pointwise")
    return (
        torch.__version__ >= OLDEST
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(torch.ops.mkldnn, name) for name in operators)
    )


class PackedConv(nn.Module):
    """Convolve, add `other` if there is one, rectify if `relu`, all in one."""

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self.bias = conv.bias
        self.relu = "relu" if relu else None
        self.options = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(), *self.options
        )

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        what = (self.weight, self.bias, *self.options)
        pointwise = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            return pointwise(x, *what, self.relu or "none", [], None)
        return pointwise.binary(x, other, *what, "add", None, self.relu, [], None)


class PackedBlock(nn.Module):
    """Run a BasicBlock or a Bottleneck without its batch norms."""

    def __init__(self, convs: Sequence[nn.Conv2d], downsample: nn.Module) -> None:
        super().__init__()
        self.convs = nn.ModuleList(PackedConv(conv, relu=True) for conv in convs)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs[:-1]:
            y = conv(y)
        return self.convs[-1](y, self.downsample(x))


def _pack_children(module: nn.Module) -> None:
    children = list(module.named_children())
    for i, (name, child) in enumerate(children):
        if isinstance(child, (BasicBlock, Bottleneck)):
            convs = [each for each in child.children() if _is_plain(each)]
            if len(convs) == sum(isinstance(each, nn.Conv2d) for each in child.children()):
                module.register_module(name, PackedBlock(convs, child.downsample))
        elif _is_plain(child) and isinstance(module, (nn.Sequential, ConvBN)):
            after = [each for each in children[i + 1 :] if not isinstance(each[1], nn.Identity)]
            relu = bool(after) and isinstance(after[0][1], nn.ReLU)
            module.register_module(name, PackedConv(child, relu))
            if relu:
                module.register_module(after[0][0], nn.Identity())


def _is_plain(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Tell whether this is a convolution as oneDNN runs it, of all values, in float32 on a CPU."""
    return (
        isinstance(module, nn.Conv2d)
        and not isinstance(module, MapsConv)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and (module.weight.device.type, module.weight.dtype) == ("cpu", torch.float32)
    )
