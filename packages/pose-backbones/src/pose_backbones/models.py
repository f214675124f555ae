"""Build models by their names: one table of names, and the functions that look names up."""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from pose_backbones.blocks import Shapes, check_sizes
from pose_backbones.checkpoint import load_checkpoint
from pose_backbones.cpm import CPM, infer_cpm
from pose_backbones.higherhrnet import HigherHead, infer_higherhrnet
from pose_backbones.hourglass import Hourglass, infer_hourglass
from pose_backbones.hourglass_ae import HourglassAE, infer_hourglass_ae
from pose_backbones.hrnet import HRNet, infer_hrnet
from pose_backbones.names import MODELS, unknown
from pose_backbones.net import HeatmapHead, MapsHead, PoseNet, StagesHead
from pose_backbones.weights import find_weights
from pose_backbones.zoo import ZOO

Build = Callable[[int, int, dict[str, Any]], PoseNet]  # num_keypoints, num_tags, options


class Family(NamedTuple):
    """Describe the models of one kind, of any size.

    build: joins a backbone and a head. parts: the classes whose arguments are the options.
    input_size: the usual (w, h).
    """

    kind: Literal["top-down", "bottom-up"]
    build: Build
    parts: tuple[type[nn.Module], ...]
    input_size: tuple[int, int]


def _hrnet(num_keypoints: int, num_tags: int, options: dict[str, Any]) -> PoseNet:
    backbone = HRNet(**options)
    channels = backbone.feature_info[0].channels
    return PoseNet(backbone, HeatmapHead(channels, num_keypoints, num_tags=num_tags))


def _higherhrnet(num_keypoints: int, num_tags: int, options: dict[str, Any]) -> PoseNet:
    deconv = {name: value for name, value in options.items() if name.startswith("deconv_")}
    backbone = HRNet(**{name: value for name, value in options.items() if name not in deconv})
    channels = backbone.feature_info[0].channels
    return PoseNet(backbone, HigherHead(channels, num_keypoints, num_tags, **deconv))


def _hourglass(num_keypoints: int, _: int, options: dict[str, Any]) -> PoseNet:
    backbone = Hourglass(**options)
    channels = [feature.channels for feature in backbone.feature_info]
    return PoseNet(backbone, StagesHead(channels[0], num_keypoints, len(channels)))


def _hourglass_ae(num_keypoints: int, num_tags: int, options: dict[str, Any]) -> PoseNet:
    return PoseNet(HourglassAE(num_keypoints + num_tags, **options), MapsHead(num_keypoints))


def _cpm(num_keypoints: int, _: int, options: dict[str, Any]) -> PoseNet:
    return PoseNet(CPM(num_keypoints, **options), MapsHead(num_keypoints))


FAMILIES = {
    "cpm": Family("top-down", _cpm, (CPM,), (192, 256)),
    "higherhrnet": Family("bottom-up", _higherhrnet, (HRNet, HigherHead), (512, 512)),
    "hourglass": Family("top-down", _hourglass, (Hourglass,), (256, 256)),
    "hourglass_ae": Family("bottom-up", _hourglass_ae, (HourglassAE,), (512, 512)),
    "hrnet": Family("top-down", _hrnet, (HRNet,), (192, 256)),
    "hrnet_ae": Family("bottom-up", _hrnet, (HRNet,), (512, 512)),
}
# The published sizes: the family, and the options that the name settles.
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "higherhrnet_w32": ("higherhrnet", {"width": 32}),
    "higherhrnet_w48": ("higherhrnet", {"width": 48}),
    "hourglass52": ("hourglass", {"stage_channels": (256, 256, 384, 384, 384, 512)}),
    "hrnet_w32": ("hrnet", {"width": 32}),
    "hrnet_w32_ae": ("hrnet_ae", {"width": 32}),
    "hrnet_w48": ("hrnet", {"width": 48}),
    "hrnet_w48_ae": ("hrnet_ae", {"width": 48}),
}
# The options that a model of a published size still has.
FREE = ("num_stacks", "tag_per_keypoint", "in_channels", "grad_checkpoint")
# Arguments of the parts that are no options: create_model gives them.
GIVEN = ("num_keypoints", "out_channels", "multi_scale")
# Per family, the inverse of its function: shapes -> (model, num_keypoints, options).
INVERSES = (infer_hrnet, infer_higherhrnet, infer_hourglass, infer_hourglass_ae, infer_cpm)


class Identity(NamedTuple):
    """Hold what `create_model` needs to build a network."""

    model: str
    num_keypoints: int
    options: dict[str, Any]

    def __str__(self) -> str:
        options = "".join(f", {key}={value}" for key, value in self.options.items())
        return f"{self.model} with {self.num_keypoints} keypoints{options}"


