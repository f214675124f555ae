"""Write a checkpoint as clean `.safetensors`, or as MMPose and the papers' authors name it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import save
from torch import Tensor

from pose_backbones.checkpoint import load_checkpoint, their_name, to_our_names
from pose_backbones.checkpoint_files import Checkpoint, read_checkpoint, sha256
from pose_backbones.models import Identity, create_model, find_model, identify
from pose_backbones.names import TARGETS, CheckpointError, unknown

# The formats that can be written, and the version of MMPose that a file in one of its names.


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str = "pose-backbones",
    model: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> dict[str, str]:
    """Write a checkpoint under the names of the format `to`, and return its metadata.

    "pose-backbones" is a `.safetensors` file; its metadata hold the format, model name, number of
    keypoints, options of the model, input size (w, h) if given, and the format, name and SHA-256 of
    the source. "mmpose-1.x", "mmpose-0.x" and "official" (HRNet and HigherHRNet) are `.pth` files
    that those programs load strictly into networks of the same options. Raises CheckpointError if
    the model cannot be told from the shapes and `model` does not settle it, and for a backbone
    without a head; ValueError for other arguments that do not fit together.
    """
    source, target = Path(source), Path(target)
    if to not in TARGETS:
        raise ValueError(unknown("format", to, TARGETS))
    suffix = ".safetensors" if to == "pose-backbones" else ".pth"
    if target.suffix != suffix:
        raise ValueError(f"a {to} file must end in {suffix}, got {target}")
    file = read_checkpoint(source)
    network, state, metadata = _network(file, model)
    if input_size is not None:
        metadata["input_size"] = f"{input_size[0]}x{input_size[1]}"
    if to == "pose-backbones":
        metadata = {"format": to, **metadata, "source_sha256": sha256(source)}
        _write(target, lambda opened: opened.write(save(state, metadata)))
        return metadata
    kind = _their_kind(to, network)
    content: dict[str, Any] = {their_name(kind, name): state[name] for name in state}
    if version := TARGETS[to]:
        metadata = {"mmpose_version": version, **metadata}
        content = {"meta": metadata, "state_dict": content}
    _write(target, lambda opened: torch.save(content, opened))
    return {"format": kind, **metadata}


def _network(
    file: Checkpoint, model: str | None
) -> tuple[Identity, dict[str, Tensor], dict[str, str]]:
    """Return the network of a file, its complete state dict, and the metadata to write."""
    kind, state = to_our_names(file.tensors, file.metadata)
    wanted = model and (find_model(model) or model)
    found = [network for network in identify(state) if wanted in (None, network.model)]
    if len(found) != 1:
        names = ", ".join(network.model for network in found)
        problem = f"could be {names}; name one as the model" if found else "is for no such model"
        if not found and all(name.startswith("backbone.") for name in state):
            problem = "has no head; it can start a fine-tuning as it is"
        raise CheckpointError(f"{file.path}: a {kind} file that {problem}")
    (network,) = found
    net = create_model(network.model, network.num_keypoints, **network.options)
    load_checkpoint(net, file)
    metadata = {"model": network.model, "num_keypoints": str(network.num_keypoints)}
    if network.options:
        metadata["options"] = ", ".join(f"{key}={value}" for key, value in network.options.items())
    metadata["source"] = file.path.name
    metadata["source_format"] = file.metadata.get("source_format", kind)
    return network, net.state_dict(), metadata


def _their_kind(to: str, network: Identity) -> str:
    """Return the format with the names of `to`, where it knows the network."""
    name = network.model
    if to == "mmpose-1.x" and name.startswith(("higherhrnet", "hourglass_ae")):
        raise CheckpointError(f"MMPose 1.x has no {name}: write it for MMPose 0.x, --to mmpose-0.x")
    if to != "official":
        return to
    if name.startswith("higherhrnet"):
        return "official-higherhrnet"
    if name.startswith("hrnet"):
        return "official-hrnet"
    raise CheckpointError(f"official files are of HRNet and HigherHRNet, this one is of {name}")


def _write(target: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a whole file or nothing."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
