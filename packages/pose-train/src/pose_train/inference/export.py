"""Networks as files for other programs: `image` in, `heatmaps` (and `tags`) out."""

import copy
import dataclasses
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pose_backbones import PoseOutput
from pose_codecs import AssociativeEmbedding
from pose_train import __version__
from pose_train.config.schema import ConfigError
from pose_train.files.write import whole_file
from pose_train.inference.forward import STATISTICS
from pose_train.inference.load import Trained, usage_of
from pose_train.inference.network import to_metadata
from pose_train.inference.onnx import CPU, open_session

FORMATS = ("onnx", "torchscript", "torch-export")
NEEDED = ("onnx", "onnxscript")  # by torch's exporter; of the extra `export`
OLDEST = "2.10"  # torch whose torch.export takes all our networks; 2.5 to 2.9 fail at some
OPSET = 18  # what torch's exporter writes without converting; onnxruntime 1.14 reads it
TOLERANCE = {False: 1e-3, True: 3e-2}  # of the comparison; by whether 16 bits are computed with
STEP = 64  # what the sides of an image divide by, bottom-up (see resize_for_test)

Size = tuple[int, int]  # (w, h)
Run = Callable[[Tensor], tuple[Tensor, ...]]
Dynamic = tuple[dict[int, Any]]  # which sides of the images are free, for torch.export


class Exported(nn.Module):
    """What is exported: uint8 pixels (B, H, W, 3) RGB or (B, H, W, 1) to the maps for a decoder.

    Top-down: the last stage's heatmaps (B, K, h, w). Bottom-up: the heatmaps of each size, coarse
    first, and the tags (B, T, h, w); of stages of one size the last, as in the published test.
    Normalisation is part of it, so that nobody has to repeat the constants; it is computed in 32
    bits, and the maps are float32, also where the network is of 16. names: of the outputs.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, is_bottomup: bool, images: Tensor) -> None:
        super().__init__()
        self.net, self.dtype = net, torch.float32
        mean, std = STATISTICS[images.shape[-1]]
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        with torch.inference_mode():
            sizes = [tuple(maps.shape[-2:]) for maps in self._run(images).heatmaps]
        self.kept, self.names, self.has_tags = [len(sizes) - 1], ["heatmaps"], is_bottomup
        if is_bottomup:
            self.kept = sorted({size: i for i, size in enumerate(sizes)}.values())
            self.names = [*(f"heatmaps_{i}" for i in range(len(self.kept))), "tags"]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        output = self._run(image)
        maps = [output.heatmaps[i] for i in self.kept]
        if self.has_tags:
            maps.append(output.tags[-1])
        return tuple(each.float() for each in maps)

    def _run(self, image: Tensor) -> PoseOutput:
        inputs = ((image.float() - self.mean) / self.std).permute(0, 3, 1, 2)  # (B, C, H, W)
        output: PoseOutput = self.net(inputs.to(self.dtype))
        return output


def export(
    trained: Trained,
    path: Path,
    kind: str = "onnx",
    input_size: Size | None = None,
    *,
    opset: int | None = None,
    half: bool = False,
    batch: int | None = None,
) -> str:
    """Write a trained network to a file, whole or not at all; return what was written, in words.

    kind: one of FORMATS. input_size: (w, h); None is the config's for top-down, and any for
    bottom-up, whose images come in all shapes: multiples of 64 by 64. opset: of ONNX; None is
    OPSET. half: weights and arithmetic of 16 bits, between pixels and maps as ever. batch: the one
    number of images that the file takes; None is any. The file is compared with the network,
    with other images than it was traced with (and in another number and size, where these are
    free), before it gets its name. Raises ConfigError where a package is missing, the format or
    the network takes no such options, or the file differs; RunDirError where it cannot be written.
    """
    _check_options(path, kind, input_size, opset, batch)
    config = trained.config
    any_size = config.recipe == "bottomup" and input_size is None
    w, h = input_size or config.model.input_size
    free: dict[int, Any] = {} if batch else {0: torch.export.Dim("batch", min=1)}
    if any_size:
        free |= {i: STEP * torch.export.Dim(name, min=1) for i, name in ((1, "h"), (2, "w"))}
    # Two images: with one, exporters take the batch for a constant.
    traced = _random_images(trained, batch or 2, *((2 * STEP, 3 * STEP) if any_size else (w, h)))
    with whole_file(path) as temporary:
        temporary.touch()  # before minutes of work
        net = _prepared(trained, traced)
        facts = _facts(trained, (w, h))
        with _quiet():
            written = _halved(net) if half else net
            if kind == "onnx":
                opset = OPSET if opset is None else opset
                run = _onnx(written, traced, temporary, facts, (free,), opset)
            elif kind == "torchscript":
                run = _torchscript(written, traced, temporary, facts)
            else:
                run = _torch_export(written, traced, temporary, facts, (free,))
            difference = _difference(net, run, _random_images(trained, batch or 1, w, h))
        if not difference < TOLERANCE[half]:
            raise ConfigError(f"the {kind} file differs from the network by {difference:.1e}")
    size = f"input any multiple of {STEP}" if any_size else f"input {w}x{h}"
    words = [kind, f"{path.stat().st_size / 1e6:.1f} MB", size]
    words += [f"batch {batch}"] * (batch is not None) + ["16 bits"] * half
    return f"{path}: {', '.join(words)}, differs from the network by {difference:.1e}"


def _check_options(
    path: Path, kind: str, input_size: Size | None, opset: int | None, batch: int | None
) -> None:
    if kind not in FORMATS:
        raise ConfigError(f"the format must be one of {', '.join(FORMATS)}, got {kind!r}")
    if kind != "torchscript" and torch.__version__ < OLDEST:
        raise ConfigError(f"{kind} needs torch {OLDEST} or newer, this is {torch.__version__}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if kind == "onnx" and missing:
        raise ConfigError(f"ONNX needs {' and '.join(missing)}: pip install 'pose-train[export]'")
    if kind != "onnx" and opset is not None:
        raise ConfigError(f"--opset is of ONNX alone: {kind} has none")
    if kind == "torchscript" and batch is not None:
        raise ConfigError("--batch is not of torchscript, whose files take any number of images")
    if batch is not None and batch < 1:
        raise ConfigError(f"--batch must be above 0, got {batch}")
    if input_size is not None and min(input_size) < 1:
        raise ConfigError(f"--input-size must be above 0, got {input_size[0]} {input_size[1]}")
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder: name the file to write")


def _random_images(trained: Trained, count: int, w: int, h: int) -> Tensor:
    shape = count, h, w, trained.config.model.channels
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def _prepared(trained: Trained, images: Tensor) -> Exported:
    # Exporters expect weights that are laid out in the order of their indices.
    plain = copy.deepcopy(trained.net).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    try:
        return Exported(plain, trained.config.recipe == "bottomup", images).eval()
    except (ValueError, RuntimeError) as error:  # what torch makes of an image too small
        size = f"{images.shape[2]}x{images.shape[1]}"
        raise ConfigError(f"the network takes no images of {size}: {error}") from error


def _halved(net: Exported) -> Exported:
    """Return a copy whose network has weights of 16 bits, and computes with them."""
    halved = copy.deepcopy(net)
    halved.net.half()
    halved.dtype = torch.float16
    for name, weights in halved.net.state_dict().items():
        if not weights.isfinite().all():
            largest = float(net.net.state_dict()[name].abs().max())
            raise ConfigError(f"{name} goes up to {largest:.0f}, more than 16 bits hold: no --half")
    return halved


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' messages: the comparison at the end is what counts."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _difference(net: Exported, run: Run, images: Tensor) -> float:
    """Return how far the maps of a file are from the network's, in parts of their largest value."""
    with torch.inference_mode():
        pairs = list(zip(net(images), run(images), strict=True))
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-6)) for a, b in pairs)


