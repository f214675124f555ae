"""Names of models: one dict from name to function, and the functions that look names up."""

import fnmatch
import inspect
from collections.abc import Callable
from pathlib import Path

from torch import nn

from pose_backbones.checkpoint import load_checkpoint
from pose_backbones.cpm import cpm
from pose_backbones.higherhrnet import higherhrnet, higherhrnet_w32, higherhrnet_w48
from pose_backbones.hourglass import hourglass, hourglass52
from pose_backbones.hourglass_ae import hourglass_ae
from pose_backbones.hrnet import hrnet, hrnet_w32, hrnet_w32_ae, hrnet_w48
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
    "hrnet_w32": hrnet_w32,
    "hrnet_w32_ae": hrnet_w32_ae,
    "hrnet_w48": hrnet_w48,
}


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
    allowed = [
        option for option in inspect.signature(build).parameters if option != "num_keypoints"
    ]
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
