"""Networks as files for other programs; `image` in, `heatmaps` (and `tags`) out, any batch size."""

import copy
import importlib.util
import json
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from pose_train.config import ConfigError
from pose_train.predict import MEAN, STD
from pose_train.rundir import RunDirError
from pose_train.trained import Trained

FORMATS = ("onnx", "torchscript", "torch-export")
NEEDED = ("onnx", "onnxscript")  # by torch's exporter; of the extra `export`


class Exported(nn.Module):
    """What is exported: uint8 RGB pixels (B, H, W, 3) to the maps that a decoder takes.

    Top-down: the last stage's heatmaps (B, K, h, w). Bottom-up: heatmaps and tags of every stage,
    coarse first. Normalisation is part of it, so that nobody has to repeat the constants.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, is_bottomup: bool) -> None:
        super().__init__()
        self.net, self.is_bottomup = net, is_bottomup
        self.register_buffer("mean", torch.tensor(MEAN))
        self.register_buffer("std", torch.tensor(STD))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        inputs = ((image.float() - self.mean) / self.std).permute(0, 3, 1, 2)  # (B, 3, H, W)
        output = self.net(inputs)
        if self.is_bottomup:
            return (*output.heatmaps, *output.tags)
        return (output.heatmaps[-1],)


def export(
    trained: Trained, path: Path, kind: str = "onnx", input_size: tuple[int, int] | None = None
) -> str:
    """Write a trained network to a file, whole or not at all; return what was written, in words.

    kind: one of FORMATS. input_size: (w, h), None for the config's. The file is compared with the
    network on a random picture before it gets its name. Raises ConfigError where a package is
    missing or the file differs, RunDirError where it cannot be written.
    """
    if kind not in FORMATS:
        raise ConfigError(f"the format must be one of {', '.join(FORMATS)}, got {kind!r}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if kind == "onnx" and missing:
        raise ConfigError(f"ONNX needs {' and '.join(missing)}: pip install 'pose-train[export]'")
    w, h = input_size or trained.config.model.input_size
    is_bottomup = trained.config.recipe == "bottomup"
    # Exporters expect weights that are laid out in the order of their indices.
    plain = copy.deepcopy(trained.net).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    net = Exported(plain, is_bottomup).eval()
    # Two pictures: with one, exporters take the batch for a constant.
    images = torch.randint(0, 256, (2, h, w, 3), dtype=torch.uint8)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with torch.inference_mode():
            expected = net(images)
        write = {"onnx": _onnx, "torchscript": _torchscript, "torch-export": _torch_export}[kind]
        with warnings.catch_warnings():
            # Exporters warn of what they do themselves; the comparison below is what counts.
            warnings.simplefilter("ignore")
            got = write(net, images, temporary, _names(expected, is_bottomup), about(trained))
        difference = max(
            float((a - b).abs().max() / a.abs().max().clamp_min(1e-6))
            for a, b in zip(expected, got, strict=True)
        )
        if not difference < 1e-3:
            raise ConfigError(f"the {kind} file differs from the network by {difference:.1e}")
        os.replace(temporary, path)
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    return f"{path}: {kind}, {size}, input {w}x{h}, differs from the network by {difference:.1e}"


def about(trained: Trained) -> dict[str, str]:
    """Return what a program needs to know besides the numbers, as text for a file's metadata."""
    skeleton, config = trained.skeleton, trained.config
    return {
        "recipe": config.recipe,
        "input_size": json.dumps(config.model.input_size),
        "keypoints": json.dumps(skeleton.keypoints),
        "flip_indices": json.dumps(skeleton.flip_indices),
        "links": json.dumps(skeleton.links),
    }


def _names(outputs: tuple[Tensor, ...], is_bottomup: bool) -> list[str]:
    if not is_bottomup:
        return ["heatmaps"]
    # Not every stage has tags: those come last.
    sizes = [tuple(maps.shape[-2:]) for maps in outputs]
    num_heatmaps = next((i for i in range(1, len(sizes)) if sizes[i] == sizes[0]), len(sizes))
    tags = len(outputs) - num_heatmaps
    return [f"heatmaps_{i}" for i in range(num_heatmaps)] + [f"tags_{i}" for i in range(tags)]


def _onnx(
    net: nn.Module, images: Tensor, path: Path, names: list[str], facts: dict[str, str]
) -> tuple[Tensor, ...]:
    import onnx

    program = torch.onnx.export(
        net,
        (images,),
        dynamo=True,
        verbose=False,
        input_names=["image"],
        output_names=names,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    assert program is not None  # it is None only where a file is written
    model = program.model_proto
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)
    return _run_onnx(path, images) or tuple(net(images))


def _run_onnx(path: Path, images: Tensor) -> tuple[Tensor, ...] | None:
    """Run a file with onnxruntime; None where that is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"image": images.numpy()})
    return tuple(torch.from_numpy(output) for output in outputs)


def _torchscript(
    net: nn.Module, images: Tensor, path: Path, names: list[str], facts: dict[str, str]
) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        script = torch.jit.trace(net, images, check_trace=False)  # type: ignore[no-untyped-call]
        script.save(str(path), _extra_files={"about.json": json.dumps(facts)})
        return tuple(torch.jit.load(path)(images))  # type: ignore[no-untyped-call]


def _torch_export(
    net: nn.Module, images: Tensor, path: Path, names: list[str], facts: dict[str, str]
) -> tuple[Tensor, ...]:
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(net, (images,), dynamic_shapes=shapes)
    with path.open("wb") as file:  # by name, torch insists on .pt2
        torch.export.save(program, file, extra_files={"about.json": json.dumps(facts)})
    with path.open("rb") as file, torch.inference_mode():
        return tuple(torch.export.load(file).module()(images))