def _facts(trained: Trained, input_size: Size) -> dict[str, str]:
    """Return what a program needs to know besides the numbers, as text for a file's metadata.

    codec: what makes the decoder again, AssociativeEmbedding(**json.loads(codec)).
    """
    usage, codec = usage_of(trained), trained.codec
    changed: dict[str, Any] = {"input_size": input_size}
    if not isinstance(codec, AssociativeEmbedding):
        sizes = zip(input_size, codec.heatmap_size, codec.input_size, strict=True)
        changed["heatmap_size"] = tuple(side * maps // own for side, maps, own in sizes)
    usage = dataclasses.replace(
        usage,
        input_size=input_size,
        codec=dataclasses.replace(codec, **changed),
        weights="/".join(trained.weights.parts[-2:]),  # no more of the folders of this machine
    )
    return to_metadata(usage, __version__)


def _onnx(
    net: Exported, images: Tensor, path: Path, facts: dict[str, str], dynamic: Dynamic, opset: int
) -> Run:
    import onnx

    program = torch.onnx.export(
        net,
        (images,),
        dynamo=True,
        verbose=False,
        input_names=["image"],
        output_names=net.names,
        dynamic_shapes=dynamic,
        opset_version=opset,
    )
    assert program is not None  # it is None only where a file is written
    model = program.model_proto
    (written,) = (each.version for each in model.opset_import if not each.domain)
    if written != opset:
        raise ConfigError(f"--opset {opset}: torch's exporter cannot write it, but {written}")
    # Torch writes the latest version that it knows, and what the sources of each node are.
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path, format="protobuf")
    if importlib.util.find_spec("onnxruntime") is None:
        return net  # nothing to compare with
    session = open_session(path, [CPU])
    return lambda images: tuple(
        torch.from_numpy(maps) for maps in session.run(None, {"image": images.numpy()})
    )


def _torchscript(net: Exported, images: Tensor, path: Path, facts: dict[str, str]) -> Run:
    with torch.inference_mode():
        script = torch.jit.trace(net, images, check_trace=False)  # type: ignore[no-untyped-call]
        # Not to the file itself: torch ends the process where the disk is full.
        path.write_bytes(script.save_to_buffer(_extra_files={"about.json": json.dumps(facts)}))
        return torch.jit.load(path)  # type: ignore[no-untyped-call]


def _torch_export(
    net: Exported, images: Tensor, path: Path, facts: dict[str, str], dynamic: Dynamic
) -> Run:
    program = torch.export.export(net, (images,), dynamic_shapes=dynamic)
    content = BytesIO()  # by name, torch insists on .pt2; and see above
    torch.export.save(program, content, extra_files={"about.json": json.dumps(facts)})
    path.write_bytes(content.getvalue())
    with path.open("rb") as file:
        return torch.export.load(file).module()
