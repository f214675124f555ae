"""How many images per second the loader makes, the training step takes, and both together do."""

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
from pose_train import bottomup, topdown
from pose_train.checkpoints import Training
from pose_train.config import Config
from pose_train.optim import set_training
from pose_train.ranks import Ranks, any_of, gather, joined
from pose_train.sets import Sets, draw, load_sets, make_batches, train_loader
from pose_train.training import optimizer_step, prepare_training
from pose_train.weights import start_from_weights

WARM_UP = 3  # steps: memory is allocated, kernels are chosen or compiled


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
            draw(config.data.synthetic, root, config.seed)
        take_apart = topdown_parts if config.recipe == "topdown" else bottomup_parts
        sets = load_sets(config.data, config.eval, root, config.recipe)
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


def topdown_parts(config: Config, sets: Sets, ranks: Ranks, device: torch.device) -> Parts:
    """Take a top-down run apart."""
    net, size = topdown.create_net(config.model, sets.train.skeleton.num_keypoints)
    config = start_from_weights(net, config)
    codec = topdown.create_codec(config.codec, config.model.input_size, size)
    training, forward = prepare_training(config, net, ranks, device)
    samples = topdown.train_samples(config, sets.train, codec, device)
    samples[0]  # compiles the codec before the workers are forked
    batches = make_batches(sets.train, config, ranks)
    return Parts(
        training,
        train_loader(samples, batches, config.train.num_workers, device),
        batches,
        lambda batch: topdown.batch_loss(forward, batch, codec, device, config.train.amp),
    )


def bottomup_parts(config: Config, sets: Sets, ranks: Ranks, device: torch.device) -> Parts:
    """Take a bottom-up run apart."""
    net, maps = bottomup.create_net(config.model, sets.train.skeleton.num_keypoints)
    config = start_from_weights(net, config)
    training, forward = prepare_training(config, net, ranks, device)
    samples = bottomup.train_samples(config, sets.train, maps, device)
    samples[0]
    batches = bottomup.make_batches(samples, config, ranks)
    return Parts(
        training,
        train_loader(samples, batches, config.train.num_workers, device),
        batches,
        lambda batch: bottomup.batch_loss(forward, batch, maps, config, device).total,
    )


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
