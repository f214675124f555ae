"""The frame of every model: what it returns, a backbone with a head, and the simple heads."""

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from pose_backbones.blocks import MapsConv


class Feature(NamedTuple):
    """Describe one feature map of a backbone: its channels and its stride in input pixels."""

    channels: int
    stride: int


class PoseOutput(NamedTuple):
    """Hold what a pose model returns, coarse or early stage first.

    heatmaps: tensors (B, K, H, W), one per stage or scale.
    tags: tensors (B, K, H, W), or (B, 1, H, W) where all keypoints share one; () for top-down.
    """

    heatmaps: tuple[Tensor, ...]
    tags: tuple[Tensor, ...] = ()


class PoseNet(nn.Module):
    """Join a backbone that returns a list of feature maps with a head that turns it into maps.

    Any module with `(B, C, H, W) -> list of (B, Ci, Hi, Wi)` fits as a backbone. Published weights
    expect images in RGB, 0..255, less MEAN, divided by STD; grey ones GREY_MEAN and GREY_STD.
    """

    if TYPE_CHECKING:  # what nn.Module's own returns is Any

        def __call__(self, images: Tensor) -> PoseOutput: ...

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> PoseOutput:
        return self.head(self.backbone(images))

    @property
    def num_keypoints(self) -> int:
        """Return the number of keypoints, and so of heatmaps, that the head has."""
        return self.head.num_keypoints  # type: ignore[return-value]


class HeatmapHead(nn.Module):
    """Turn one feature map into heatmaps, and into tags if `num_tags` is not 0, by a 1x1 conv.

    features[index] (B, C, H, W) -> heatmaps (B, K, H, W), tags (B, num_tags, H, W).
    """

    def __init__(
        self, in_channels: int, num_keypoints: int, *, num_tags: int = 0, index: int = 0
    ) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.index = index
        self.final_layer = MapsConv(in_channels, num_keypoints + num_tags, 1)

    def forward(self, features: list[Tensor]) -> PoseOutput:
        return split_maps([self.final_layer(features[self.index])], self.num_keypoints)


class StagesHead(nn.Module):
    """Turn the feature map of every stage into heatmaps by a 1x1 convolution of its own.

    features[i] (B, C, H, W) -> heatmaps[i] (B, K, H, W).
    """

    def __init__(self, in_channels: int, num_keypoints: int, num_stages: int) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.multi_final_layers = nn.ModuleList(
            MapsConv(in_channels, num_keypoints, 1) for _ in range(num_stages)
        )

    def forward(self, features: list[Tensor]) -> PoseOutput:
        maps = [layer(x) for layer, x in zip(self.multi_final_layers, features, strict=True)]
        return split_maps(maps, self.num_keypoints)


class MapsHead(nn.Module):
    """Take the features of a backbone that already computes maps (CPM, Hourglass-AE)."""

    def __init__(self, num_keypoints: int) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints

    def forward(self, features: list[Tensor]) -> PoseOutput:
        return split_maps(features, self.num_keypoints)


def split_maps(maps: list[Tensor], num_keypoints: int) -> PoseOutput:
    """Split each (B, K + T, H, W) into heatmaps (B, K, H, W) and, if T > 0, tags (B, T, H, W)."""
    heatmaps = tuple(m[:, :num_keypoints] for m in maps)
    tags = tuple(m[:, num_keypoints:] for m in maps if m.shape[1] > num_keypoints)
    return PoseOutput(heatmaps, tags)
