"""Models with the weights of the reference numbers, which are not stored but drawn by two rules.

Each entry is drawn from its name (MMPose 1.3.2's for top-down, MMPose 0.29's for bottom-up), saved
to a file under the reference's names, and read back by `load_checkpoint`.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from pose_backbones import Identity, create_model, identify, load_checkpoint
from pose_backbones.checkpoint import to_our_names
from pose_train.training.parity import Entries, bottomup_rule, draw, topdown_rule

__all__ = ["Entries", "bottomup_rule", "draw", "topdown_rule"]


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
