"""Networks as files for other programs; `image` in, `heatmaps` (and `tags`) out, any batch size."""

import copy
import dataclasses
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pose_backbones import PoseOutput
from pose_codecs import AssociativeEmbedding
from pose_train.config import ConfigError
from pose_train.predict import STATISTICS
from pose_train.rundir import RunDirError
from pose_train.trained import Trained

FORMATS = ("onnx", "torchscript", "torch-export")
NEEDED = ("onnx", "onnxscript")  # by torch's exporter; of the extra `export`
STEP = 64  # what the sides of a picture divide by, bottom-up (see resize_for_test)

Size = tuple[int, int]  # (w, h)
Run = Callable[[Tensor], tuple[Tensor, ...]]


class Exported(nn.Module):
    """What is exported: uint8 pixels (B, H, W, 3) RGB or (B, H, W, 1) to the maps for a decoder.

    Top-down: the last stage's heatmaps (B, K, h, w). Bottom-up: the heatmaps of each size, coarse
    first, and the tags (B, T, h, w); of stages of one size the last, as in the published test.
    Normalisation is part of it, so that nobody has to repeat the constants.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, is_bottomup: bool, images: Tensor) -> None:
        super().__init__()
        self.net = net
        mean, std = STATISTICS[images.shape[-1]]
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        with torch.inference_mode():
            heatmaps, tags = (
                [tuple(maps.shape[-2:]) for maps in each] for each in self._run(images)
            )
        self.kept = [len(heatmaps) - 1]
        if is_bottomup:
            self.kept = sorted({size: i for i, size in enumerate(heatmaps)}.values())
        self.tag = {size: i for i, size in enumerate(tags)}[tags[-1]] if is_bottomup else None

    @property
    def names(self) -> list[str]:
        """Those of the outputs."""
        if self.tag is None:
            return ["heatmaps"]
        return [*(f"heatmaps_{i}" for i in range(len(self.kept))), "tags"]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        output = self._run(image)
        heatmaps = tuple(output.heatmaps[i] for i in self.kept)
        return heatmaps if self.tag is None else (*heatmaps, output.tags[self.tag])

    def _run(self, image: Tensor) -> PoseOutput:
        inputs = ((image.float() - self.mean) / self.std).permute(0, 3, 1, 2)  # (B, C, H, W)
        output: PoseOutput = self.net(inputs)
        return output


def export(trained: Trained, path: Path, kind: str = "onnx", input_size: Size | None = None) -> str:
    """Write a trained network to a file, whole or not at all; return what was written, in words.

    kind: one of FORMATS. input_size: (w, h); None is the config's for top-down, and any for
    bottom-up, whose pictures come in all shapes: multiples of 64 by 64. The file is compared with
    the network, with another number of pictures (and size) than it was traced with, before it gets
    its name. Raises ConfigError where a package is missing, the network takes no such size, or the
    file differs; RunDirError where it cannot be written.
    """
    if kind not in FORMATS:
        raise ConfigError(f"the format must be one of {', '.join(FORMATS)}, got {kind!r}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if kind == "onnx" and missing:
        raise ConfigError(f"ONNX needs {' and '.join(missing)}: pip install 'pose-train[export]'")
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder: name the file to write")
    is_bottomup = trained.config.recipe == "bottomup"
    w, h = input_size or trained.config.model.input_size
    channels = trained.config.model.channels
    any_size = is_bottomup and input_size is None
    # Two pictures: with one, exporters take the batch for a constant.
    images = _pixels(2, *((2 * STEP, 3 * STEP) if any_size else (w, h)), channels)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.touch()  # before minutes of work
        net = _prepared(trained, is_bottomup, images)
        write = {"onnx": _onnx, "torchscript": _torchscript, "torch-export": _torch_export}[kind]
        with _quiet():
            run = write(net, images, temporary, about(trained, (w, h)), any_size)
            difference = _difference(net, run, _pixels(1, w, h, channels))
        if not difference < 1e-3:
            raise ConfigError(f"the {kind} file differs from the network by {difference:.1e}")
        os.replace(temporary, path)
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary.is_file():
            temporary.unlink()
    size = f"input any multiple of {STEP}" if any_size else f"input {w}x{h}"
    megabytes = f"{path.stat().st_size / 1e6:.1f} MB"
    return f"{path}: {kind}, {megabytes}, {size}, differs from the network by {difference:.1e}"


def _pixels(count: int, w: int, h: int, channels: int) -> Tensor:
    if min(w, h) < 1:
        raise ConfigError(f"--input-size must be above 0, got {w} {h}")
    return torch.randint(0, 256, (count, h, w, channels), dtype=torch.uint8)


def _prepared(trained: Trained, is_bottomup: bool, images: Tensor) -> Exported:
    # Exporters expect weights that are laid out in the order of their indices.
    plain = copy.deepcopy(trained.net).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    try:
        return Exported(plain, is_bottomup, images).eval()
    except (ValueError, RuntimeError) as error:  # what torch makes of a picture too small
        size = f"{images.shape[2]}x{images.shape[1]}"
        raise ConfigError(f"the network takes no pictures of {size}: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what exporters say of themselves: the comparison at the end is what counts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _difference(net: Exported, run: Run, images: Tensor) -> float:
    """Return how far the maps of a file are from the network's, in parts of their largest value."""
    with torch.inference_mode():
        pairs = list(zip(net(images), run(images), strict=True))
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-6)) for a, b in pairs)


