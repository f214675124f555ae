"""HRNet: deep high-resolution representation learning (Sun et al., CVPR 2019).

A stem at 1/4, then three stages that each add a branch of half the resolution and twice the
channels; the branches exchange their features at the end of every module.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from pose_backbones.blocks import (
    BasicBlock,
    Bottleneck,
    check_multiple,
    conv_bn,
    recompute,
)
from pose_backbones.net import Feature, HeatmapHead, PoseNet


class HRNet(nn.Module):
    """Compute features at 1/4 (and at 1/8, 1/16, 1/32 if `multi_scale`).

    `(B, in_channels, H, W) -> [(B, width, H / 4, W / 4), ...]`; H and W are multiples of 32, else
    ValueError. `num_modules` counts the exchange modules of the stages with 2, 3 and 4 branches,
    `num_blocks` the residual blocks of a branch in each. `grad_checkpoint` recomputes modules in
    the backward pass to save memory.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        in_channels: int = 3,
        stem_channels: int = 64,
        num_modules: Sequence[int] = (1, 4, 3),
        num_blocks: int = 4,
        multi_scale: bool = False,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if len(num_modules) != 3 or min(*num_modules, num_blocks, width, stem_channels) < 1:
            raise ValueError(
                "HRNet takes three num_modules, and sizes of at least 1; got "
                f"{num_modules=}, {num_blocks=}, {width=}, {stem_channels=}"
            )
        self.grad_checkpoint = grad_checkpoint
        widths = [width, 2 * width, 4 * width, 8 * width]
        outputs = 4 if multi_scale else 1
        self.feature_info = [Feature(widths[i], 4 * 2**i) for i in range(outputs)]

        self.conv1, self.bn1 = conv_bn(in_channels, stem_channels, 3, stride=2)
        self.conv2, self.bn2 = conv_bn(stem_channels, stem_channels, 3, stride=2)
        stem_out = 4 * stem_channels
        self.layer1 = nn.Sequential(
            Bottleneck(stem_channels, stem_out), *[Bottleneck(stem_out, stem_out) for _ in range(3)]
        )
        self.transition1 = _transition([stem_out], widths[:2])
        self.stage2 = _stage(widths[:2], num_modules[0], num_blocks, 2)
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], num_modules[1], num_blocks, 3)
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, num_modules[2], num_blocks, outputs)

    def forward(self, images: Tensor) -> list[Tensor]:
        check_multiple(images, 32, "HRNet")
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # (B, S, H/2, W/2)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)  # (B, S, H/4, W/4)
        xs = [self.layer1(x)]  # (B, 4S, H/4, W/4)
        save_memory = self.grad_checkpoint and self.training
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            # The new branch starts from the lowest resolution so far.
            xs = [layer(x) for layer, x in zip(transition, [*xs, xs[-1]], strict=True)]
            for module in stage:  # xs[i]: (B, 2^i * width, H / 2^(i+2), W / 2^(i+2))
                xs = recompute(module, xs) if save_memory else module(xs)
        return xs


class ExchangeModule(nn.Module):
    """Run a chain of residual blocks in every branch, then add all branches to each output.

    `[(B, widths[i], h / 2^i, w / 2^i), ...] -> ` the same shapes, the first `num_outputs` of them.
    """

    def __init__(self, widths: list[int], num_blocks: int, num_outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*[BasicBlock(width, width) for _ in range(num_blocks)])
            for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample(widths, source, target) for source in range(len(widths)))
            for target in range(num_outputs)
        )

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        outputs = []
        for layers in self.fuse_layers:
            y, *rest = [layer(x) for layer, x in zip(layers.children(), xs, strict=True)]
            for other in rest:
                y = y + other
            outputs.append(F.relu(y))
        return outputs


def _resample(widths: list[int], source: int, target: int) -> nn.Module:
    """Build the path from branch `source` to the shape of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        upsample = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*conv_bn(widths[source], widths[target], 1), upsample)
    steps = []
    for _ in range(target - source - 1):
        layers = conv_bn(widths[source], widths[source], 3, stride=2)
        steps.append(nn.Sequential(*layers, nn.ReLU(inplace=True)))
    steps.append(nn.Sequential(*conv_bn(widths[source], widths[target], 3, stride=2)))
    return nn.Sequential(*steps)


def _transition(old: list[int], new: list[int]) -> nn.ModuleList:
    """Build the layers that adapt the old branches and start the new one."""
    layers: list[nn.Module] = []
    for before, after in zip(old, new, strict=False):
        same = before == after
        conv = nn.Identity() if same else nn.Sequential(*conv_bn(before, after, 3), nn.ReLU(True))
        layers.append(conv)
    start = nn.Sequential(*conv_bn(old[-1], new[-1], 3, stride=2), nn.ReLU(True))
    # Published files number the new branch's single step once more: transition2.2.0.0.weight.
    layers.append(nn.Sequential(start))
    return nn.ModuleList(layers)


def _stage(widths: list[int], num_modules: int, num_blocks: int, outputs: int) -> nn.Sequential:
    """Build the exchange modules of a stage; the last returns the first `outputs` branches."""
    full = [ExchangeModule(widths, num_blocks, len(widths)) for _ in range(num_modules - 1)]
    return nn.Sequential(*full, ExchangeModule(widths, num_blocks, outputs))


def hrnet(
    num_keypoints: int = 17,
    *,
    width: int = 32,
    in_channels: int = 3,
    stem_channels: int = 64,
    num_modules: Sequence[int] = (1, 4, 3),
    num_blocks: int = 4,
    grad_checkpoint: bool = False,
) -> PoseNet:
    """Build the top-down HRNet of any width: heatmaps (B, K, H / 4, W / 4)."""
    backbone = HRNet(
        width,
        in_channels=in_channels,
        stem_channels=stem_channels,
        num_modules=num_modules,
        num_blocks=num_blocks,
        grad_checkpoint=grad_checkpoint,
    )
    return PoseNet(backbone, HeatmapHead(width, num_keypoints))


def hrnet_w32(
    num_keypoints: int = 17, *, in_channels: int = 3, grad_checkpoint: bool = False
) -> PoseNet:
    """Build HRNet-W32, top-down (28.5 M parameters)."""
    return hrnet(num_keypoints, width=32, in_channels=in_channels, grad_checkpoint=grad_checkpoint)


def hrnet_w48(
    num_keypoints: int = 17, *, in_channels: int = 3, grad_checkpoint: bool = False
) -> PoseNet:
    """Build HRNet-W48, top-down (63.6 M parameters)."""
    return hrnet(num_keypoints, width=48, in_channels=in_channels, grad_checkpoint=grad_checkpoint)


def hrnet_w32_ae(
    num_keypoints: int = 17,
    *,
    tag_per_keypoint: bool = True,
    in_channels: int = 3,
    grad_checkpoint: bool = False,
) -> PoseNet:
    """Build HRNet-W32 with associative embedding: heatmaps and tags (B, K, H / 4, W / 4).

    `tag_per_keypoint=False` shares one tag channel among all keypoints.
    """
    backbone = HRNet(32, in_channels=in_channels, grad_checkpoint=grad_checkpoint)
    num_tags = num_keypoints if tag_per_keypoint else 1
    return PoseNet(backbone, HeatmapHead(32, num_keypoints, num_tags=num_tags))
