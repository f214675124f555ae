"""bench: images per second of the loader, of the training step, and of both together."""

import argparse
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pose_data import GroupedBatches
from pose_train.config.load import load_config
from pose_train.config.schema import Config, ConfigError
from pose_train.cores import settle_threads
from pose_train.distributed import Ranks, any_of, gather, joined, print_notes
from pose_train.inference.weights import start_from_weights
from pose_train.recipes import RECIPES
from pose_train.recipes.data import Sets, draw_images, load_sets
from pose_train.recipes.loaders import train_loader
from pose_train.training.checkpoints import Training
from pose_train.training.loop import batch_losses, optimizer_step
from pose_train.training.optim import set_training
from pose_train.training.prepare import prepare_training

WARM_UP = 3  # steps: memory is allocated, kernels are chosen or compiled


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    config = load_config(args.config, args.overrides)
    if not args.seconds > 0:
        raise ConfigError(f"--seconds must be above 0, got {args.seconds}")
    settle_threads(config.train.num_threads, config.train.num_workers)
    speeds, settings = bench(config, args.seconds), config.train
    if speeds is None:  # another process under torchrun prints
        return 0
    step_time = 1000 * settings.batch_size * speeds.processes / speeds.step
    if speeds.processes > 1:
        print(f"{speeds.processes} processes together")
    print(f"loader  {speeds.loader:8.1f} images/s  train.num_workers={settings.num_workers}")
    print(
        f"step    {speeds.step:8.1f} images/s  {step_time:.1f} ms for {settings.batch_size}, "
        f"train.amp={settings.amp}"
    )
    print(f"both    {speeds.both:8.1f} images/s")
    if speeds.memory is not None:
        print(f"memory  {speeds.memory / 2**30:8.2f} GiB of the GPU at most")
    slower = "loader" if speeds.loader < speeds.step else "step"
    print(f"the {slower} is the bottleneck")
    return 0


class Parts(NamedTuple):
    """A run taken apart: what makes batches, and what makes a loss of a batch."""

    training: Training
    loader: DataLoader[dict[str, Any]]
    batches: GroupedBatches
    loss: Callable[[dict[str, Any]], Tensor]


class Speeds(NamedTuple):
    """Images per second of all processes together; memory: bytes that tensors took of a GPU."""

    processes: int
    loader: float
    step: float
    both: float
    memory: int | None


def bench(config: Config, seconds: float) -> Speeds | None:
    """Measure each of the three for so many seconds; None but in the first process.

    Raises ConfigError, DatasetError.
    """
    with joined(config.train.device) as (ranks, device), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(config.seed)
        root = Path(config.data.root or folder)
        if config.data.synthetic is not None:
            root = Path(folder) / "data"
            draw_images(config.data.synthetic, root, config.seed)
        sets = load_sets(config.data, config.eval, root, RECIPES[config.recipe].unit)
        parts = take_apart(config, sets, ranks, device)
        set_training(parts.training.net, config.train.freeze_bn)
        stream = endless(parts)
        batch = next(stream)  # the workers have started
        works = {
            "loader": (len(next(stream)["index"]) for _ in itertools.count()),
            "step": (train_on(batch, parts, config) for _ in itertools.count()),
            "both": (train_on(b, parts, config) for b in stream),
        }
        speeds = {
            name: math.fsum(gather(measure(counts, seconds, device, ranks), ranks))
            for name, counts in works.items()
        }
        memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
        return Speeds(ranks.world_size, **speeds, memory=memory) if ranks.is_first else None


def take_apart(config: Config, sets: Sets, ranks: Ranks, device: torch.device) -> Parts:
    """Take a run apart."""
    recipe = RECIPES[config.recipe]
    net, codec = recipe.build(config, sets.train.skeleton.num_keypoints)
    config, notes = start_from_weights(net, config)
    print_notes(notes, ranks)
    training, forward = prepare_training(config, net, ranks, device)
    samples = recipe.samples(config, sets.train, codec, device, True)
    samples[0]  # compiles the codec before the workers are forked
    batches = recipe.batches(config, samples, ranks)
    loader = train_loader(samples, batches, config.train.num_workers, device)

    def loss(batch: dict[str, Any]) -> Tensor:
        return batch_losses(config, forward, codec, batch, device)["loss"]

    return Parts(training, loader, batches, loss)


def endless(parts: Parts) -> Iterator[dict[str, Any]]:
    """Yield the batches of one epoch after the other."""
    for epoch in itertools.count(1):
        parts.batches.epoch = epoch
        yield from parts.loader


def train_on(batch: dict[str, Any], parts: Parts, config: Config) -> int:
    """Take a training step; return the number of images."""
    parts.training.scaler.scale(parts.loss(batch)).backward()  # type: ignore[no-untyped-call]
    optimizer_step(parts.training, config.train.lr, config.train.clip_grad)
    return len(batch["index"])


def measure(counts: Iterator[int], seconds: float, device: torch.device, ranks: Ranks) -> float:
    """Return images per second: `counts` does a batch of work and yields its images each time.

    All processes end after the same number of batches: a training step waits for the others.
    """
    for _ in range(WARM_UP):
        next(counts)
    wait_for(device)
    images, started = 0, time.perf_counter()
    while not images or not any_of(time.perf_counter() - started > seconds, ranks):
        images += next(counts)
    wait_for(device)
    return images / (time.perf_counter() - started)


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
