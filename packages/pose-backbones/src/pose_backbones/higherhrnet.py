"""HigherHRNet (Cheng et al., CVPR 2020): bottom-up, with a second, finer scale of heatmaps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pose_backbones.blocks import (
    BasicBlock,
    Conv2d,
    Networks,
    Shapes,
    check_buildable,
    check_sizes,
    count,
)
from pose_backbones.hrnet import BLOCK_TYPES, HRNet, infer_backbone
from pose_backbones.net import PoseOutput, split_maps


class HigherHRNet(nn.Module):
    """Predict heatmaps at 1/4 and 1/2 and tags at 1/4.

    `(B, in_channels, H, W) -> heatmaps (B, K, H / 4, W / 4), (B, K, H / 2, W / 2) and tags
    (B, T, H / 4, W / 4)`; T is K, or 1 if not `tag_per_keypoint`. H and W are multiples of 32,
    else ValueError. This is a whole model, since the finer features are computed from the coarser
    maps; its `backbone` is a plain HRNet, whose options are explained there. The finer features
    have `deconv_channels` (None: as the first branch) and pass `deconv_blocks` residual blocks.
    """

    def __init__(
        self,
        width: int = 32,
        num_keypoints: int = 17,
        *,
        tag_per_keypoint: bool = True,
        in_channels: int = 3,
        channels: Sequence[Sequence[int]] | None = None,
        stem_channels: int = 64,
        stage1_channels: int | None = None,
        stage1_blocks: int = 4,
        num_modules: Sequence[int] = (1, 4, 3),
        num_blocks: int | Sequence[int | Sequence[int]] = 4,
        block_types: Sequence[str] = BLOCK_TYPES,
        deconv_channels: int | None = None,
        deconv_blocks: int = 4,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = HRNet(
            width,
            in_channels=in_channels,
            channels=channels,
            stem_channels=stem_channels,
            stage1_channels=stage1_channels,
            stage1_blocks=stage1_blocks,
            num_modules=num_modules,
            num_blocks=num_blocks,
            block_types=block_types,
            grad_checkpoint=grad_checkpoint,
        )
        num_tags = num_keypoints if tag_per_keypoint else 1
        self.head = HigherHead(
            self.backbone.feature_info[0].channels,
            num_keypoints,
            num_tags,
            deconv_channels=deconv_channels,
            deconv_blocks=deconv_blocks,
        )

    def forward(self, images: Tensor) -> PoseOutput:
        return self.head(self.backbone(images))


class HigherHead(nn.Module):
    """Compute maps from the features, then finer features and maps from both.

    features[0] (B, C, h, w) -> heatmaps (B, K, h, w), (B, K, 2h, 2w) and tags (B, T, h, w).
    """

    def __init__(
        self,
        channels: int,
        num_keypoints: int,
        num_tags: int,
        *,
        deconv_channels: int | None = None,
        deconv_blocks: int = 4,
    ) -> None:
        super().__init__()
        fine = channels if deconv_channels is None else deconv_channels
        check_sizes("HigherHRNet", deconv_channels=fine)
        if deconv_blocks < 0:
            raise ValueError(
                f"HigherHRNet takes deconv_blocks of at least 0, got {deconv_blocks!r}"
            )
        self.num_keypoints = num_keypoints
        num_maps = num_keypoints + num_tags
        self.final_layers = nn.ModuleList(
            [Conv2d(channels, num_maps, 1), Conv2d(fine, num_keypoints, 1)]
        )
        double = nn.ConvTranspose2d(channels + num_maps, fine, 4, 2, padding=1, bias=False)
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


def higherhrnet(
    num_keypoints: int = 17,
    *,
    width: int = 32,
    tag_per_keypoint: bool = True,
    in_channels: int = 3,
    channels: Sequence[Sequence[int]] | None = None,
    stem_channels: int = 64,
    stage1_channels: int | None = None,
    stage1_blocks: int = 4,
    num_modules: Sequence[int] = (1, 4, 3),
    num_blocks: int | Sequence[int | Sequence[int]] = 4,
    block_types: Sequence[str] = BLOCK_TYPES,
    deconv_channels: int | None = None,
    deconv_blocks: int = 4,
    grad_checkpoint: bool = False,
) -> HigherHRNet:
    """Build HigherHRNet of any width and depth, bottom-up.

    The options are explained at `HigherHRNet` and `HRNet`.
    """
    return HigherHRNet(
        width,
        num_keypoints,
        tag_per_keypoint=tag_per_keypoint,
        in_channels=in_channels,
        channels=channels,
        stem_channels=stem_channels,
        stage1_channels=stage1_channels,
        stage1_blocks=stage1_blocks,
        num_modules=num_modules,
        num_blocks=num_blocks,
        block_types=block_types,
        deconv_channels=deconv_channels,
        deconv_blocks=deconv_blocks,
        grad_checkpoint=grad_checkpoint,
    )


def higherhrnet_w32(
    num_keypoints: int = 17,
    *,
    tag_per_keypoint: bool = True,
    in_channels: int = 3,
    grad_checkpoint: bool = False,
) -> HigherHRNet:
    """Build HigherHRNet-W32 (28.6 M parameters)."""
    return HigherHRNet(
        32,
        num_keypoints,
        tag_per_keypoint=tag_per_keypoint,
        in_channels=in_channels,
        grad_checkpoint=grad_checkpoint,
    )


def higherhrnet_w48(
    num_keypoints: int = 17,
    *,
    tag_per_keypoint: bool = True,
    in_channels: int = 3,
    grad_checkpoint: bool = False,
) -> HigherHRNet:
    """Build HigherHRNet-W48 (63.8 M parameters)."""
    return HigherHRNet(
        48,
        num_keypoints,
        tag_per_keypoint=tag_per_keypoint,
        in_channels=in_channels,
        grad_checkpoint=grad_checkpoint,
    )


def infer_higherhrnet(shapes: Shapes) -> Networks:
    """Return the networks of these shapes, the inverse of `higherhrnet`; LookupError if none."""
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
