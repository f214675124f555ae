"""The network of an MMPose config or checkpoint, as a name and options of pose_backbones."""

from collections.abc import Callable, Mapping
from typing import Any

from pose_train.config.schema import ConfigError
from pose_train.mmpose.source import MMPoseConfig

Network = tuple[str, dict[str, Any]]
BACKBONE = "model.backbone"

# Heads of one kind: of 1.x, of 0.x, and of 0.x before they were renamed.
ONE_STAGE = ("HeatmapHead", "TopdownHeatmapSimpleHead", "TopDownSimpleHead")
STAGES = ("CPMHead", "TopdownHeatmapMultiStageHead", "TopDownMultiStageHead")
WITH_TAGS = ("AssociativeEmbeddingHead", "AESimpleHead", "BottomUpSimpleHead")
TWO_SIZES = ("AEHigherResolutionHead", "BottomUpHigherResolutionHead")
# Arguments of heads: the value where none is given, and the one that the heads of pose_backbones
# have. Heads that are not listed are of 0.x.
DECONV_0X = {"num_deconv_layers": (3, 0)}
DECONV_1X = {"deconv_out_channels": ([256, 256, 256], None), "conv_out_channels": (None, None)}
DECONV_TWO_SIZES = {
    "num_deconv_layers": (1, 1),
    "num_deconv_kernels": ([4], [4]),
    "cat_output": ([True], [True]),
}
HEADS: dict[str, dict[str, tuple[Any, Any]]] = {
    "HeatmapHead": DECONV_1X,
    "AssociativeEmbeddingHead": {**DECONV_1X, "tag_dim": (1, 1)},
    "CPMHead": {"deconv_out_channels": (None, None)},
    **dict.fromkeys(TWO_SIZES, DECONV_TWO_SIZES),
}
# Arguments of backbones and heads that do not show in the shapes of the weights.
NOT_IN_SHAPES = (
    "decoder", "frozen_stages", "init_cfg", "keypoint_loss", "loss", "loss_keypoint", "norm_cfg",
    "norm_eval", "tag_loss", "with_cp",
)  # fmt: skip


def network_of_tensors(source: MMPoseConfig, tensors: Mapping[str, Any]) -> Network:
    """Return the network of a checkpoint's tensors, which have our names; raises ConfigError."""
    from pose_backbones import identify

    found = [
        each
        for each in identify(tensors)
        if source.is_bottomup == ("higher" in each.model or each.model.endswith("_ae"))
    ]
    if not found:
        network_of_config(source)  # raises for a network that is not in pose_backbones
        raise ConfigError("its tensors are not those of the network that its config names")
    for part in (BACKBONE, source.head):
        source.used |= {f"{part}.{key}" for key in source.peek(part) if key not in NOT_IN_SHAPES}
    return found[0].model, found[0].options


def network_of_config(source: MMPoseConfig) -> Network:
    """Return the network that a config names; raises ConfigError if pose_backbones lacks it."""
    head, neck = source.head, source.peek("model.neck")
    backbone_name, head_name = source.type_name(BACKBONE), source.type_name(head)
    families = [
        family
        for family, (backbone, heads, _) in FAMILIES.items()
        if backbone == backbone_name and head_name in heads
    ]
    if not families or neck is not None:
        between = [source.type_name("model.neck")] if neck is not None else []
        raise ConfigError(
            f"{' + '.join([backbone_name, *between, head_name])} is none of the networks here, "
            "which are Hourglass, HRNet, CPM and HigherHRNet, and the first two with associative "
            "embedding"
        )
    for key, (default, ours) in HEADS.get(head_name, DECONV_0X).items():
        value = source.peek(head).get(key, default)  # a given None counts, too
        if value != ours and (value or ours):
            raise ConfigError(f"{head}.{key} of {head_name} is {value}; heads here have {ours}")
        source.used.add(f"{head}.{key}")
    # These follow from the backbone and from the data.
    follow = ("in_channels", "num_stages", "num_keypoints", "out_channels")
    source.used |= {f"{BACKBONE}.out_channels", *(f"{head}.{key}" for key in follow)}
    name, options = FAMILIES[families[0]][2](source, families[0])
    channels = source.get(f"{BACKBONE}.in_channels", default=3)
    return name, options if channels == 3 else options | {"in_channels": channels}


def _changed(options: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value != published[key]}


