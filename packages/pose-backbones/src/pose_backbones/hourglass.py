"""Stacked Hourglass (Newell et al., ECCV 2016) in the 52-layer form that MMPose publishes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from pose_backbones.blocks import (
    BasicBlock,
    ConvBN,
    Networks,
    Shapes,
    are_sizes,
    check_buildable,
    check_multiple,
    check_sizes,
    count,
    recompute,
)
from pose_backbones.net import Feature


class Hourglass(nn.Module):
    """Compute one feature map at 1/4 per stack.

    `(B, in_channels, H, W) -> num_stacks x (B, feat_channels, H / 4, W / 4)`; H and W are multiples
    of 4 * 2^depth (128 for the published depth of 5), else ValueError. The depth is
    `len(stage_channels) - 1`. The first convolution has `stem_channels` (None: half the first of
    `stage_channels`), a feature map `feat_channels` (None: the first of `stage_channels`).
    `grad_checkpoint` recomputes each hourglass in the backward pass.
    """

    def __init__(
        self,
        num_stacks: int = 1,
        *,
        in_channels: int = 3,
        stage_channels: Sequence[int] = (256, 256, 384, 384, 384, 512),
        stage_blocks: Sequence[int] = (2, 2, 2, 2, 2, 4),
        stem_channels: int | None = None,
        feat_channels: int | None = None,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        right = are_sizes(stage_channels) and are_sizes([num_stacks, len(stage_channels) - 1])
        if not right or not are_sizes(stage_blocks, len(stage_channels)):
            raise ValueError(
                "Hourglass takes at least 1 stack, and as many stage_blocks as stage_channels, at "
                "least 2 of each and none below 1; "
                f"got {num_stacks=}, {stage_channels=}, {stage_blocks=}"
            )
        width = stage_channels[0]
        stem = width // 2 if stem_channels is None else stem_channels
        feat = width if feat_channels is None else feat_channels
        check_sizes("Hourglass", in_channels=in_channels, stem_channels=stem, feat_channels=feat)
        self.multiple = 4 * 2 ** (len(stage_channels) - 1)
        self.grad_checkpoint = grad_checkpoint
        self.feature_info = [Feature(feat, 4) for _ in range(num_stacks)]

        self.stem = nn.Sequential(
            ConvBN(in_channels, stem, 7, stride=2), nn.Sequential(BasicBlock(stem, width, stride=2))
        )
        self.hourglass_modules = nn.ModuleList(
            HourglassModule(stage_channels, stage_blocks) for _ in range(num_stacks)
        )
        self.out_convs = nn.ModuleList(ConvBN(width, feat, 3) for _ in range(num_stacks))
        between = range(num_stacks - 1)
        self.conv1x1s = nn.ModuleList(ConvBN(width, width, 1, relu=False) for _ in between)
        self.remap_convs = nn.ModuleList(ConvBN(feat, width, 1, relu=False) for _ in between)
        self.inters = nn.ModuleList(BasicBlock(width, width) for _ in between)
        if num_stacks == 1:
            # Every published one-stack file carries this block although nothing runs it. It stays,
            # so that those files load and save completely; frozen, so that no optimiser decays it
            # and DDP does not wait for its gradients.
            self.inters.append(BasicBlock(width, width).requires_grad_(False))

    if TYPE_CHECKING:  # what nn.Module's own returns is Any

        def __call__(self, images: Tensor) -> list[Tensor]: ...

    def forward(self, images: Tensor) -> list[Tensor]:
        check_multiple(images, self.multiple, "Hourglass")
        save_memory = self.grad_checkpoint and self.training
        x = self.stem(images)  # (B, C, H/4, W/4)
        features = []
        for i, hourglass in enumerate(self.hourglass_modules):
            y = recompute(hourglass, x) if save_memory else hourglass(x)
            features.append(self.out_convs[i](y))
            if i < len(self.conv1x1s):
                x = F.relu(self.conv1x1s[i](x) + self.remap_convs[i](features[-1]))
                x = self.inters[i](x)
        return features


class HourglassModule(nn.Module):
    """Halve the resolution, process it (by a smaller hourglass inside), double it, add the skip.

    `(B, channels[0], h, w) ->` the same shape; h and w are multiples of 2^(len(channels) - 1).
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        outer, inner = channels[:2]
        self.up1 = nn.Sequential(*[BasicBlock(outer, outer) for _ in range(blocks[0])])
        self.low1 = nn.Sequential(
            BasicBlock(outer, inner, stride=2),
            *[BasicBlock(inner, inner) for _ in range(blocks[0] - 1)],
        )
        self.low2: nn.Module
        if len(channels) > 2:
            self.low2 = HourglassModule(channels[1:], blocks[1:])
        else:
            self.low2 = nn.Sequential(*[BasicBlock(inner, inner) for _ in range(blocks[1])])
        self.low3 = nn.Sequential(
            *[BasicBlock(inner, inner) for _ in range(blocks[0] - 1)], BasicBlock(inner, outer)
        )

    def forward(self, x: Tensor) -> Tensor:
        skip = self.up1(x)
        low = self.low3(self.low2(self.low1(x)))  # (B, C, h/2, w/2)
        y = F.interpolate(low, scale_factor=2.0, mode="nearest")  # (B, C, h, w)
        y += skip
        return y


def infer_hourglass(shapes: Shapes) -> Networks:
    """Return the Hourglass of these shapes; LookupError if none."""
    num_stacks = count(shapes, "backbone.hourglass_modules.{}.up1.0.conv1.weight")
    level, stage_channels, stage_blocks = "backbone.hourglass_modules.0.", [], []
    while f"{level}up1.0.conv1.weight" in shapes:
        stage_channels.append(shapes[f"{level}up1.0.conv1.weight"][0])
        stage_blocks.append(count(shapes, level + "up1.{}.conv1.weight"))
        level += "low2."
    stage_channels.append(shapes[f"{level}0.conv1.weight"][0])  # the innermost is a plain chain
    stage_blocks.append(count(shapes, level + "{}.conv1.weight"))
    check_buildable(num_stacks * sum(stage_blocks), shapes)
    stem, in_channels = shapes["backbone.stem.0.conv.weight"][:2]
    feat, width = shapes["backbone.out_convs.0.conv.weight"][0], stage_channels[0]
    options = {
        "num_stacks": num_stacks,
        "in_channels": in_channels,
        "stage_channels": tuple(stage_channels),
        "stage_blocks": tuple(stage_blocks),
        "stem_channels": None if stem == width // 2 else stem,
        "feat_channels": None if feat == width else feat,
    }
    return [("hourglass", shapes["head.multi_final_layers.0.weight"][0], options)]
