"""The network of an MMPose config or checkpoint, as a name and options of pose_backbones."""

from collections.abc import Callable, Mapping
from typing import Any

from pose_train.config.schema import ConfigError
from pose_train.mmpose.values import Theirs

Network = tuple[str, dict[str, Any]]
BACKBONE = "model.backbone"
# (backbone, head) -> our name; heads of 1.x, of 0.x, and of 0.x before they were renamed.
FAMILIES = {
    ("HRNet", "HeatmapHead"): "hrnet",
    ("HRNet", "TopdownHeatmapSimpleHead"): "hrnet",
    ("HRNet", "TopDownSimpleHead"): "hrnet",
    ("HRNet", "AssociativeEmbeddingHead"): "hrnet_ae",
    ("HRNet", "AESimpleHead"): "hrnet_ae",
    ("HRNet", "BottomUpSimpleHead"): "hrnet_ae",
    ("HRNet", "AEHigherResolutionHead"): "higherhrnet",
    ("HRNet", "BottomUpHigherResolutionHead"): "higherhrnet",
    ("HourglassNet", "CPMHead"): "hourglass",
    ("HourglassNet", "TopdownHeatmapMultiStageHead"): "hourglass",
    ("HourglassNet", "TopDownMultiStageHead"): "hourglass",
    ("HourglassAENet", "AEMultiStageHead"): "hourglass_ae",
    ("CPM", "CPMHead"): "cpm",
    ("CPM", "TopdownHeatmapMultiStageHead"): "cpm",
    ("CPM", "TopDownMultiStageHead"): "cpm",
}
# What heads of MMPose may have: the value where nothing is said, and the one of our heads.
DECONV_1X = {"deconv_out_channels": ([256, 256, 256], None), "conv_out_channels": (None, None)}
DECONV_0X = {"num_deconv_layers": (3, 0)}
HIGHER = {
    "num_deconv_layers": (1, 1),
    "num_deconv_kernels": ([4], [4]),
    "cat_output": ([True], [True]),
}
HEADS: dict[str, dict[str, tuple[Any, Any]]] = {
    "HeatmapHead": DECONV_1X,
    "AssociativeEmbeddingHead": {**DECONV_1X, "tag_dim": (1, 1)},
    "CPMHead": {"deconv_out_channels": (None, None)},
    "AEHigherResolutionHead": HIGHER,
    "BottomUpHigherResolutionHead": HIGHER,
}
# What of backbones and heads is no matter of shapes.
NOT_SHAPES = (
    "decoder", "frozen_stages", "init_cfg", "keypoint_loss", "loss", "loss_keypoint", "norm_cfg",
    "norm_eval", "tag_loss", "with_cp",
)  # fmt: skip


def is_bottomup(theirs: Theirs) -> bool:
    """Tell a network that finds people in whole pictures from one that takes boxes."""
    return theirs.kind("model").lower().startswith(("bottom", "assoc"))


def head_of(theirs: Theirs) -> str:
    """Return the path of the head, which tells 1.x from 0.x."""
    for path in ("model.head", "model.keypoint_head"):
        if isinstance(theirs.at(path), dict) and isinstance(theirs.at(BACKBONE), dict):
            return path
    raise ConfigError("it has no model.backbone with a model.head (1.x) or keypoint_head (0.x)")


def network_of_tensors(theirs: Theirs, tensors: Mapping[str, Any]) -> Network:
    """Return the network that a checkpoint's tensors, under our names, are of."""
    from pose_backbones import identify

    head, bottomup = head_of(theirs), is_bottomup(theirs)
    found = [
        each
        for each in identify(tensors)
        if bottomup == ("higher" in each.model or each.model.endswith("_ae"))
    ]
    if not found:
        network_of_config(theirs)  # says what it is, if none of ours
        raise ConfigError("its tensors are not those of the network that its config names")
    for part in (BACKBONE, head):
        theirs.seen |= {f"{part}.{key}" for key in theirs.at(part) if key not in NOT_SHAPES}
    return found[0].model, {**found[0].options, **_memory(theirs)}


