"""Images per second of the loader, of the training step, and of both together."""

import math
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch

from pose_train.config.schema import Config
from pose_train.distributed import Ranks, any_of, gather
from pose_train.inference.weights import start_from_weights
from pose_train.recipes import RECIPES
from pose_train.recipes.data import draw_images, load_sets
from pose_train.recipes.loaders import train_loader
from pose_train.training.loop import batch_losses, optimizer_step
from pose_train.training.optim import set_training
from pose_train.training.prepare import prepare_training
from pose_train.words import note

WARM_UP = 3  # steps: memory is allocated, kernels are chosen or compiled


def bench(
    config: Config, seconds: float, folder: Path, ranks: Ranks, device: torch.device
) -> dict[str, float]:
    """Return images per second of all processes together, each of the three measured for a while.

    folder: for images that the config draws. Raises ConfigError, DatasetError.
    """
    torch.manual_seed(config.seed)
    root = folder if config.data.root is None else Path(config.data.root)
    if config.data.synthetic is not None:
        root = folder / "data"
        draw_images(config.data.synthetic, root, config.seed)
    recipe = RECIPES[config.recipe]
    sets = load_sets(config.data, config.eval, root, recipe.unit)
    net, codec = recipe.build(config, sets.train.skeleton.num_keypoints)
    config, notes = start_from_weights(net, config)
    if ranks.is_first:
        note(*notes)
    training, forward = prepare_training(config, net, ranks, device)
    set_training(training.net, config.train.freeze_bn)
    samples = recipe.samples(config, sets.train, codec, device, True)
    samples[0]  # compiles the codec before the workers are forked
    batches = recipe.batches(config, samples, ranks)
    loader = train_loader(samples, batches, config.train.num_workers, device)

    def endless() -> Iterator[dict[str, Any]]:
        for epoch in count(1):
            batches.epoch = epoch
            yield from loader

    def train_on(batch: dict[str, Any]) -> int:
        loss = batch_losses(config, forward, codec, batch, device)["loss"]
        training.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        optimizer_step(training, config.train.lr, config.train.clip_grad)
        return len(batch["index"])

    stream = endless()
    first = next(stream)  # the workers have started
    works = {
        "loader": (len(batch["index"]) for batch in stream),
        "step": (train_on(first) for _ in count()),
        "both": (train_on(batch) for batch in stream),
    }
    return {
        name: math.fsum(gather(measure(counts, seconds, device, ranks), ranks))
        for name, counts in works.items()
    }


def measure(counts: Iterator[int], seconds: float, device: torch.device, ranks: Ranks) -> float:
    """Return images per second: `counts` does a batch of work and yields its images each time.

    All processes end after the same number of batches: a training step waits for the others.
    """
    for _ in range(WARM_UP):
        next(counts)
    _wait_for(device)
    images, started = 0, time.perf_counter()
    while not images or not any_of(time.perf_counter() - started > seconds, ranks):
        images += next(counts)
    _wait_for(device)
    return images / (time.perf_counter() - started)


def _wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
