"""What would stop a run, or be wrong in it: paths, counts, a drawn batch, memory, time."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import default_collate

from pose_data import BottomUp, Skeleton, TopDown, draw_people
from pose_data.images.channels import from_input
from pose_data.images.depth import measure_depth
from pose_data.opencv import cv2
from pose_data.samples.crop import transform_points
from pose_data.view.draw import SIDES, bgr, legend, sides
from pose_data.view.gallery import Shown, sheet
from pose_train.config.schema import Config, ConfigError, Data
from pose_train.distributed import Ranks
from pose_train.files.images import write_image
from pose_train.inference.weights import start_from_weights
from pose_train.recipes import RECIPES
from pose_train.recipes.data import Sets, check_images, describe
from pose_train.training.loop import batch_losses
from pose_train.training.prepare import check_epoch
from pose_train.training.run_dir import load_given_sets
from pose_train.words import duration

NOTE = "note: "  # at the start of a line
SHOWN = 12  # samples on the drawn batch
_CPU = torch.device("cpu")

Loss = Callable[[dict[str, Any]], Tensor]  # of a batch


class Estimate(NamedTuple):
    """Parameters; bytes for weights and optimizer, and per sample; seconds per sample on a CPU."""

    parameters: int
    fixed: int
    per_sample: int
    seconds: float


class Checked(NamedTuple):
    """What was found: lines for people, some of which begin with NOTE; the same for programs."""

    lines: list[str]
    facts: dict[str, Any]


def check(config: Config, image: Path) -> Checked:
    """Load all that a run would load, draw a batch of samples to `image`, and estimate.

    Raises ConfigError or DatasetError for what a run would stop
    at, images that are missing among it.
    """
    recipe = RECIPES[config.recipe]
    sets = load_given_sets(config, recipe.unit)
    if sets is None:
        raise ConfigError(
            "data.synthetic draws its images when it runs: there is nothing to check before"
        )
    if config.data.packed is None:
        check_images(sets.train)
    net, codec = recipe.build(config, sets.train.skeleton.num_keypoints)
    config, notes = start_from_weights(net, config, sets.train)
    dataset = recipe.samples(config, sets.train, codec, _CPU, True)
    batches = recipe.batches(config, dataset, Ranks())
    check_epoch(config, net, batches, Ranks())
    count = min(SHOWN, len(dataset))
    chosen = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()
    samples = [dataset[(1, index)] for index in chosen]
    write_image(image, draw_samples(dataset, samples))
    exact = replace(config, train=replace(config.train, amp="off"))

    def loss(batch: dict[str, Any]) -> Tensor:
        return batch_losses(exact, net, codec, batch, _CPU)["loss"]

    estimate = measure(net, loss, samples[:2])
    per_epoch = sum(map(len, batches.batches()))
    keypoints = sets.train.skeleton.keypoints
    lines = [
        *notes,
        *describe(sets).split("\n"),
        f"{len(keypoints)} keypoints: {', '.join(keypoints)}",
        *_depth_lines(sets, config.data),
        *_estimate_lines(config, estimate, per_epoch),
        f"{count} training samples, as drawn from seed {config.seed}: {image}",
    ]
    facts = {
        "train": len(sets.train),
        "evaluate": None if sets.boxes is None else len(sets.boxes),
        "keypoints": list(keypoints),
        "model": config.model.name,
        "parameters": estimate.parameters,
        "memory_bytes": round(_memory(config, estimate)),
        "batch_size": config.train.batch_size,
        "epochs": config.train.epochs,
        "samples_per_epoch": per_epoch,
        "cpu_seconds_per_sample": round(estimate.seconds, 4),
        "out": str(image),
        "notes": [line.removeprefix(NOTE) for line in lines if line.startswith(NOTE)],
    }
    return Checked(lines, facts)


def _depth_lines(sets: Sets, data: Data) -> list[str]:
    """Return what there is to say of the 16-bit images of both sets; a pack has none."""
    lines, train = [], sets.train if data.packed is None else None
    for persons in [each for each in (train, sets.val) if each is not None]:
        first = np.unique(persons.image_index, return_index=True)[1]  # a person of each image
        depth = measure_depth([persons.image_path(i) for i in first.tolist()])
        if text := depth.describe(data.bits):
            lines.append(f"{persons.annotation_file.name}: {text}")
    return list(dict.fromkeys(lines))


def measure(net: nn.Module, loss: Loss, samples: list[dict[str, Any]]) -> Estimate:
    """Take a step on two samples, count what it keeps for the backward pass, and time another."""
    pair = samples if len(samples) > 1 else samples * 2  # batch norm needs two
    batch = default_collate(pair)
    parameters = sum(p.numel() for p in net.parameters())
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    net.train()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        first = loss(batch)
    first.backward()  # type: ignore[no-untyped-call]
    started = time.perf_counter()  # of a second step: in the first, kernels are chosen
    loss(batch).backward()  # type: ignore[no-untyped-call]
    seconds = (time.perf_counter() - started) / len(pair)
    activations = sum(size for address, size in kept.items() if address not in own)
    # Weights, gradients and Adam's two averages, float32 each.
    return Estimate(parameters, 16 * parameters, activations // len(pair), seconds)


def _per_sample(config: Config, estimate: Estimate) -> float:
    """Return the bytes that a sample keeps; what autocast keeps is mostly of 16 bits."""
    return estimate.per_sample * (0.55 if config.train.amp in ("bf16", "fp16") else 1.0)


def _memory(config: Config, estimate: Estimate) -> float:
    """Return the bytes that training needs."""
    return estimate.fixed + _per_sample(config, estimate) * config.train.batch_size


def _estimate_lines(config: Config, estimate: Estimate, samples: int) -> list[str]:
    """Return an estimate in words; samples: of an epoch."""
    settings, needed = config.train, _memory(config, estimate)
    steps = math.ceil(samples / settings.batch_size)
    lines = [
        f"{config.model.name}: {estimate.parameters / 1e6:.1f} M parameters",
        f"memory: about {needed / 2**30:.1f} GiB to train with batches of {settings.batch_size} "
        f"({_per_sample(config, estimate) / 2**20:.0f} MiB a sample), plus what the libraries take",
        f"time: {settings.epochs} epochs of {steps} steps; on this CPU about "
        f"{estimate.seconds:.2f} s a sample, so "
        f"{duration(estimate.seconds * samples * settings.epochs)} without evaluations",
    ]
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        fits = "fits" if needed < 0.9 * total else "does not fit: take a smaller batch or train.amp"
        lines.append(
            f"GPU: {torch.cuda.get_device_name(0)}, {total / 2**30:.0f} GiB: {fits}; "
            "`pose-train bench` measures its speed"
        )
    return lines


def draw_samples(dataset: TopDown | BottomUp, samples: list[dict[str, Any]]) -> NDArray[np.uint8]:
    """Return training samples with their annotated keypoints, and beside each its targets, BGR.

    Both in the colours of their side, which agree where left and right are not exchanged: keypoints
    come from the annotations and `matrix`, targets are the heatmaps. Bottom-up samples show,
    darkened, what the loss must not look at.
    """
    persons, shown = dataset.persons, []
    flips = list(persons.skeleton.flip_indices)
    for sample in samples:
        row = dataset.image_row(sample["index"])
        is_crop = isinstance(dataset, TopDown)  # of one person; else all of the image are shown
        who = np.flatnonzero(persons.image_index == row) if not is_crop else [sample["index"]]
        order = flips if sample["mirrored"] else slice(None)
        points = transform_points(persons.keypoints[who][:, order], sample["matrix"])  # (P, K, 2)
        zoom = max(1, round(256 / sample["image"].shape[0]))
        image: Any = cv2.resize(from_input(sample["image"]), None, fx=zoom, fy=zoom)
        labels = draw_people(
            image,
            ((points + 0.5) * zoom - 0.5).astype(np.float32),
            persons.visible[who][:, order],
            persons.skeleton,
        )
        mirrored = " (mirrored)" * sample["mirrored"]
        both = np.hstack([labels, _targets(sample, image, persons.skeleton)])
        shown.append(Shown(both, f"{persons.file_names[row]}{mirrored}"))
    heading = "Left: annotated keypoints. Right: target heatmaps, in the colours of their sides."
    width = max(1600, 2 * shown[0].image.shape[1] + 8)
    return sheet([(heading, shown)], legend(persons.skeleton), width)


def _targets(sample: dict[str, Any], image: NDArray[Any], skeleton: Skeleton) -> NDArray[np.uint8]:
    """Return the target heatmaps over an image (H, W, 3), each side in its colour."""
    size = image.shape[1], image.shape[0]
    maps = sample["heatmaps"]
    finest = maps if isinstance(maps, np.ndarray) else maps[-1]  # (K, h, w)
    canvas = 0.5 * image.astype(np.float32)
    if "masks" in sample:
        mask = cv2.resize(sample["masks"][-1].astype(np.float32), size)[..., None]
        canvas *= 0.3 + 0.7 * mask
    side = np.array(sides(skeleton))
    for name, colour in SIDES.items():
        if (side == name).any():
            heat = cv2.resize(finest[side == name].max(axis=0), size)[..., None].clip(0, 1)
            canvas = canvas * (1 - heat) + np.array(bgr(colour), np.float32) * heat
    return canvas.clip(0, 255).astype(np.uint8)
