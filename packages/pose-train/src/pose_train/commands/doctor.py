"""pose-train doctor: versions, devices, speed of the loader, known troubles of an installation.

It is for installations that are broken: what it looks at is imported in functions, one by one, and
what cannot be imported is a problem that it reports.
"""

import argparse
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from pose_train.commands.options import JSON
from pose_train.cores import find_cores
from pose_train.words import counted

HELP = "Say what is installed, which devices there are, and what commonly goes wrong."
EXAMPLES = "pose-train doctor\npose-train doctor --json"
# Distributions and their modules; extras need not be there.
OURS = {
    name: name.replace("-", "_")
    for name in ("pose-train", "pose-backbones", "pose-codecs", "pose-data", "pose-eval")
}
OTHERS = {
    "torch": "torch",
    "numpy": "numpy",
    "opencv-python": "cv2",
    "numba": "numba",
    "pycocotools": "pycocotools.mask",
    "orjson": "orjson",
    "safetensors": "safetensors.torch",
    "pyyaml": "yaml",
    "tqdm": "tqdm",
}
EXTRAS = (
    *("huggingface_hub", "transformers", "onnx", "onnxscript", "onnxruntime"),
    *("av", "tensorboard", "wandb"),
)
_RIVALS = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", **JSON)


def run(args: argparse.Namespace) -> int:
    """Print what there is, and the problems found; 1 where something is wrong."""
    facts = find_facts()
    print(json.dumps(facts, indent=1) if args.json else _text(facts))
    return 1 if facts["problems"] else 0


def find_facts() -> dict[str, Any]:
    """Return what there is, as --json prints it."""
    names = (*OURS, *OTHERS, *(name for name in _RIVALS if _version(name)), *EXTRAS)
    broken = {
        name: reason for name, module in (OURS | OTHERS).items() if (reason := _why_not(module))
    }
    problems = [f"{name} cannot be imported: {reason}" for name, reason in broken.items()]
    problems += find_problems(broken)
    speed = None
    if not broken:
        try:
            speed = round(_loader_speed(), 1)
        except Exception as error:  # whatever it is, the other facts are still wanted
            problems.append(f"no training samples can be made: {type(error).__name__}: {error}")
    has_torch = "torch" not in broken
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in names},
        "cores": str(find_cores()),
        "torch_threads": _torch_threads() if has_torch else None,
        "devices": _devices() if has_torch else [],
        "samples_per_second": speed,
        "problems": problems,
    }


def _text(facts: dict[str, Any]) -> str:
    lines = [f"Python {facts['python']} on {facts['platform']}"]
    versions = {name: version or "-" for name, version in facts["versions"].items()}
    extras = {name: versions.pop(name) for name in EXTRAS}
    ours = {name: versions.pop(name) for name in OURS}
    for head, group in (("", ours), ("", versions), ("extras: ", extras)):
        lines.append(head + ", ".join(f"{name} {version}" for name, version in group.items()))
    if facts["torch_threads"] is None:
        lines.append(facts["cores"])
    else:
        threads = counted(facts["torch_threads"], "thread")
        lines.append(f"{facts['cores']}; torch alone would use {threads}")
    lines += facts["devices"] or ["no GPU that torch can use"]
    if facts["samples_per_second"] is not None:
        lines.append(
            f"one worker makes about {facts['samples_per_second']:.0f} samples of 192x256 a second "
            "from 640x480 JPEGs (`pose-train bench CONFIG` measures yours)"
        )
    problems = facts["problems"]
    lines += [f"problem: {problem}" for problem in problems]
    lines.append(f"{counted(len(problems), 'problem')} found" if problems else "no problems found")
    return "\n".join(lines)


def find_problems(broken: Collection[str] = ()) -> list[str]:
    """Return what is known to go wrong and does here, beside the broken imports."""
    problems = []
    rivals = [name for name in _RIVALS if _version(name)]
    if rivals and _version("opencv-python"):
        problems.append(
            f"opencv-python and {', '.join(rivals)} overwrite each other: uninstall all of them, "
            "then install one"
        )
    if "torch" not in broken and shutil.which("nvidia-smi"):
        problems += _gpu_problems()
    free = shutil.disk_usage(Path.cwd()).free
    if free < 2 * 2**30:
        problems.append(f"{free / 2**30:.1f} GiB are free here: checkpoints may not find room")
    shared = Path("/dev/shm")
    room = shutil.disk_usage(shared).total / 2**20 if shared.is_dir() else math.inf
    if room < 256:
        problems.append(
            f"/dev/shm has {room:.0f} MiB, through which workers pass batches: "
            "start the container with more (--shm-size) or set train.num_workers=0"
        )
    if not os.access(Path.cwd(), os.W_OK):
        problems.append(f"{Path.cwd()} cannot be written, where runs/ would be made: set out=DIR")
    return problems


def _gpu_problems() -> list[str]:
    """Say why torch cannot use the NVIDIA GPU that this machine has, if it cannot."""
    import torch

    if "+cpu" in (_version("torch") or ""):
        return ["there is an NVIDIA GPU, but torch is a build for CPUs: reinstall torch"]
    if not torch.cuda.is_available():
        return ["there is an NVIDIA GPU, but torch cannot use it: is the driver too old?"]
    return []


def _version(name: str) -> str | None:
    import importlib.metadata  # takes longer than all other help

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _why_not(module: str) -> str | None:
    """Import a module; return why it cannot be, None where it can."""
    try:
        if module == "cv2":  # by the module that knows what to install
            from pose_data.opencv import cv2

            _ = cv2.__version__
        else:
            import_module(module)
    except (Exception, SystemExit) as error:  # a broken library may raise anything
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _devices() -> list[str]:
    import torch

    found = []
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(i)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16: take train.amp=fp16"
        found.append(f"cuda:{i} {facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}")
    if torch.backends.mps.is_available():
        found.append("mps: Apple's GPU")
    return found


def _loader_speed() -> float:
    """Measure how many training samples a second one worker makes of drawn 640x480 JPEGs."""
    import tempfile

    from pose_codecs import MSRAHeatmap
    from pose_data import Augmentation, TopDown, load_coco, start_worker, synthesize
    from pose_data.opencv import cv2

    with tempfile.TemporaryDirectory() as folder:
        root = synthesize(Path(folder) / "d", num_train=8, num_val=1, image_size=(640, 480))
        persons = load_coco(
            root / "annotations/person_keypoints_train2017.json", root / "train2017"
        )
        codec = MSRAHeatmap((192, 256), (48, 64))
        threads = cv2.getNumThreads()
        start_worker()
        dataset = TopDown(persons, (192, 256), codec.encode, Augmentation())
        dataset[(0, 0)]  # compiles the codec
        started, samples = time.perf_counter(), 0
        while time.perf_counter() - started < 1.0:
            dataset[(1, samples % len(persons))]
            samples += 1
        speed = samples / (time.perf_counter() - started)
        cv2.setNumThreads(threads)
    return speed
