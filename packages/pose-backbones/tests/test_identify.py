"""Which network a state dict is of: every option back from names and shapes, and junk."""

import time

import pytest
import torch

from pose_backbones import Identity, create_model, identify, list_models

TINY = {"width": 4, "num_modules": (1, 1, 1), "num_blocks": 1}
ODD_HRNET = {
    "channels": ((6, 10), (4, 10, 6), (8, 4, 6, 2)),
    "in_channels": 1,
    "stem_channels": 8,
    "stage1_channels": 3,
    "stage1_blocks": 2,
    "num_modules": (2, 1, 3),
    "num_blocks": (1, (2, 1, 1), 2),
    "block_types": ("basic", "bottleneck", "basic", "bottleneck"),
}
NARROW = {"stage_channels": (8, 12, 12), "stage_blocks": (1, 2, 1)}
# As `identify` spells the options; for 17 keypoints, an odd number, which has no tags in it.
CASES = [
    ("cpm", {}),
    ("cpm", {"num_stages": 3, "feat_channels": 24}),
    ("cpm", {"feat_channels": 24, "stem_channels": 128, "middle_channels": 7, "in_channels": 1}),
    ("higherhrnet", TINY | {"stem_channels": 8}),
    ("higherhrnet", TINY | {"deconv_channels": 6, "deconv_blocks": 0, "tag_per_keypoint": False}),
    ("higherhrnet", ODD_HRNET | {"deconv_blocks": 2}),
    ("higherhrnet_w32", {"tag_per_keypoint": False}),
    ("higherhrnet_w48", {"in_channels": 4}),
    ("hourglass", NARROW | {"num_stacks": 2}),
    ("hourglass", NARROW | {"stem_channels": 5, "feat_channels": 9}),
    ("hourglass52", {"num_stacks": 2}),
    ("hourglass_ae", {}),
    ("hourglass_ae", {"stage_channels": (8, 10), "num_stacks": 1, "stem_channels": 7}),
    ("hourglass_ae", {"stage_channels": (7, 4, 4), "in_channels": 1}),
    ("hrnet", TINY),
    ("hrnet", ODD_HRNET),
    ("hrnet", {"width": 18, "stage1_channels": 32, "num_blocks": (4, 4, 2)}),
    ("hrnet", {"stem_channels": 32}),
    ("hrnet_w32", {}),
    ("hrnet_w48", {"in_channels": 1}),
]
NETS = [
    ("cpm", {"num_stages": 2, "feat_channels": 4}),
    ("higherhrnet", TINY),
    ("hourglass", NARROW),
    ("hourglass_ae", {"stage_channels": (8, 8)}),
    ("hrnet", TINY),
]


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def state_of(name, num_keypoints=17, **options):
    with torch.device("meta"):
        return create_model(name, num_keypoints=num_keypoints, **options).state_dict()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_options_come_back(name, options):
    state = state_of(name, **options)
    assert identify(state) == [Identity(name, 17, options)]
    uncounted = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    assert identify(uncounted) == [Identity(name, 17, options)]  # as PyTorch < 0.4.1 wrote them


@pytest.mark.parametrize(("name", "options"), NETS)
@pytest.mark.parametrize("num_keypoints", [1, 2, 6])
def test_what_comes_back_has_the_same_shapes(name, options, num_keypoints):
    state = state_of(name, num_keypoints, **options)
    found = identify(state)
    assert any(network.num_keypoints == num_keypoints for network in found)
    for model, k, again in found:
        assert shapes(state_of(model, k, **again)) == shapes(state)


@pytest.mark.parametrize("name", list_models())
def test_names_of_models_come_back(name):
    # The general names stand for the special ones with their defaults.
    special = {"hrnet": "hrnet_w32", "hrnet_ae": "hrnet_w32_ae", "hourglass": "hourglass52"}
    special["higherhrnet"] = "higherhrnet_w32"
    assert Identity(special.get(name, name), 17, {}) in identify(state_of(name))


def test_two_answers_where_shapes_cannot_tell():
    assert identify(state_of("hrnet", 34, **TINY)) == [
        Identity("hrnet", 34, TINY),
        Identity("hrnet_ae", 17, TINY),
    ]
    assert identify(state_of("hrnet_w48_ae")) == [
        Identity("hrnet_w48", 34, {}),
        Identity("hrnet_w48_ae", 17, {}),
    ]


def test_one_tag_for_all_keypoints_where_nothing_else_fits():
    state = state_of("hourglass_ae", 16, stage_channels=(8, 8), tag_per_keypoint=False)
    options = {"stage_channels": (8, 8), "tag_per_keypoint": False}
    assert identify(state) == [Identity("hourglass_ae", 16, options)]


def test_what_is_no_model_of_ours():
    state = state_of("hrnet", **TINY)
    backbone = {name: t for name, t in state.items() if name.startswith("backbone.")}
    first = "backbone.stage4.0.branches.3.0.conv1.weight"
    empty = torch.empty(1, device="meta")
    for other in (
        {},
        backbone,
        backbone | {"head.final_layer.0.weight": empty},
        state | {"head.extra": empty},
        {name: t for name, t in state.items() if name != "backbone.bn1.bias"},
        {name: t for name, t in state.items() if name != first},
        state | {"head.final_layer.weight": empty.expand(34, 4, 1, 1)},
        {f"layer{i}.weight": empty for i in range(5000)},
    ):
        assert identify(other) == []


@pytest.mark.parametrize(("name", "options"), NETS)
@pytest.mark.parametrize("shape", [(1,), (0, 0, 3, 3), (2**60, 1, 1, 1)])
def test_hostile_shapes(name, options, shape):
    state = state_of(name, **options)
    junk = torch.empty(shape, device="meta")
    for changed in (n for n in state if n.endswith("weight") and state[n].ndim == 4):
        assert identify(state | {changed: junk}) == []


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("cpm", "backbone.cpm_stages.{}.model.0.conv.weight"),
        ("higherhrnet", "head.deconv_layers.0.{}.0.conv1.weight"),
        ("hourglass", "backbone.hourglass_modules.{}.up1.0.conv1.weight"),
        ("hourglass", "backbone.hourglass_modules.0.up1.{}.conv1.weight"),
        ("hourglass_ae", "backbone.hourglass_modules.{}.0.up1.conv.weight"),
        ("hrnet", "backbone.layer1.{}.conv1.weight"),
        ("hrnet", "backbone.stage4.{}.branches.0.0.conv1.weight"),
    ],
)
def test_thousands_of_names_are_not_built(name, pattern):
    state = state_of(name, **dict(NETS)[name])
    many = {pattern.format(i): torch.empty(8, 8, 3, 3, device="meta") for i in range(5000)}
    start = time.perf_counter()
    assert identify(many | state) == []
    assert time.perf_counter() - start < 2


def test_a_depth_that_cannot_be_built():
    state = state_of("hourglass", **NARROW)
    weight = state["backbone.hourglass_modules.0.up1.0.conv1.weight"]
    level = "backbone.hourglass_modules.0."
    for _ in range(1000):
        state[f"{level}up1.0.conv1.weight"] = weight
        level += "low2."
    state[f"{level}0.conv1.weight"] = weight
    padding = {f"padding{i}": weight for i in range(20_000)}
    assert identify(state | padding) == []