def _hrnet(source: MMPoseConfig, family: str) -> Network:
    extra = f"{BACKBONE}.extra"
    first, *rest = [source.get(f"{extra}.stage{i}", kind=dict, default={}) for i in (1, 2, 3, 4)]
    try:
        channels = [list(stage["num_channels"]) for stage in rest]
        blocks = [list(stage["num_blocks"]) for stage in rest]
        width = channels[0][0]
        options = {
            "stage1_channels": first["num_channels"][0],
            "stage1_blocks": first["num_blocks"][0],
            "num_modules": [stage["num_modules"] for stage in rest],
            "num_blocks": blocks[0][0] if len({n for row in blocks for n in row}) == 1 else blocks,
            "block_types": [stage["block"].lower() for stage in (first, *rest)],
        }
        doubled = [[width * 2**i for i in range(n)] for n in (2, 3, 4)]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ConfigError(
            f"{extra} must have stage1 to stage4, each with num_modules, num_blocks, num_channels "
            "and block"
        ) from None
    if rest[-1].get("multiscale_output"):
        raise ConfigError(f"{extra}.stage4.multiscale_output: heads here take the finest map alone")
    published = {
        "stage1_channels": 64,
        "stage1_blocks": 4,
        "num_modules": [1, 4, 3],
        "num_blocks": 4,
        "block_types": ["bottleneck", "basic", "basic", "basic"],
    }
    if family == "higherhrnet":
        options |= {
            "deconv_channels": source.scalar(f"{source.head}.num_deconv_filters", default=32),
            "deconv_blocks": source.get(f"{source.head}.num_basic_blocks", default=4),
        }
        published |= {"deconv_channels": channels[-1][0], "deconv_blocks": 4}
    options = _changed(options, published)
    if channels != doubled:
        options["channels"] = channels
    elif options or width not in (32, 48):
        options["width"] = width
    else:
        family = f"{family.removesuffix('_ae')}_w{width}{'_ae' if family == 'hrnet_ae' else ''}"
    paths = f"{source.head}.tag_per_joint", f"{source.head}.tag_per_keypoint"
    if not source.get(*paths, default=True):
        options["tag_per_keypoint"] = False
    return family, options


def _hourglass(source: MMPoseConfig, family: str) -> Network:
    published: dict[str, Any] = {"num_stacks": 1, "stage_blocks": [2, 2, 2, 2, 2, 4]}
    published["stage_channels"] = [256, 256, 384, 384, 384, 512]
    depth = source.get(f"{BACKBONE}.downsample_times", kind=int, default=5) + 1
    options = {  # MMPose ignores deeper stages
        key: source.get(f"{BACKBONE}.{key}", kind=list, default=published[key])[:depth]
        for key in ("stage_channels", "stage_blocks")
    }
    width = options["stage_channels"][:1]
    options["num_stacks"] = source.get(f"{BACKBONE}.num_stacks", default=2)
    options = _changed(options, published)
    features = source.get(f"{BACKBONE}.feat_channel", default=256)
    if width != [features]:
        options["feat_channels"] = features
    return "hourglass52" if options.keys() <= {"num_stacks"} else family, options


def _hourglass_ae(source: MMPoseConfig, family: str) -> Network:
    published = {"num_stacks": 4, "stage_channels": [256, 384, 512, 640, 768]}
    depth = source.get(f"{BACKBONE}.downsample_times", kind=int, default=4) + 1
    default = published["stage_channels"]
    channels = source.get(f"{BACKBONE}.stage_channels", kind=list, default=default)[:depth]
    stacks = source.get(f"{BACKBONE}.num_stacks", kind=int, default=1)
    source.expect("model.test_cfg.select_output_index", [stacks - 1])  # as here
    return family, _changed({"num_stacks": stacks, "stage_channels": channels}, published)


def _cpm(source: MMPoseConfig, family: str) -> Network:
    published = {"num_stages": 6, "feat_channels": 128, "middle_channels": 32}
    options = _changed(
        {key: source.get(f"{BACKBONE}.{key}", default=n) for key, n in published.items()}, published
    )
    # By default the stem has feat_channels here, and always 128 in MMPose.
    return family, options | ({"stem_channels": 128} if "feat_channels" in options else {})


# Family of pose_backbones -> backbone and heads of MMPose, and what makes the name and options.
FAMILIES: dict[str, tuple[str, tuple[str, ...], Callable[[MMPoseConfig, str], Network]]] = {
    "hrnet": ("HRNet", ONE_STAGE, _hrnet),
    "hrnet_ae": ("HRNet", WITH_TAGS, _hrnet),
    "higherhrnet": ("HRNet", TWO_SIZES, _hrnet),
    "hourglass": ("HourglassNet", STAGES, _hourglass),
    "hourglass_ae": ("HourglassAENet", ("AEMultiStageHead",), _hourglass_ae),
    "cpm": ("CPM", STAGES, _cpm),
}
