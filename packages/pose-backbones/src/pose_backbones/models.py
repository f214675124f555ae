"""Names of models: one dict from name to function, and the function that looks names up."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Iterable

from torch import nn

from pose_backbones.hrnet import hrnet, hrnet_w32, hrnet_w48

MODELS: dict[str, Callable[..., nn.Module]] = {
    "hrnet": hrnet,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
}


def list_models(pattern: str = "*") -> list[str]:
    """Return the model names that match a shell pattern such as `hrnet*`."""
    return sorted(fnmatch.filter(MODELS, pattern))


def create_model(name: str, *, num_keypoints: int = 17, **options: object) -> nn.Module:
    """Build the model `name` with freshly drawn weights.

    `options` go to its function (`help(pose_backbones.hrnet)`); an unknown name or option raises
    ValueError with the nearest valid ones.
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
    return build(num_keypoints, **options)


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Word the error for a name that is not among the allowed ones, the nearest first."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"
