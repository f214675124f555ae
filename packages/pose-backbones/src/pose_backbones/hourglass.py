"""Stacked Hourglass (Newell et al., ECCV 2016) in the 52-layer form that MMPose publishes."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from pose_backbones.blocks import BasicBlock, ConvBN, check_multiple, recompute
from pose_backbones.net import Feature, PoseNet, StagesHead


class Hourglass(nn.Module):
    """Compute one feature map at 1/4 per stack.

    `(B, in_channels, H, W) -> num_stacks x (B, stage_channels[0], H / 4, W / 4)`; H and W are
    multiples of 4 * 2^depth (128 for the published depth of 5), else ValueError. The depth is
    `len(stage_channels) - 1`. `grad_checkpoint` recomputes each hourglass in the backward pass.
    """

    def __init__(
        self,
        num_stacks: int = 1,
        *,
        in_channels: int = 3,
        stage_channels: Sequence[int] = (256, 256, 384, 384, 384, 512),
        stage_blocks: Sequence[int] = (2, 2, 2, 2, 2, 4),
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if num_stacks < 1 or len(stage_channels) < 2 or len(stage_channels) != len(stage_blocks):
            raise ValueError(
                "Hourglass takes at least 1 stack, and as many stage_blocks as stage_channels, "
                f"at least 2 of each; got {num_stacks=}, {stage_channels=}, {stage_blocks=}"
            )
        width = stage_channels[0]
        self.multiple = 4 * 2 ** (len(stage_channels) - 1)
        self.grad_checkpoint = grad_checkpoint
        self.feature_info = [Feature(width, 4) for _ in range(num_stacks)]

        self.stem = nn.Sequential(
            ConvBN(in_channels, width // 2, 7, stride=2),
            nn.Sequential(BasicBlock(width // 2, width, stride=2)),
        )
        self.hourglass_modules = nn.ModuleList(
            HourglassModule(stage_channels, stage_blocks) for _ in range(num_stacks)
        )
        self.out_convs = nn.ModuleList(ConvBN(width, width, 3) for _ in range(num_stacks))
        between = range(num_stacks - 1)
        self.conv1x1s = nn.ModuleList(ConvBN(width, width, 1, relu=False) for _ in between)
        self.remap_convs = nn.ModuleList(ConvBN(width, width, 1, relu=False) for _ in between)
        self.inters = nn.ModuleList(BasicBlock(width, width) for _ in between)
        if num_stacks == 1:
            # Every published one-stack file carries this block although nothing runs it. It stays,
            # so that those files load and save completely; frozen, so that no optimiser decays it
            # and DDP does not wait for its gradients.
            self.inters.append(BasicBlock(width, width).requires_grad_(False))

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
        return skip + F.interpolate(low, scale_factor=2.0, mode="nearest")  # (B, C, h, w)


def hourglass(
    num_keypoints: int = 17,
    *,
    num_stacks: int = 1,
    in_channels: int = 3,
    stage_channels: Sequence[int] = (256, 256, 384, 384, 384, 512),
    stage_blocks: Sequence[int] = (2, 2, 2, 2, 2, 4),
    grad_checkpoint: bool = False,
) -> PoseNet:
    """Build the top-down Hourglass of any width and depth: heatmaps (B, K, H / 4, W / 4)."""
    backbone = Hourglass(
        num_stacks,
        in_channels=in_channels,
        stage_channels=stage_channels,
        stage_blocks=stage_blocks,
        grad_checkpoint=grad_checkpoint,
    )
    return PoseNet(backbone, StagesHead(stage_channels[0], num_keypoints, num_stacks))


def hourglass52(
    num_keypoints: int = 17,
    *,
    num_stacks: int = 1,
    in_channels: int = 3,
    grad_checkpoint: bool = False,
) -> PoseNet:
    """Build the top-down Hourglass-52: `num_stacks` heatmaps (B, K, H / 4, W / 4)."""
    return hourglass(
        num_keypoints,
        num_stacks=num_stacks,
        in_channels=in_channels,
        grad_checkpoint=grad_checkpoint,
    )
