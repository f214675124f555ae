"""What each family returns, its input sizes, and a foreign backbone."""

import pytest
import torch
from torch import nn

from pose_backbones import (
    CPM,
    HeatmapHead,
    Hourglass,
    HourglassAE,
    PoseNet,
    create_model,
    list_models,
)

STRIDES = {  # heatmaps, tags
    "cpm": ([8] * 6, []),
    "higherhrnet_w32": ([4, 2], [4]),
    "higherhrnet": ([4, 2], [4]),
    "higherhrnet_w48": ([4, 2], [4]),
    "hourglass": ([4], []),
    "hourglass52": ([4], []),
    "hourglass_ae": ([4] * 4, [4] * 4),
    "hrnet": ([4], []),
    "hrnet_w32": ([4], []),
    "hrnet_w32_ae": ([4], [4]),
    "hrnet_w48": ([4], []),
}


@pytest.mark.parametrize(
    ("name", "num_keypoints"),
    [*((name, 17) for name in list_models()), ("cpm", 1), ("cpm", 133), ("higherhrnet_w32", 133)],
)
def test_outputs(name, num_keypoints):
    with torch.device("meta"), torch.no_grad():
        model = create_model(name, num_keypoints=num_keypoints, in_channels=4).eval()
        heatmaps, tags = model(torch.empty(2, 4, 256, 128))
    for maps, strides in zip((heatmaps, tags), STRIDES[name], strict=True):
        expected = [(2, num_keypoints, 256 // s, 128 // s) for s in strides]
        assert [tuple(m.shape) for m in maps] == expected


@pytest.mark.parametrize("name", ["higherhrnet_w32", "hourglass_ae", "hrnet_w32_ae"])
def test_one_tag_for_all_keypoints(name):
    with torch.device("meta"), torch.no_grad():
        model = create_model(name, tag_per_keypoint=False).eval()
        heatmaps, tags = model(torch.empty(1, 3, 64, 64))
    assert {m.shape[1] for m in heatmaps} == {17}
    assert {m.shape[1] for m in tags} == {1}


def test_hourglass_stacks_see_each_other():
    backbone = Hourglass(3, stage_channels=(8, 8), stage_blocks=(1, 1))
    features = backbone(torch.randn(1, 3, 16, 24))
    assert [tuple(f.shape) for f in features] == [
        (1, i.channels, 4, 6) for i in backbone.feature_info
    ]
    features[-1].sum().backward()
    assert [
        n for n, p in backbone.named_parameters() if p.grad is None and "out_convs" not in n
    ] == []


def test_the_dead_block_of_one_stack_is_kept_but_not_trained():
    backbone = Hourglass(1, stage_channels=(8, 8), stage_blocks=(1, 1))
    frozen = {n.split(".")[0] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"inters"}
    stacked = Hourglass(2, stage_channels=(8, 8), stage_blocks=(1, 1))
    assert all(p.requires_grad for p in stacked.parameters())


@pytest.mark.parametrize(
    ("backbone", "size", "multiple"),
    [
        (lambda: Hourglass(stage_channels=(8,) * 6, stage_blocks=(1,) * 6), (128, 64), 128),
        (lambda: HourglassAE(stage_channels=(8,) * 5), (64, 96), 64),
    ],
)
def test_sizes_that_do_not_fit(backbone, size, multiple):
    with pytest.raises(ValueError, match=f"multiples of {multiple}, got {size[0]}x{size[1]}"):
        backbone()(torch.zeros(1, 3, *size))


def test_small_nets_of_every_family():
    small = {
        "cpm": {"feat_channels": 8, "num_stages": 2},
        "higherhrnet": {"width": 4, "stem_channels": 4, "num_modules": (1, 1, 1), "num_blocks": 1},
        "hourglass": {"stage_channels": (8, 8, 16), "stage_blocks": (1, 1, 2), "num_stacks": 2},
        "hrnet": {"width": 4, "stem_channels": 4, "num_modules": (1, 1, 1), "num_blocks": 1},
    }
    for name, options in small.items():
        with torch.device("meta"), torch.no_grad():
            model = create_model(name, num_keypoints=5, **options).eval()
            heatmaps = model(torch.empty(1, 3, 64, 32)).heatmaps
        stride = 8 if name == "cpm" else 4
        assert heatmaps[0].shape == (1, 5, 64 // stride, 32 // stride)
        assert len(heatmaps) == (1 if name == "hrnet" else 2)


def test_cpm_takes_any_size():
    maps = CPM(2, 2, feat_channels=4)(torch.zeros(1, 3, 33, 40))
    assert [tuple(m.shape) for m in maps] == [(1, 2, 5, 5)] * 2


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: Hourglass(0), "at least 1 stack"),
        (lambda: Hourglass(stage_channels=(8, 8)), "as many stage_blocks"),
        (lambda: HourglassAE(num_stacks=0), "at least 1 stack"),
        (lambda: CPM(num_stages=1), "at least 2 stages"),
    ],
)
def test_impossible_sizes(build, word):
    with pytest.raises(ValueError, match=word):
        build()


class Foreign(nn.Module):
    """Return a list of features, as the backbones of other libraries do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in (3, 6, 12))

    def forward(self, x):
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features


def test_posenet_takes_a_foreign_backbone_and_leaves_its_weights():
    torch.manual_seed(0)
    backbone = Foreign()
    before = backbone.layers[0].weight.clone()
    model = PoseNet(backbone, HeatmapHead(12, 5, index=1))
    (heatmaps,) = model(torch.zeros(2, 3, 32, 32)).heatmaps
    assert heatmaps.shape == (2, 5, 8, 8)
    assert torch.equal(backbone.layers[0].weight, before)


def test_a_small_higherhrnet():
    options = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1), "num_blocks": 1}
    model = create_model("higherhrnet", num_keypoints=5, tag_per_keypoint=False, **options).eval()
    assert sum(p.numel() for p in model.parameters()) < 0.2e6
    with torch.inference_mode():
        heatmaps, tags = model(torch.zeros(2, 3, 64, 96))
    assert [tuple(maps.shape) for maps in heatmaps] == [(2, 5, 16, 24), (2, 5, 32, 48)]
    assert [tuple(maps.shape) for maps in tags] == [(2, 1, 16, 24)]
