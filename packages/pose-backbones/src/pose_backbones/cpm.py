"""Convolutional Pose Machines (Wei et al., CVPR 2016) in MMPose's form with batch norm."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pose_backbones.blocks import (
    ConvBN,
    Networks,
    Shapes,
    check_buildable,
    check_sizes,
    count,
    recompute,
)
from pose_backbones.net import Feature


class CPM(nn.Module):
    """Compute heatmaps at 1/8 in stages, each of which sees the image and the previous heatmaps.

    `(B, in_channels, H, W) -> num_stages x (B, num_keypoints, ceil(H / 8), ceil(W / 8))`, any H and
    W (multiples of 8 keep heatmap pixels exactly 8 apart). A stage has `feat_channels`, the two
    chains that see the image `stem_channels` (None: as a stage; MMPose: always 128), of which each
    stage gets `middle_channels`. `grad_checkpoint` recomputes the stages
    in the backward pass.
    """

    # The layers whose shapes depend on num_keypoints; see load_checkpoint(reinit_head=True).
    keypoint_layers = (r"stem\.9", r"cpm_stages\.\d+\.model\.0", r"out_convs\.\d+\.1")

    def __init__(
        self,
        num_keypoints: int = 17,
        num_stages: int = 6,
        *,
        in_channels: int = 3,
        feat_channels: int = 128,
        middle_channels: int = 32,
        stem_channels: int | None = None,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        stem = feat_channels if stem_channels is None else stem_channels
        check_sizes("CPM", in_channels=in_channels, feat_channels=feat_channels)
        check_sizes("CPM", middle_channels=middle_channels, stem_channels=stem)
        if num_stages < 2:
            raise ValueError(f"CPM takes at least 2 stages, got {num_stages=}")
        self.grad_checkpoint = grad_checkpoint
        self.feature_info = [Feature(num_keypoints, 8) for _ in range(num_stages)]

        self.stem = nn.Sequential(
            *_three_halvings(in_channels, stem),
            ConvBN(stem, 32, 5),
            ConvBN(32, 512, 9),
            ConvBN(512, 512, 1),
            ConvBN(512, num_keypoints, 1, norm=False, relu=False),
        )
        self.middle = nn.Sequential(*_three_halvings(in_channels, stem))
        later = range(num_stages - 1)
        self.cpm_stages = nn.ModuleList(
            Stage(num_keypoints + middle_channels, feat_channels) for _ in later
        )
        self.middle_conv = nn.ModuleList(
            nn.Sequential(ConvBN(stem, middle_channels, 5)) for _ in later
        )
        self.out_convs = nn.ModuleList(
            nn.Sequential(
                ConvBN(feat_channels, feat_channels, 1),
                ConvBN(feat_channels, num_keypoints, 1, norm=False, relu=False),
            )
            for _ in later
        )

    if TYPE_CHECKING:  # what nn.Module's own returns is Any

        def __call__(self, images: Tensor) -> list[Tensor]: ...

    def forward(self, images: Tensor) -> list[Tensor]:
        save_memory = self.grad_checkpoint and self.training
        maps = [self.stem(images)]  # (B, K, H/8, W/8)
        middle = self.middle(images)  # (B, S, H/8, W/8)
        for i, stage in enumerate(self.cpm_stages):
            x = torch.cat([maps[-1], self.middle_conv[i](middle)], dim=1)  # (B, K + M, H/8, W/8)
            x = recompute(stage, x) if save_memory else stage(x)  # (B, C, H/8, W/8)
            maps.append(self.out_convs[i](x))  # (B, K, H/8, W/8)
        return maps


class Stage(nn.Module):
    """Run three 11x11 convolutions: `(B, Cin, h, w) -> (B, Cout, h, w)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            ConvBN(in_channels, out_channels, 11),
            ConvBN(out_channels, out_channels, 11),
            ConvBN(out_channels, out_channels, 11),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _three_halvings(in_channels: int, channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before in (in_channels, channels, channels):
        layers += [ConvBN(before, channels, 9), nn.MaxPool2d(3, stride=2, padding=1)]
    return layers


def infer_cpm(shapes: Shapes) -> Networks:
    """Return the CPM of these shapes; LookupError if none."""
    later = count(shapes, "backbone.cpm_stages.{}.model.0.conv.weight")
    check_buildable(later, shapes)
    stem, in_channels = shapes["backbone.stem.0.conv.weight"][:2]
    feat_channels = shapes["backbone.cpm_stages.0.model.0.conv.weight"][0]
    options = {
        "num_stages": 1 + later,
        "in_channels": in_channels,
        "feat_channels": feat_channels,
        "middle_channels": shapes["backbone.middle_conv.0.0.conv.weight"][0],
        "stem_channels": None if stem == feat_channels else stem,
    }
    return [("cpm", shapes["backbone.stem.9.conv.weight"][0], options)]