def network_of_config(theirs: Theirs) -> Network:
    """Return the network that a config names; raises ConfigError for one that is not here."""
    head = head_of(theirs)
    neck = theirs.at("model.neck")
    names = theirs.kind(BACKBONE), theirs.kind(head)
    if names not in FAMILIES or neck is not None:
        between = [theirs.kind("model.neck")] if neck is not None else []
        raise ConfigError(
            f"{' + '.join([names[0], *between, names[1]])} is none of the networks here, which are "
            "Hourglass, HRNet, CPM and HigherHRNet, and the first two with associative embedding"
        )
    for key, (default, ours) in HEADS.get(names[1], DECONV_0X).items():
        value = theirs.at(head).get(key, default)  # None counts, too
        theirs.seen.add(f"{head}.{key}")
        if value != ours and (value or ours):
            raise ConfigError(f"{head}.{key} of {names[1]} is {value}; heads here have {ours}")
    # These follow from the backbone, and from the data.
    theirs.seen |= {f"{head}.{key}" for key in ("in_channels", "num_stages", "num_keypoints")}
    theirs.seen |= {f"{BACKBONE}.out_channels", f"{head}.out_channels"}
    name, options = BUILDERS[FAMILIES[names]](theirs, head, FAMILIES[names])
    channels = theirs.get(f"{BACKBONE}.in_channels", default=3)
    return name, {
        **options,
        **({} if channels == 3 else {"in_channels": channels}),
        **_memory(theirs),
    }


def _memory(theirs: Theirs) -> dict[str, Any]:
    return {"grad_checkpoint": True} if theirs.get(f"{BACKBONE}.with_cp") else {}


def _hrnet(theirs: Theirs, head: str, family: str) -> Network:
    extra = f"{BACKBONE}.extra"
    first, *rest = [theirs.get(f"{extra}.stage{i}", kind=dict, default={}) for i in (1, 2, 3, 4)]
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
    options = {key: value for key, value in options.items() if value != published[key]}
    if family == "higherhrnet":
        filters = theirs.scalar(f"{head}.num_deconv_filters", default=32)
        options |= {} if filters == channels[-1][0] else {"deconv_channels": filters}
        count = theirs.get(f"{head}.num_basic_blocks", default=4)
        options |= {} if count == 4 else {"deconv_blocks": count}
    if channels != doubled:
        options |= {"channels": channels}
    elif options or width not in (32, 48):
        options |= {"width": width}
    else:
        family = f"{family.removesuffix('_ae')}_w{width}{'_ae' if family == 'hrnet_ae' else ''}"
    if not theirs.get(f"{head}.tag_per_joint", f"{head}.tag_per_keypoint", default=True):
        options["tag_per_keypoint"] = False
    return family, options


def _hourglass(theirs: Theirs, head: str, family: str) -> Network:
    published = {"stage_channels": [256, 256, 384, 384, 384, 512], "stage_blocks": [2] * 5 + [4]}
    depth = theirs.get(f"{BACKBONE}.downsample_times", kind=int, default=5) + 1
    options: dict[str, Any] = {  # MMPose leaves out what is deeper
        key: theirs.get(f"{BACKBONE}.{key}", kind=list, default=value)[:depth]
        for key, value in published.items()
    }
    feat = theirs.get(f"{BACKBONE}.feat_channel", default=256)
    if options["stage_channels"][:1] != [feat]:
        options["feat_channels"] = feat
    stacks = theirs.get(f"{BACKBONE}.num_stacks", default=2)
    if options == published:
        return "hourglass52", {} if stacks == 1 else {"num_stacks": stacks}
    return family, {"num_stacks": stacks, **options}


def _hourglass_ae(theirs: Theirs, head: str, family: str) -> Network:
    published = [256, 384, 512, 640, 768]
    depth = theirs.get(f"{BACKBONE}.downsample_times", kind=int, default=4) + 1
    channels = theirs.get(f"{BACKBONE}.stage_channels", kind=list, default=published)[:depth]
    stacks = theirs.get(f"{BACKBONE}.num_stacks", kind=int, default=1)
    theirs.expect("model.test_cfg.select_output_index", [stacks - 1])  # as here
    options = {} if stacks == 4 else {"num_stacks": stacks}
    return family, options | ({} if channels == published else {"stage_channels": channels})


def _cpm(theirs: Theirs, head: str, family: str) -> Network:
    published = {"num_stages": 6, "feat_channels": 128, "middle_channels": 32}
    values = {key: theirs.get(f"{BACKBONE}.{key}", default=n) for key, n in published.items()}
    options = {key: value for key, value in values.items() if value != published[key]}
    # Where nothing is said, ours are as wide in the stem as later, MMPose's are not.
    return family, options | ({"stem_channels": 128} if "feat_channels" in options else {})


BUILDERS: dict[str, Callable[[Theirs, str, str], Network]] = {
    "hrnet": _hrnet,
    "hrnet_ae": _hrnet,
    "higherhrnet": _hrnet,
    "hourglass": _hourglass,
    "hourglass_ae": _hourglass_ae,
    "cpm": _cpm,
}