def create_model(
    name: str,
    num_keypoints: int = 17,
    *,
    weights: str | Path | None = None,
    download: bool | None = None,
    reinit_head: bool = False,
    **options: Any,
) -> PoseNet:
    """Build the model `name`, with freshly drawn weights unless `weights` says which.

    `name` is one of `list_models()`, in any case and with spaces, hyphens or underscores. The model
    takes images (B, 3, H, W), RGB in 0..255 less MEAN, divided by STD (with `in_channels=1` grey
    ones by GREY_MEAN and GREY_STD), and has `num_keypoints` heatmaps. `weights` is a name of the
    zoo (see `find_weights`, also for `download`) or the path of a file (see `load_checkpoint`, also
    for `reinit_head`). `options` are `model_options(name)`, explained at the classes
    (`help(pose_backbones.HRNet)`). Raises ValueError for an unknown name or option, with the
    nearest valid ones.
    """
    name = _known_model(name)
    defaults = model_options(name)
    for option in options:
        if option not in defaults:
            raise ValueError(_no_option(name, option, [*defaults, "num_keypoints"]))
    check_sizes(name, num_keypoints=num_keypoints)
    family, settled = family_of(name)
    chosen = settled | options
    num_tags = 0
    if family.kind == "bottom-up":
        num_tags = num_keypoints if chosen.pop("tag_per_keypoint", True) else 1
    model = family.build(num_keypoints, num_tags, chosen)
    if weights is not None:
        load_checkpoint(model, _weights_file(name, weights, download), reinit_head=reinit_head)
    return model


def find_model(name: str) -> str | None:
    """Return the model that a name means in any spelling, hrnet_w32 for HRNet-W32; None if none."""
    spellings = {model.replace("_", ""): model for model in MODELS}
    return spellings.get(re.sub(r"[-_\s]", "", name.lower()))


def _known_model(name: str) -> str:
    model = find_model(name)
    if model is None:
        raise ValueError(unknown("model", name, MODELS))
    return model


def family_of(model: str) -> tuple[Family, dict[str, Any]]:
    """Return the family of a model, and the options that its name settles."""
    family, settled = SIZES.get(model, (model, {}))
    return FAMILIES[family], settled


def model_options(name: str) -> dict[str, Any]:
    """Return the options of a model and their defaults; ValueError for an unknown name."""
    name = _known_model(name)
    family, _ = family_of(name)
    options = {"tag_per_keypoint": True} if family.kind == "bottom-up" else {}
    for part in family.parts:
        parameters = inspect.signature(part).parameters.values()
        options |= {p.name: p.default for p in parameters if p.default is not p.empty}
    left = options.keys() & {*FREE} if name in SIZES else options.keys() - {*GIVEN}
    return {option: default for option, default in options.items() if option in left}


def _no_option(model: str, option: str, allowed: list[str]) -> str:
    """Word the error for an option that a model does not have; those of timm are translated."""
    published = [f"weights={key!r}" for key, weights in ZOO.items() if weights.model == model]
    ours = {
        "num_classes": "num_keypoints",
        "in_chans": "in_channels",
        "features_only": f"create_model({model!r}).backbone, which returns a list of feature maps",
        "pretrained": " or ".join([*published, "weights='FILE.pth'"])
        + "; download=True fetches published weights that are not on this machine",
    }
    if option in ours:
        return f"{model} has no option {option}: write {ours[option]}"
    return unknown(f"option of {model}", option, allowed)


def _weights_file(model: str, weights: str | Path, download: bool | None) -> Path:
    if isinstance(weights, Path) or "/" in weights or Path(weights).is_file():
        return Path(weights)
    if weights in ZOO and ZOO[weights].model != model:
        raise ValueError(f"weights {weights!r} are for {ZOO[weights].model}, not {model}")
    return find_weights(weights, download=download)


def identify(state: Mapping[str, Tensor]) -> list[Identity]:
    """Return the networks that a state dict under our names (`to_our_names`) can be of.

    Each has exactly the names and shapes of the state dict, whatever is in it; only the counters
    of batch norms may be absent. The options are those that differ from the model's defaults. Two
    networks where shapes cannot tell: 34 maps of an HRNet could be 34 keypoints, or 17 and their
    tags (one tag for all keypoints is assumed only where nothing else fits). None for another head,
    for a backbone without one, and for anything else.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found = []
    for infer in INVERSES:
        try:
            networks = [_shortest(*network) for network in infer(shapes)]
            found += [network for network in networks if _has_shapes(network, shapes)]
        except (LookupError, ValueError, TypeError, RuntimeError):
            continue  # Of another family, or sizes that cannot be built, such as 2^60 channels.
    return found


def _shortest(family: str, num_keypoints: int, options: dict[str, Any]) -> Identity:
    """Leave the defaults out, and name the published size if it is one."""
    defaults = model_options(family)
    changed = {name: value for name, value in options.items() if value != defaults[name]}
    for model, (its_family, settled) in SIZES.items():
        rest = {name: value for name, value in changed.items() if name not in settled}
        fits = settled.items() <= options.items() and rest.keys() <= {*FREE}
        if its_family == family and fits:
            return Identity(model, num_keypoints, rest)
    return Identity(family, num_keypoints, changed)


def _has_shapes(network: Identity, shapes: Shapes) -> bool:
    with torch.device("meta"):
        model = create_model(network.model, network.num_keypoints, **network.options)
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    absent = own.keys() - shapes.keys()
    return all(name.endswith(".num_batches_tracked") for name in absent) and all(
        own.get(name) == shape for name, shape in shapes.items()
    )
