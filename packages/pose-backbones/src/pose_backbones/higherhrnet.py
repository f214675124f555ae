"""HigherHRNet (Cheng et al., CVPR 2020): bottom-up, with a second, finer scale of heatmaps.

Its backbone is a plain HRNet; what is its own is the head.
"""

import torch
from torch import Tensor, nn

from pose_backbones.blocks import (
    BasicBlock,
    MapsConv,
    Networks,
    Shapes,
    check_buildable,
    check_sizes,
    count,
)
from pose_backbones.hrnet import infer_backbone
from pose_backbones.net import PoseOutput, split_maps


class HigherHead(nn.Module):
    """Compute maps from the features, then finer features and maps from both.

    features[0] (B, C, h, w) -> heatmaps (B, K, h, w), (B, K, 2h, 2w) and tags (B, T, h, w). The
    finer features have `deconv_channels` (None: C) and pass `deconv_blocks` residual blocks.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        num_tags: int,
        *,
        deconv_channels: int | None = None,
        deconv_blocks: int = 4,
    ) -> None:
        super().__init__()
        fine = in_channels if deconv_channels is None else deconv_channels
        check_sizes("HigherHRNet", deconv_channels=fine)
        if deconv_blocks < 0:
            raise ValueError(
                f"HigherHRNet takes deconv_blocks of at least 0, got {deconv_blocks!r}"
            )
        self.num_keypoints = num_keypoints
        num_maps = num_keypoints + num_tags
        self.final_layers = nn.ModuleList(
            [MapsConv(in_channels, num_maps, 1), MapsConv(fine, num_keypoints, 1)]
        )
        double = nn.ConvTranspose2d(in_channels + num_maps, fine, 4, 2, padding=1, bias=False)
        nn.init.normal_(double.weight, std=0.001)
        upsample = nn.Sequential(double, nn.BatchNorm2d(fine), nn.ReLU(inplace=True))
        blocks = [nn.Sequential(BasicBlock(fine, fine)) for _ in range(deconv_blocks)]
        # A list of one, as in the published names: deconv_layers.0.0.0.weight.
        self.deconv_layers = nn.ModuleList([nn.Sequential(upsample, *blocks)])

    def forward(self, features: list[Tensor]) -> PoseOutput:
        x = features[0]  # (B, C, h, w)
        coarse = self.final_layers[0](x)  # (B, K + T, h, w)
        x = self.deconv_layers[0](torch.cat([x, coarse], dim=1))  # (B, D, 2h, 2w)
        fine = self.final_layers[1](x)  # (B, K, 2h, 2w)
        return split_maps([coarse, fine], self.num_keypoints)


def infer_higherhrnet(shapes: Shapes) -> Networks:
    """Return the HigherHRNet of these shapes; LookupError if none."""
    num_keypoints, fine = shapes["head.final_layers.1.weight"][:2]
    num_maps, channels = shapes["head.final_layers.0.weight"][:2]
    deconv_blocks = count(shapes, "head.deconv_layers.0.{}.0.conv1.weight", start=1)
    check_buildable(deconv_blocks, shapes)
    options = infer_backbone(shapes) | {
        "tag_per_keypoint": num_maps == 2 * num_keypoints,
        "deconv_channels": None if fine == channels else fine,
        "deconv_blocks": deconv_blocks,
    }
    return [("higherhrnet", num_keypoints, options)]
