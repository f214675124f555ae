"""Models with the weights of the reference numbers, which are not stored but drawn by two rules.

Each entry is drawn from its name (MMPose 1.3.2's for top-down, MMPose 0.29's for bottom-up), saved
to a file under the reference's names, and read back by `load_checkpoint`.
"""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pose_backbones import Identity, create_model, identify, load_checkpoint
from pose_backbones.checkpoint import to_our_names

Entries = list[tuple[str, list[int]]]
Rule = Callable[[str, list[int]], NDArray[np.float64]]


def topdown_rule(name: str, shape: list[int]) -> NDArray[np.float64]:
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith(".running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith((".running_mean", ".bias")):
        return 0.1 * rng.standard_normal(shape)
    if len(shape) == 1:
        damped = name.endswith((".bn2.weight", ".bn3.weight"))
        return rng.uniform(0.5, 1.5, shape) * (0.25 if damped else 1.0)
    weight = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return weight - weight.mean(axis=tuple(range(1, len(shape))), keepdims=True)


def bottomup_rule(gain: float) -> Rule:
    def rule(name: str, shape: list[int]) -> NDArray[np.float64]:
        rng = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith("running_var"):
            return rng.uniform(0.5, 1.5, shape)
        if name.endswith(("running_mean", "bias")):
            return 0.1 * rng.standard_normal(shape)
        if len(shape) == 1:
            return rng.uniform(0.5, 1.5, shape)
        return rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))

    return rule


def draw(entries: Entries, rule: Rule) -> dict[str, torch.Tensor]:
    state = {}
    for name, shape in entries:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
        else:
            state[name] = torch.from_numpy(rule(name, shape).astype(np.float32))
    return state


def name_of(state: dict[str, torch.Tensor], *, tags: bool) -> Identity:
    """Return the model with these names and shapes; `tags` settles what shapes cannot tell."""
    found = identify(to_our_names(state, {})[1])
    (network,) = [n for n in found if ("_ae" in n.model or n.model.startswith("higher")) == tags]
    return network


def model_for(state: dict[str, torch.Tensor], *, tags: bool) -> torch.nn.Module:
    name, num_keypoints, options = name_of(state, tags=tags)
    return create_model(name, num_keypoints=num_keypoints, **options).eval()


def load(state: dict[str, torch.Tensor], folder: Path, *, tags: bool) -> torch.nn.Module:
    model = model_for(state, tags=tags)
    save_file(state, folder / "weights.safetensors")
    report = load_checkpoint(model, folder / "weights.safetensors")
    assert (report.missing, report.unexpected, report.misshaped) == ([], [], [])
    return model


def their_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """Return the reference's name of each of our names."""
    names = {id(tensor): name for name, tensor in state.items()}
    return {ours: names[id(tensor)] for ours, tensor in to_our_names(state, {})[1].items()}
