"""What each family returns, the names of its weights, its input sizes, and a foreign backbone."""

import random

import pytest
import torch
from torch import nn

from pose_backbones import (
    CPM,
    HeatmapHead,
    HigherHRNet,
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
    "hrnet_ae": ([4], [4]),
    "hrnet_w32": ([4], []),
    "hrnet_w32_ae": ([4], [4]),
    "hrnet_w48": ([4], []),
    "hrnet_w48_ae": ([4], [4]),
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


@pytest.mark.parametrize("name", ["higherhrnet_w32", "hourglass_ae", "hrnet_w48_ae"])
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
        (lambda: CPM(feat_channels=0), "feat_channels must be an integer of at least 1, got 0"),
        (lambda: CPM(stem_channels=-1), "stem_channels must be .* at least 1, got -1"),
        (lambda: CPM(middle_channels="32"), "middle_channels must be an integer .*, got '32'"),
        (lambda: Hourglass(stage_channels=(8, 0), stage_blocks=(1, 1)), r"none below 1.*\(8, 0\)"),
        (lambda: Hourglass(stage_channels=(8, 8), stage_blocks=(1, 0)), r"none below 1.*\(1, 0\)"),
        (lambda: Hourglass(stem_channels=0), "stem_channels must be .* at least 1, got 0"),
        (lambda: Hourglass(feat_channels=0), "feat_channels must be .* at least 1, got 0"),
        (lambda: HourglassAE(stage_channels=(8,)), "2 stage_channels"),
        (lambda: HourglassAE(stem_channels=0), "stem_channels must be .* at least 1, got 0"),
        (lambda: HigherHRNet(deconv_channels=0), "deconv_channels must be .* at least 1, got 0"),
        (lambda: HigherHRNet(deconv_blocks=-1), "deconv_blocks of at least 0, got -1"),
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


# The names and shapes that MMPose's constructors give, written from their rules.


def conv(name, c_in, c_out, kernel, *, bias=False):
    weight = {f"{name}.weight": (c_out, c_in, kernel, kernel)}
    return weight | ({f"{name}.bias": (c_out,)} if bias else {})


def norm(name, channels):
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{v}": (channels,) for v in vectors} | {f"{name}.num_batches_tracked": ()}


def unit(name, c_in, c_out, kernel, parts=("conv", "bn")):
    return conv(f"{name}.{parts[0]}", c_in, c_out, kernel) | norm(f"{name}.{parts[1]}", c_out)


def pair(name, c_in, c_out, kernel):
    return unit(name, c_in, c_out, kernel, parts=("0", "1"))


def block(name, c_in, c_out, kind="BASIC", stride=1):
    inner = c_out // 4
    steps = {
        "BASIC": [(c_in, c_out, 3), (c_out, c_out, 3)],
        "BOTTLENECK": [(c_in, inner, 1), (inner, inner, 3), (inner, c_out, 1)],
    }[kind]
    entries = {}
    for i, step in enumerate(steps, 1):
        entries |= unit(name, *step, parts=(f"conv{i}", f"bn{i}"))
    return entries | (
        pair(f"{name}.downsample", c_in, c_out, 1) if stride > 1 or c_in != c_out else {}
    )


def chain(name, c_in, c_out, number, kind="BASIC", stride=1):
    entries = block(f"{name}.0", c_in, c_out, kind, stride)
    for i in range(1, number):
        entries |= block(f"{name}.{i}", c_out, c_out, kind)
    return entries


def hrnet_entries(extra, in_channels):
    entries = unit("backbone", in_channels, 64, 3, ("conv1", "bn1"))
    entries |= unit("backbone", 64, 64, 3, ("conv2", "bn2"))
    before = [64]
    for number in (1, 2, 3, 4):
        stage = extra[f"stage{number}"]
        kind, blocks = stage["block"], stage["num_blocks"]
        widths = [c * {"BASIC": 1, "BOTTLENECK": 4}[kind] for c in stage["num_channels"]]
        if number == 1:
            entries |= chain("backbone.layer1", 64, widths[0], blocks[0], kind)
        else:
            for i, width in enumerate(widths):
                name = f"backbone.transition{number - 1}.{i}"
                if i == len(before):
                    entries |= pair(f"{name}.0", before[-1], width, 3)
                elif before[i] != width:
                    entries |= pair(name, before[i], width, 3)
            for m in range(stage["num_modules"]):
                last = number == 4 and m == stage["num_modules"] - 1
                entries |= module_entries(
                    f"backbone.stage{number}.{m}", widths, blocks, kind, 1 if last else number
                )
        before = widths
    return entries


def module_entries(name, widths, blocks, kind, outputs):
    entries = {}
    for i, width in enumerate(widths):
        entries |= chain(f"{name}.branches.{i}", width, width, blocks[i], kind)
    for i in range(outputs):
        for j, width in enumerate(widths):
            layer = f"{name}.fuse_layers.{i}.{j}"
            if j > i:
                entries |= pair(layer, width, widths[i], 1)
            for k in range(i - j):
                entries |= pair(f"{layer}.{k}", width, widths[i] if k == i - j - 1 else width, 3)
    return entries


def random_extra(rng):
    extra = {}
    for number in (1, 2, 3, 4):
        extra[f"stage{number}"] = {
            "num_modules": 1 if number == 1 else rng.randint(1, 3),
            "block": rng.choice(["BASIC", "BOTTLENECK"]),
            "num_blocks": [rng.randint(1, 3) for _ in range(number)],
            "num_channels": [rng.randint(1, 9) for _ in range(number)],
        }
    return extra


def options_of(extra):
    first, *later = extra.values()
    return {
        "stage1_channels": first["num_channels"][0],
        "stage1_blocks": first["num_blocks"][0],
        "channels": [stage["num_channels"] for stage in later],
        "num_modules": [stage["num_modules"] for stage in later],
        "num_blocks": [stage["num_blocks"] for stage in later],
        "block_types": [stage["block"].lower() for stage in extra.values()],
    }


def assert_entries(entries, name, num_keypoints, **options):
    with torch.device("meta"):
        state = create_model(name, num_keypoints=num_keypoints, **options).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == entries


@pytest.mark.parametrize("seed", range(6))
def test_hrnet_has_the_published_names(seed):
    extra, k = random_extra(random.Random(seed)), 5 + seed
    expansion = 4 if extra["stage4"]["block"] == "BOTTLENECK" else 1
    width, fine = expansion * extra["stage4"]["num_channels"][0], 3 + seed
    options = options_of(extra) | {"in_channels": 1 + seed}
    entries = hrnet_entries(extra, 1 + seed)
    assert_entries(
        entries | conv("head.final_layer", width, k, 1, bias=True), "hrnet", k, **options
    )

    for tags in (1, k):
        options["tag_per_keypoint"] = tags == k
        head = conv("head.final_layer", width, k + tags, 1, bias=True)
        assert_entries(entries | head, "hrnet_ae", k, **options)

        head = conv("head.final_layers.0", width, k + tags, 1, bias=True)
        head |= conv("head.final_layers.1", fine, k, 1, bias=True)
        head["head.deconv_layers.0.0.0.weight"] = (width + k + tags, fine, 4, 4)
        head |= norm("head.deconv_layers.0.0.1", fine)
        for i in range(seed):
            head |= block(f"head.deconv_layers.0.{1 + i}.0", fine, fine)
        deconv = {"deconv_channels": fine, "deconv_blocks": seed}
        assert_entries(entries | head, "higherhrnet", k, **options, **deconv)


def hourglass_entries(name, channels, blocks):
    (outer, inner), number = channels[:2], blocks[0]
    entries = chain(f"{name}.up1", outer, outer, number)
    entries |= chain(f"{name}.low1", outer, inner, number, stride=2)
    if len(channels) > 2:
        entries |= hourglass_entries(f"{name}.low2", channels[1:], blocks[1:])
    else:
        entries |= chain(f"{name}.low2", inner, inner, blocks[1])
    for i in range(number - 1):
        entries |= block(f"{name}.low3.{i}", inner, inner)
    return entries | block(f"{name}.low3.{number - 1}", inner, outer)


@pytest.mark.parametrize(
    ("stacks", "channels", "blocks", "stem", "feat"),
    [
        (1, (256, 16, 8), (1, 2, 3), 128, 256),  # MMPose's own stem is 128, 256
        (2, (256, 16), (2, 1), 128, 24),
        (3, (20, 20, 12, 8), (1, 2, 1, 1), 6, 9),
        (2, (7, 9, 9), (3, 1, 2), 3, 7),
    ],
)
def test_hourglass_has_the_published_names(stacks, channels, blocks, stem, feat):
    width = channels[0]
    entries = unit("backbone.stem.0", 3, stem, 7)
    entries |= chain("backbone.stem.1", stem, width, 1, stride=2)
    # One stack has a block between stacks too: a chain of none gets one.
    entries |= chain("backbone.inters", width, width, max(stacks - 1, 1))
    for i in range(stacks):
        entries |= hourglass_entries(f"backbone.hourglass_modules.{i}", channels, blocks)
        entries |= unit(f"backbone.out_convs.{i}", width, feat, 3)
        entries |= conv(f"head.multi_final_layers.{i}", feat, 11, 1, bias=True)
        if i < stacks - 1:
            entries |= unit(f"backbone.conv1x1s.{i}", width, width, 1)
            entries |= unit(f"backbone.remap_convs.{i}", feat, width, 1)
    options = {"num_stacks": stacks, "stage_channels": channels, "stage_blocks": blocks}
    assert_entries(entries, "hourglass", 11, **options, stem_channels=stem, feat_channels=feat)


def plain_hourglass_entries(name, channels):
    outer, inner = channels[:2]
    entries = unit(f"{name}.up1", outer, outer, 3) | unit(f"{name}.low1", outer, inner, 3)
    if len(channels) > 2:
        entries |= plain_hourglass_entries(f"{name}.low2", channels[1:])
    else:
        entries |= unit(f"{name}.low2", inner, inner, 3)
    return entries | unit(f"{name}.low3", inner, outer, 3)


@pytest.mark.parametrize(
    ("stacks", "channels", "stem"),
    [(1, (256, 16), 64), (2, (48, 24, 8), 64), (3, (10, 12, 9), 5)],
)
def test_hourglass_ae_has_the_published_names(stacks, channels, stem):
    width, maps = channels[0], 14
    entries = unit("backbone.stem.0", 3, stem, 7) | unit("backbone.stem.1", stem, 2 * stem, 3)
    entries |= unit("backbone.stem.3", 2 * stem, 2 * stem, 3)
    entries |= unit("backbone.stem.4", 2 * stem, width, 3)
    for i in range(stacks):
        name = f"backbone.hourglass_modules.{i}"
        entries |= plain_hourglass_entries(f"{name}.0", channels)
        entries |= unit(f"{name}.1", width, width, 3) | unit(f"{name}.2", width, width, 3)
        entries |= conv(f"backbone.out_convs.{i}.conv", width, maps, 1, bias=True)
        if i < stacks - 1:
            entries |= unit(f"backbone.remap_out_convs.{i}", maps, width, 1)
            entries |= unit(f"backbone.remap_feature_convs.{i}", width, width, 1)
    options = {"num_stacks": stacks, "stage_channels": channels, "stem_channels": stem}
    assert_entries(entries, "hourglass_ae", 7, **options)


@pytest.mark.parametrize(
    ("stages", "feat", "middle", "stem"),
    [(2, 24, 32, 128), (3, 128, 8, 128), (4, 9, 5, 128), (2, 12, 7, 6)],
)
def test_cpm_has_the_published_names(stages, feat, middle, stem):
    k, entries = 6, {}
    for name in ("backbone.stem", "backbone.middle"):
        for i, c_in in ((0, 3), (2, stem), (4, stem)):
            entries |= unit(f"{name}.{i}", c_in, stem, 9)
    for i, (c_in, c_out, kernel) in enumerate([(stem, 32, 5), (32, 512, 9), (512, 512, 1)], 6):
        entries |= unit(f"backbone.stem.{i}", c_in, c_out, kernel)
    entries |= conv("backbone.stem.9.conv", 512, k, 1, bias=True)
    for i in range(stages - 1):
        for j, c_in in enumerate((k + middle, feat, feat)):
            entries |= unit(f"backbone.cpm_stages.{i}.model.{j}", c_in, feat, 11)
        entries |= unit(f"backbone.middle_conv.{i}.0", stem, middle, 5)
        entries |= unit(f"backbone.out_convs.{i}.0", feat, feat, 1)
        entries |= conv(f"backbone.out_convs.{i}.1.conv", feat, k, 1, bias=True)
    options = {"num_stages": stages, "feat_channels": feat, "middle_channels": middle}
    assert_entries(entries, "cpm", k, **options, stem_channels=stem)
