"""Stacked Hourglass with associative embedding (Newell et al., NeurIPS 2017): bottom-up.

Plain convolutions instead of residual blocks, and every stack's maps are fed to the next.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from pose_backbones.blocks import (
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


class HourglassAE(nn.Module):
    """Compute one stack of maps at 1/4 per hourglass.

    `(B, in_channels, H, W) -> num_stacks x (B, out_channels, H / 4, W / 4)`; H and W are multiples
    of 4 * 2^depth (64 for the published depth of 4), else ValueError. The depth is
    `len(stage_channels) - 1`. The stem starts with `stem_channels` (None: a quarter of the first of
    `stage_channels`) and goes on with twice as many. `grad_checkpoint` recomputes each hourglass in
    the backward pass.
    """

    # The layers whose shapes depend on out_channels; see load_checkpoint(reinit_head=True).
    keypoint_layers = (r"out_convs", r"remap_out_convs")

    def __init__(
        self,
        out_channels: int = 34,
        num_stacks: int = 4,
        *,
        in_channels: int = 3,
        stage_channels: Sequence[int] = (256, 384, 512, 640, 768),
        stem_channels: int | None = None,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if not are_sizes(stage_channels) or not are_sizes([num_stacks, len(stage_channels) - 1]):
            raise ValueError(
                "HourglassAE takes at least 1 stack and 2 stage_channels, none below 1; "
                f"got {num_stacks=}, {stage_channels=}"
            )
        width = stage_channels[0]
        first, second = (
            _stem(width) if stem_channels is None else (stem_channels, 2 * stem_channels)
        )
        check_sizes("HourglassAE", in_channels=in_channels, stem_channels=first)
        self.multiple = 4 * 2 ** (len(stage_channels) - 1)
        self.grad_checkpoint = grad_checkpoint
        self.feature_info = [Feature(out_channels, 4) for _ in range(num_stacks)]

        self.stem = nn.Sequential(
            ConvBN(in_channels, first, 7, stride=2),
            ConvBN(first, second, 3),
            nn.MaxPool2d(2),
            ConvBN(second, second, 3),
            ConvBN(second, width, 3),
        )
        self.hourglass_modules = nn.ModuleList(
            nn.Sequential(
                PlainHourglass(stage_channels), ConvBN(width, width, 3), ConvBN(width, width, 3)
            )
            for _ in range(num_stacks)
        )
        self.out_convs = nn.ModuleList(
            ConvBN(width, out_channels, 1, norm=False, relu=False) for _ in range(num_stacks)
        )
        between = range(num_stacks - 1)
        self.remap_out_convs = nn.ModuleList(
            ConvBN(out_channels, width, 1, relu=False) for _ in between
        )
        self.remap_feature_convs = nn.ModuleList(
            ConvBN(width, width, 1, relu=False) for _ in between
        )

    if TYPE_CHECKING:  # what nn.Module's own returns is Any

        def __call__(self, images: Tensor) -> list[Tensor]: ...

    def forward(self, images: Tensor) -> list[Tensor]:
        check_multiple(images, self.multiple, "HourglassAE")
        save_memory = self.grad_checkpoint and self.training
        x = self.stem(images)  # (B, C, H/4, W/4)
        maps = []
        for i, hourglass in enumerate(self.hourglass_modules):
            y = recompute(hourglass, x) if save_memory else hourglass(x)
            maps.append(self.out_convs[i](y))  # (B, out_channels, H/4, W/4)
            if i < len(self.remap_out_convs):
                x = x + self.remap_out_convs[i](maps[-1]) + self.remap_feature_convs[i](y)
        return maps


class PlainHourglass(nn.Module):
    """Halve the resolution, process it (by a smaller hourglass inside), double it, add the skip.

    `(B, channels[0], h, w) ->` the same shape; h and w are multiples of 2^(len(channels) - 1).
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        outer, inner = channels[:2]
        deepest = len(channels) == 2
        self.up1 = ConvBN(outer, outer, 3)
        self.low1 = ConvBN(outer, inner, 3)
        self.low2 = ConvBN(inner, inner, 3) if deepest else PlainHourglass(channels[1:])
        self.low3 = ConvBN(inner, outer, 3)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.up1(x)
        low = F.max_pool2d(x, 2)  # (B, C, h/2, w/2)
        low = self.low3(self.low2(self.low1(low)))
        y = F.interpolate(low, scale_factor=2.0, mode="nearest")  # (B, C, h, w)
        y += skip
        return y


def _stem(width: int) -> tuple[int, int]:
    return width // 4, width // 2


def infer_hourglass_ae(shapes: Shapes) -> Networks:
    """Return the HourglassAE of these shapes; LookupError if none.

    One tag for all keypoints is assumed only where the number of maps is odd.
    """
    num_stacks = count(shapes, "backbone.hourglass_modules.{}.0.up1.conv.weight")
    level, stage_channels = "backbone.hourglass_modules.0.0.", []
    while f"{level}up1.conv.weight" in shapes:
        stage_channels.append(shapes[f"{level}up1.conv.weight"][0])
        level += "low2."
    stage_channels.append(shapes[f"{level}conv.weight"][0])
    check_buildable(num_stacks * len(stage_channels), shapes)
    first, in_channels = shapes["backbone.stem.0.conv.weight"][:2]
    second = shapes["backbone.stem.1.conv.weight"][0]
    maps = shapes["backbone.out_convs.0.conv.weight"][0]
    options = {
        "num_stacks": num_stacks,
        "tag_per_keypoint": maps % 2 == 0,
        "in_channels": in_channels,
        "stage_channels": tuple(stage_channels),
        "stem_channels": None if (first, second) == _stem(stage_channels[0]) else first,
    }
    return [("hourglass_ae", maps - 1 if maps % 2 else maps // 2, options)]