def about(trained: Trained, input_size: Size) -> dict[str, str]:
    """Return what a program needs to know besides the numbers, as text for a file's metadata.

    codec: what makes the decoder again, AssociativeEmbedding(**json.loads(codec)).
    """
    skeleton, codec = trained.skeleton, trained.codec
    options = dataclasses.asdict(codec) | {"input_size": input_size}
    if not isinstance(codec, AssociativeEmbedding):
        sizes = zip(input_size, codec.heatmap_size, codec.input_size, strict=True)
        options["heatmap_size"] = [side * maps // own for side, maps, own in sizes]
    return {
        "recipe": trained.config.recipe,
        "input_size": json.dumps(input_size),
        "channels": json.dumps(trained.config.model.channels),
        "codec": json.dumps(options),
        "keypoints": json.dumps(skeleton.keypoints),
        "flip_indices": json.dumps(skeleton.flip_indices),
        "links": json.dumps(skeleton.links),
    }


def _dynamic(any_size: bool) -> tuple[dict[int, Any]]:
    """Return which dimensions of the pictures are free."""
    shapes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if any_size:
        shapes |= {i: STEP * torch.export.Dim(name, min=1) for i, name in ((1, "h"), (2, "w"))}
    return (shapes,)


def _onnx(net: Exported, images: Tensor, path: Path, facts: dict[str, str], any_size: bool) -> Run:
    import onnx

    program = torch.onnx.export(
        net,
        (images,),
        dynamo=True,
        verbose=False,
        input_names=["image"],
        output_names=net.names,
        dynamic_shapes=_dynamic(any_size),
    )
    assert program is not None  # it is None only where a file is written
    model = program.model_proto
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)
    if importlib.util.find_spec("onnxruntime") is None:
        return net  # nothing to compare with
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: tuple(
        torch.from_numpy(maps) for maps in session.run(None, {"image": images.numpy()})
    )


def _torchscript(
    net: Exported, images: Tensor, path: Path, facts: dict[str, str], any_size: bool
) -> Run:
    with torch.inference_mode():
        script = torch.jit.trace(net, images, check_trace=False)  # type: ignore[no-untyped-call]
        script.save(str(path), _extra_files={"about.json": json.dumps(facts)})
        return torch.jit.load(path)  # type: ignore[no-untyped-call]


def _torch_export(
    net: Exported, images: Tensor, path: Path, facts: dict[str, str], any_size: bool
) -> Run:
    program = torch.export.export(net, (images,), dynamic_shapes=_dynamic(any_size))
    with path.open("wb") as file:  # by name, torch insists on .pt2
        torch.export.save(program, file, extra_files={"about.json": json.dumps(facts)})
    with path.open("rb") as file:
        return torch.export.load(file).module()
