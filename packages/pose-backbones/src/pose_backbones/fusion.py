"""Fold batch norms into the convolutions before them, for inference."""

import copy
import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pose_backbones.blocks import BasicBlock, Bottleneck, ConvBN
from pose_backbones.hrnet import HRNet

# Where a batch norm that stands next to a convolution is known to follow it in the forward.
KNOWN = (nn.Sequential, ConvBN, BasicBlock, Bottleneck, HRNet)


def fuse(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode without the batch norms, equal up to rounding.

    Folds only in modules it knows: a foreign backbone keeps its own batch norms, except those in
    a Sequential. The copy is for inference; its weights have other names.
    """
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        if isinstance(module, KNOWN):
            _fuse_children(module)
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
