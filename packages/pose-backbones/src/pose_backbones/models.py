"""Names of models: one dict from name to function, and the functions that look names up."""

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pose_backbones.blocks import Shapes
from pose_backbones.checkpoint import load_checkpoint
from pose_backbones.cpm import cpm, infer_cpm
from pose_backbones.higherhrnet import (
    higherhrnet,
    higherhrnet_w32,
    higherhrnet_w48,
    infer_higherhrnet,
)
from pose_backbones.hourglass import hourglass, hourglass52, infer_hourglass
from pose_backbones.hourglass_ae import hourglass_ae, infer_hourglass_ae
from pose_backbones.hrnet import (
    hrnet,
    hrnet_ae,
    hrnet_w32,
    hrnet_w32_ae,
    hrnet_w48,
    hrnet_w48_ae,
    infer_hrnet,
)
from pose_backbones.names import unknown
from pose_backbones.weights import find_weights
from pose_backbones.zoo import ZOO

MODELS: dict[str, Callable[..., nn.Module]] = {
    "cpm": cpm,
    "higherhrnet": higherhrnet,
    "higherhrnet_w32": higherhrnet_w32,
    "higherhrnet_w48": higherhrnet_w48,
    "hourglass": hourglass,
    "hourglass52": hourglass52,
    "hourglass_ae": hourglass_ae,
    "hrnet": hrnet,
    "hrnet_ae": hrnet_ae,
    "hrnet_w32": hrnet_w32,
    "hrnet_w32_ae": hrnet_w32_ae,
    "hrnet_w48": hrnet_w48,
    "hrnet_w48_ae": hrnet_w48_ae,
}
# The models that fix options of a more general one: which, and what they fix.
FIXED: dict[str, tuple[str, dict[str, object]]] = {
    "higherhrnet_w32": ("higherhrnet", {"width": 32}),
    "higherhrnet_w48": ("higherhrnet", {"width": 48}),
    "hourglass52": ("hourglass", {}),
    "hrnet_w32": ("hrnet", {"width": 32}),
    "hrnet_w32_ae": ("hrnet_ae", {"width": 32}),
    "hrnet_w48": ("hrnet", {"width": 48}),
    "hrnet_w48_ae": ("hrnet_ae", {"width": 48}),
}
# Per family, the inverse of its functions: shapes -> (model, num_keypoints, options).
FAMILIES = (infer_hrnet, infer_higherhrnet, infer_hourglass, infer_hourglass_ae, infer_cpm)


class Identity(NamedTuple):
    """Hold what `create_model` needs to build a network."""

    model: str
    num_keypoints: int
    options: dict[str, Any]


def list_models(pattern: str = "*") -> list[str]:
    """Return the model names that match a shell pattern such as `hrnet*`."""
    return sorted(fnmatch.filter(MODELS, pattern))


def create_model(
    name: str,
    *,
    num_keypoints: int = 17,
    weights: str | Path | None = None,
    download: bool = False,
    reinit_head: bool = False,
    **options: object,
) -> nn.Module:
    """Build the model `name`, with freshly drawn weights unless `weights` says which.

    `weights` is a name of the zoo (see `find_weights`, also for `download`) or the path of a file
    (see `load_checkpoint`, also for `reinit_head`). `options` go to the model's function
    (`help(pose_backbones.hrnet)`); an unknown name or option raises ValueError with the nearest
    valid ones.
    """
    if name not in MODELS:
        raise ValueError(unknown("model", name, MODELS))
    build = MODELS[name]
    allowed = _defaults(name)
    for option in options:
        if option not in allowed:
            raise ValueError(unknown(f"option of {name}", option, allowed))
    if num_keypoints < 1:
        raise ValueError(f"num_keypoints must be at least 1, got {num_keypoints}")
    model = build(num_keypoints, **options)
    if weights is not None:
        load_checkpoint(model, _weights_file(name, weights, download), reinit_head=reinit_head)
    return model


def _weights_file(model: str, weights: str | Path, download: bool) -> Path:
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
    for infer in FAMILIES:
        try:
            networks = [_shortest(*network) for network in infer(shapes)]
            found += [network for network in networks if _has_shapes(network, shapes)]
        except (LookupError, ValueError, TypeError, RuntimeError):
            continue  # Of another family, or sizes that cannot be built, such as 2^60 channels.
    return found


def _shortest(model: str, num_keypoints: int, options: dict[str, Any]) -> Identity:
    """Leave the defaults out, and name the model that has the rest fixed if there is one."""
    defaults = _defaults(model)
    changed = {name: value for name, value in options.items() if value != defaults[name]}
    for special, (general, fixed) in FIXED.items():
        rest = {name: value for name, value in changed.items() if name not in fixed}
        fits = fixed.items() <= options.items() and rest.keys() <= _defaults(special).keys()
        if general == model and fits:
            return Identity(special, num_keypoints, rest)
    return Identity(model, num_keypoints, changed)


def _has_shapes(network: Identity, shapes: Shapes) -> bool:
    with torch.device("meta"):
        model = create_model(network.model, num_keypoints=network.num_keypoints, **network.options)
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    absent = own.keys() - shapes.keys()
    return all(name.endswith(".num_batches_tracked") for name in absent) and all(
        own.get(name) == shape for name, shape in shapes.items()
    )


def _defaults(model: str) -> dict[str, Any]:
    """Return the options of a model and their defaults."""
    parameters = inspect.signature(MODELS[model]).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "num_keypoints"}
