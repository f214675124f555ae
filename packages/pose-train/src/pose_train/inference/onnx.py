"""An ONNX file of `pose-train export`, run by onnxruntime; torch is never imported."""

import importlib.util
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pose_codecs
from pose_codecs import AssociativeEmbedding
from pose_data import DatasetError
from pose_train.config.schema import ConfigError, RunError
from pose_train.inference import bottomup, topdown
from pose_train.inference.network import Backend, Maps, Network, Usage, from_metadata

Images = NDArray[np.uint8]  # (B, H, W, C), RGB or grey
Floats = NDArray[np.float32]

CPU = "CPUExecutionProvider"


class Provider(NamedTuple):
    """What onnxruntime computes with, and the package that brings it."""

    name: str
    package: str


DEVICES = {
    "cpu": Provider(CPU, "onnxruntime"),
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}


def load_onnx(
    path: Path,
    device: str = "auto",
    providers: Sequence[str | tuple[str, Any]] | None = None,
    threads: int | None = None,
) -> Network:
    """Load an exported network to predict with.

    device: cpu, cuda, cuda:1 ..., openvino, or auto: cuda where onnxruntime has it and it starts,
    else cpu. OpenVINO is taken only when asked for: it may choose an arithmetic of its own.
    providers: onnxruntime's, as InferenceSession takes them, instead of a device. threads: of the
    CPU; None leaves onnxruntime to choose. Raises ConfigError where onnxruntime or the device is
    missing, RunError for a file that cannot be used.
    """
    session, notes = open_on(path, device, providers, threads)
    usage = from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
    fixed = isinstance(session.get_inputs()[0].shape[1], int)
    if usage.is_bottomup and fixed and len(usage.multi_scale) > 1:
        raise RunError(
            f"{path} takes images of one size, but eval.multi_scale runs it at several "
            f"({', '.join(map(str, usage.multi_scale))}): export it without --input-size"
        )
    return Network(
        usage,
        onnx_backend(session, path.name, usage),
        bottomup.find if usage.is_bottomup else topdown.find,
        f"{path}, exported from {usage.origin}",
        notes,
    )


def open_on(
    path: Path,
    device: str = "auto",
    providers: Sequence[str | tuple[str, Any]] | None = None,
    threads: int | None = None,
) -> tuple[Any, tuple[str, ...]]:
    """Return onnxruntime's session of a file, and notes for the user; arguments as of load_onnx.

    Raises ConfigError where onnxruntime or the device is missing, RunError for a file that
    onnxruntime cannot load.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise ConfigError(f"{path} needs onnxruntime: pip install 'pose-train[export]'")
    if not path.is_file():
        raise RunError(f"{path}: there is no such file")
    wanted = list(providers) if providers is not None else providers_of(device)
    session = open_session(path, wanted, threads)
    first = wanted[0][0] if isinstance(wanted[0], tuple) else wanted[0]
    if first in session.get_providers():
        return session, ()
    failure = f"onnxruntime has {first}, but it does not start"
    if device != "auto" or providers is not None:
        raise ConfigError(f"{failure}: are its libraries installed?")
    # onnxruntime goes on with the CPU, and only logs it
    return session, (f"{failure}: the CPU is used",)


def import_onnxruntime() -> Any:
    """Import onnxruntime, and before that turn its telemetry off, unless the user has decided.

    Once it is loaded, it has drawn a number for the machine and begun to collect.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def providers_of(device: str) -> list[str | tuple[str, Any]]:
    """Return the providers of a device; raises ConfigError for one that is not there."""
    onnxruntime = import_onnxruntime()
    available = onnxruntime.get_available_providers()
    name, _, number = device.partition(":")
    if name == "auto":
        name = "cuda" if DEVICES["cuda"].name in available else "cpu"
    if name not in DEVICES or (number and (name != "cuda" or not number.isdecimal())):
        raise ConfigError(
            f"device of an ONNX file must be auto, {', '.join(DEVICES)} or cuda:N, got {device!r}"
        )
    provider = DEVICES[name]
    if provider.name not in available:
        raise ConfigError(
            f"device {device}: the onnxruntime installed has no {provider.name}; "
            f"`pip install {provider.package}` in place of onnxruntime brings it"
        )
    chosen = (provider.name, {"device_id": number}) if number else provider.name
    return [chosen] if name == "cpu" else [chosen, CPU]


def open_session(
    path: Path, providers: Sequence[str | tuple[str, Any]], threads: int | None = None
) -> Any:
    """Return onnxruntime's session of a file; raises RunError where it cannot load it."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; what does not start is told by us
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # its errors have no base class of their own
        reason = " ".join(str(error).split())[:300]
        version = onnxruntime.__version__
        raise RunError(f"{path}: onnxruntime {version} cannot load it: {reason}") from error


def run_file(session: Any, name: str, images: Images) -> list[Floats]:
    """Return the outputs of a file for images, (B, ...) each.

    A file for a fixed number of images is given so many at once, the last time with black ones
    behind, whose outputs are dropped. Raises DatasetError for a size that it was not exported for.
    """
    batch, *fixed = session.get_inputs()[0].shape  # what is free has a name for a number
    shape = images.shape[1:]
    if any(isinstance(side, int) and side != own for side, own in zip(fixed, shape, strict=True)):
        raise DatasetError(
            f"{name} takes images of {fixed[1]}x{fixed[0]} alone, but this one is run at "
            f"{shape[1]}x{shape[0]}: export it without --input-size"
        )
    size = batch if isinstance(batch, int) else len(images)
    parts = []
    for start in range(0, len(images), size):
        given = images[start : start + size]
        filled = np.pad(given, [(0, size - len(given)), (0, 0), (0, 0), (0, 0)])  # (size, H, W, C)
        parts.append(session.run(None, {"image": filled}))
    return [np.concatenate(maps)[: len(images)] for maps in zip(*parts, strict=True)]


def onnx_backend(session: Any, name: str, usage: Usage) -> Backend:
    """Return what runs a file: its outputs are the heatmaps, and bottom-up the tags at the end."""

    def run(images: Images, flip_test: bool) -> list[Maps]:
        both = [images, images[:, :, ::-1]] if flip_test else [images]
        outputs = [run_file(session, name, each) for each in both]
        split = -1 if usage.is_bottomup else None
        return [Maps(tuple(maps[:split]), tuple(maps[split:] if split else ())) for maps in outputs]

    # Its maps are on the host once a run has returned.
    return Backend(run, pose_codecs, AssociativeEmbedding.decode, np.asarray, lambda: nullcontext)
