"""HRNet: shapes, options, errors."""

import pytest
import torch

from pose_backbones import HRNet, PoseOutput, create_model


def test_w32_has_the_published_size_and_returns_quarter_resolution_heatmaps():
    model = create_model("hrnet_w32", num_keypoints=17).eval()
    assert sum(p.numel() for p in model.parameters()) == 28_536_113
    with torch.no_grad():
        output = model(torch.zeros(1, 3, 64, 96))
    assert isinstance(output, PoseOutput)
    assert output.tags == ()
    assert [h.shape for h in output.heatmaps] == [(1, 17, 16, 24)]


@pytest.mark.parametrize("width", [8, 16, 18])
def test_narrow_nets_train(width):
    model = create_model(
        "hrnet", num_keypoints=5, width=width, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1
    )
    (heatmaps,) = model(torch.randn(2, 3, 64, 64)).heatmaps
    heatmaps.square().mean().backward()
    assert heatmaps.shape == (2, 5, 16, 16)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_backbone_returns_what_feature_info_says():
    backbone = HRNet(8, in_channels=1, num_modules=(1, 1, 1), num_blocks=1, multi_scale=True)
    features = backbone(torch.zeros(1, 1, 64, 128))
    assert [(f.shape[1], 64 // f.shape[2], 128 // f.shape[3]) for f in features] == [
        (info.channels, info.stride, info.stride) for info in backbone.feature_info
    ]
    assert [info.stride for info in backbone.feature_info] == [4, 8, 16, 32]


def test_input_size_and_options_are_checked():
    with pytest.raises(ValueError, match="multiples of 32, got 64x48"):
        create_model("hrnet", width=8, num_modules=[1, 1, 1])(torch.zeros(1, 3, 64, 48))
    with pytest.raises(ValueError, match="three num_modules"):
        create_model("hrnet", num_modules=(1, 1))


def test_widths_may_change_from_stage_to_stage():
    backbone = HRNet(
        channels=((6, 10), (4, 10, 6), (8, 4, 6, 2)),
        stem_channels=8,
        stage1_channels=3,
        stage1_blocks=2,
        num_modules=(2, 1, 1),
        num_blocks=(1, (2, 1, 1), 2),
        block_types=("basic", "bottleneck", "basic", "bottleneck"),
        multi_scale=True,
    )
    features = backbone(torch.randn(2, 3, 64, 32))
    assert [tuple(f.shape) for f in features] == [
        (2, 32, 16, 8),
        (2, 16, 8, 4),
        (2, 24, 4, 2),
        (2, 8, 2, 1),
    ]
    assert [info.channels for info in backbone.feature_info] == [32, 16, 24, 8]
    sum(f.square().mean() for f in features).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width must be an integer of at least 1, got 0"),
        ({"stem_channels": 0}, "stem_channels must be an integer of at least 1, got 0"),
        ({"stage1_channels": 0}, "stage1_channels must be an integer of at least 1, got 0"),
        ({"stage1_blocks": -1}, "stage1_blocks must be an integer of at least 1, got -1"),
        (
            {"channels": ((8, 16), (8, 16, 32))},
            r"takes channels for .* 2, 3 and 4 .* got \(\(8, 16",
        ),
        ({"channels": ((8, 16), (8, 16), (8, 16))}, "takes channels for stages of 2, 3 and 4"),
        ({"channels": (8, 16, 32)}, r"takes channels for .* got \(8, 16, 32\)"),
        ({"channels": ((8, 16), (8, 16, 0), (1, 2, 3, 4))}, "takes channels for .* none below 1"),
        ({"num_modules": (1, 0, 1)}, r"three num_modules, none below 1; got \(1, 0, 1\)"),
        ({"num_blocks": 0}, "takes num_blocks for .* none below 1; got 0"),
        ({"num_blocks": (4, 4)}, r"takes num_blocks for .* got \(4, 4\)"),
        ({"num_blocks": ((4, 4), 4, (4, 4, 4))}, "takes num_blocks for stages of 2, 3 and 4"),
        ({"num_blocks": (4, 4, 4, 4)}, r"takes num_blocks for .* got \(4, 4, 4, 4\)"),
        ({"num_blocks": None}, "takes num_blocks for .* got None"),
        ({"block_types": ("basic",) * 3}, "four block_types, each 'basic' or 'bottleneck'"),
        ({"block_types": ("BASIC",) * 4}, r"four block_types.*got \('BASIC'"),
    ],
)
def test_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        HRNet(**options)


def test_initialisation():
    torch.manual_seed(0)
    for name, tensor in create_model("hrnet_w32").state_dict().items():
        if tensor.ndim == 4:
            assert tensor.std().item() == pytest.approx(0.001, rel=0.2), name
        elif name.endswith("bias"):
            assert not tensor.any(), name
