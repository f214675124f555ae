"""doctor: versions, devices, speed of the loader, and known troubles of an installation."""

import argparse
import importlib.metadata
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import torch

from pose_codecs import MSRAHeatmap
from pose_data import Augmentation, TopDown, load_coco, start_worker, synthesize
from pose_train.cores import find_cores
from pose_train.words import counted

OURS = ("pose-train", "pose-backbones", "pose-codecs", "pose-data", "pose-eval")
OTHERS = ("torch", "numpy", "opencv-python", "numba", "pycocotools", "pyyaml")
EXTRAS = ("huggingface_hub", "onnx", "onnxscript", "onnxruntime", "tensorboard", "wandb")
_RIVALS = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def main(args: argparse.Namespace) -> int:
    """Print what there is, and the problems found; 1 where something is wrong."""
    lines = [f"Python {sys.version.split()[0]} on {platform.platform()}"]
    for head, names in (("", OURS), ("", OTHERS), ("extras: ", EXTRAS)):
        lines.append(head + ", ".join(f"{name} {_version(name)}" for name in names))
    threads = counted(torch.get_num_threads(), "thread")
    lines.append(f"{find_cores()}; torch alone would use {threads}")
    problems = find_problems()
    lines += [*_devices(), _loader_speed(), *(f"problem: {problem}" for problem in problems)]
    print("\n".join(lines))
    print("no problems found" if not problems else f"{counted(len(problems), 'problem')} found")
    return 1 if problems else 0


def find_problems() -> list[str]:
    """Return what is known to go wrong and does here."""
    problems = []
    rivals = [name for name in _RIVALS if _version(name) != "-"]
    if rivals and _version("opencv-python") != "-":
        problems.append(
            f"opencv-python and {', '.join(rivals)} overwrite each other: uninstall all of them, "
            "then install one"
        )
    if _version("torch").count("+cpu") and shutil.which("nvidia-smi"):
        problems.append("there is an NVIDIA GPU, but torch is a build for CPUs: reinstall torch")
    elif shutil.which("nvidia-smi") and not torch.cuda.is_available():
        problems.append("there is an NVIDIA GPU, but torch cannot use it: is the driver too old?")
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


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def _devices() -> list[str]:
    if not torch.cuda.is_available():
        return ["no GPU that torch can use"]
    found = []
    for i in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(i)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16: take train.amp=fp16"
        found.append(f"cuda:{i} {facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}")
    return found


def _loader_speed() -> str:
    """Measure how fast this machine makes training samples, from drawn images of COCO's size."""
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
    return (
        f"one worker makes about {speed:.0f} samples of 192x256 a second from 640x480 JPEGs "
        "(`pose-train bench CONFIG` measures yours)"
    )
