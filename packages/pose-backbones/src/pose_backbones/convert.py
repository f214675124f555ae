"""Tell which model a checkpoint is of, and write it as a clean `.safetensors` file."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from pose_backbones.checkpoint import load_checkpoint, to_our_names
from pose_backbones.models import MODELS
from pose_backbones.reading import CheckpointError, read_checkpoint, sha256


def identify(state: Mapping[str, Tensor]) -> list[tuple[str, int]]:
    """Return the (model name, num_keypoints) that a state dict under our names can be of.

    Two where the shapes cannot tell: the 34 maps of `hrnet_w32_ae` could be 34 keypoints. The
    rest of the names is not looked at.
    """
    shape = {name: tuple(tensor.shape) for name, tensor in state.items()}
    width = shape.get("backbone.stage4.0.branches.0.0.conv1.weight", (0,))[0]
    if "head.final_layers.1.bias" in shape:
        found = [(f"higherhrnet_w{width}", shape["head.final_layers.1.bias"][0])]
    elif "head.final_layer.bias" in shape:
        maps = shape["head.final_layer.bias"][0]
        found = [(f"hrnet_w{width}", maps)]
        found += [(f"hrnet_w{width}_ae", maps // 2)] if maps % 2 == 0 else []
    elif "head.multi_final_layers.0.bias" in shape:
        found = [("hourglass52", shape["head.multi_final_layers.0.bias"][0])]
    elif "backbone.stem.9.conv.bias" in shape:
        found = [("cpm", shape["backbone.stem.9.conv.bias"][0])]
    elif "backbone.remap_out_convs.0.conv.weight" in shape:
        found = [("hourglass_ae", shape["backbone.out_convs.0.conv.bias"][0] // 2)]
    else:
        found = []
    return [(name, num_keypoints) for name, num_keypoints in found if name in MODELS]


def convert(
    source: str | Path,
    target: str | Path,
    *,
    model: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> dict[str, str]:
    """Write a checkpoint as `.safetensors` under our names and return the metadata written.

    The metadata hold the format, model name, number of keypoints, input size (w, h) if given, and
    the name and SHA-256 of the source. Raises CheckpointError if the model cannot be told from the
    shapes and `model` does not settle it, or if the file does not fit that model completely.
    """
    file = read_checkpoint(source)
    kind, state = to_our_names(file.tensors, file.metadata)
    found = [(name, k) for name, k in identify(state) if model in (None, name)]
    if len(found) != 1:
        names = ", ".join(name for name, _ in found)
        problem = f"could be {names}; name one as the model" if found else "is for no such model"
        raise CheckpointError(f"{source}: a {kind} file that {problem}")
    name, num_keypoints = found[0]
    net = MODELS[name](num_keypoints)
    load_checkpoint(net, source)
    metadata = {
        "format": "pose-backbones",
        "model": name,
        "num_keypoints": str(num_keypoints),
        "source": Path(source).name,
        "source_sha256": sha256(source),
    }
    if input_size is not None:
        metadata["input_size"] = f"{input_size[0]}x{input_size[1]}"
    temporary = Path(f"{target}.{os.getpid()}.tmp")
    try:
        save_file(net.state_dict(), temporary, metadata)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return metadata
