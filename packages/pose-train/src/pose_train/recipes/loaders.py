"""Which samples come when, and the processes that make them."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from pose_data import BottomUp, GroupedBatches, Persons, TopDown, start_worker
from pose_data.persons import sources_of
from pose_data.samples.scene import resize_for_test
from pose_train.config.schema import Config, ConfigError
from pose_train.cores import allowed_workers
from pose_train.distributed import Ranks
from pose_train.words import are_notes_shown

GRACE = 15.0  # seconds
Batches = Iterable[dict[str, Any]]
Rows = NDArray[np.int64]


def make_batches(
    config: Config,
    persons: Persons,
    image_index: Rows,
    draw_rows: Callable[[np.random.Generator], Rows],
    ranks: Ranks,
) -> GroupedBatches:
    """Return the order of training samples of this process; set its `epoch` and `start`.

    image_index (N,): the image of each sample. draw_rows: draws the samples of an epoch, where the
    sources of persons have ratios or shares.
    """
    sources = sources_of(persons)
    has_shares = any(source.shares is not None for source in sources)
    is_drawn = has_shares or any(source.ratio != 1 for source in sources)
    try:
        return GroupedBatches(
            image_index,
            config.train.batch_size,
            config.seed,
            ranks.rank,
            ranks.world_size,
            lanes=max(1, config.train.num_workers),
            rows=draw_rows if is_drawn else None,
            spread=has_shares,
        )
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error


def train_loader(
    dataset: TopDown | BottomUp, batches: GroupedBatches, num_workers: int, device: torch.device
) -> DataLoader[dict[str, Any]]:
    """Return a loader of training batches; its workers live on from epoch to epoch."""
    persistent = num_workers > 0
    return _loader(
        dataset, num_workers, device, batch_sampler=batches, persistent_workers=persistent
    )


def eval_loader(
    dataset: TopDown | BottomUp,
    batch_size: int,
    num_workers: int,
    device: torch.device,
    ranks: Ranks,
) -> DataLoader[dict[str, Any]]:
    """Return a loader of this process's part of a dataset, in order."""
    part = own_part(len(dataset), ranks)
    num_workers = num_workers if part else 0
    return _loader(dataset, num_workers, device, sampler=part, batch_size=batch_size)


def scene_loader(
    dataset: BottomUp,
    part: Iterable[int],
    batch_size: int,
    num_workers: int,
    device: torch.device,
    stack: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
) -> DataLoader[dict[str, Any]]:
    """Return a loader of test samples whose batches hold images of one size.

    part: the samples to load, where several processes share the work. stack: makes a batch of them.
    """
    batches = same_size_batches(dataset, part, batch_size)
    num_workers = num_workers if batches else 0
    return _loader(dataset, num_workers, device, batch_sampler=batches, collate_fn=stack)


def _loader(
    dataset: TopDown | BottomUp, num_workers: int, device: torch.device, **options: Any
) -> DataLoader[dict[str, Any]]:
    """Return torch's loader with what all of ours have in common."""
    num_workers = allowed_workers(num_workers)
    # Forked ones share the annotations; those that Python 3.14 starts unasked get a copy each.
    forked = num_workers > 0 and sys.platform == "linux"
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset without torch's base class
        num_workers=num_workers,
        multiprocessing_context="fork" if forked else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=start_sampling,
        generator=torch.Generator(),  # so that a new loader takes no number from the global one
        **options,
    )


def same_size_batches(dataset: BottomUp, part: Iterable[int], batch_size: int) -> list[list[int]]:
    """Group the samples by the sizes at which the network sees them, in order within a size."""
    sizes = dataset.persons.image_sizes[dataset.images].tolist()
    short, smallest = min(dataset.input_size), min(dataset.scale_factors)
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for index in part:
        width, height = sizes[index]
        resized = tuple(
            resize_for_test((width, height), short, factor, smallest).size
            for factor in (1.0, *dataset.scale_factors)
        )
        groups.setdefault(resized, []).append(index)
    return [
        group[start : start + batch_size]
        for group in groups.values()
        for start in range(0, len(group), batch_size)
    ]


def own_part(count: int, ranks: Ranks) -> range:
    """Return which of `count` samples are this process's."""
    first, last = (count * (ranks.rank + i) // ranks.world_size for i in (0, 1))
    return range(first, last)


def progress_bar(batches: Batches, ranks: Ranks, title: str = "evaluation") -> Batches:
    """Yield batches; the first process shows on a line how far it is."""
    # None: shown on a terminal alone.
    hidden = None if ranks.is_first and are_notes_shown() else True
    bar: Batches = tqdm(batches, desc=title, unit="batch", leave=False, disable=hidden)
    return bar


def start_sampling(worker: int) -> None:
    """Prepare a process that makes samples; for torch's DataLoader(worker_init_fn=...).

    Whoever stops a run may signal all its processes. Those that make samples go on for a while, so
    that the one that trains can end its step and save.
    """
    start_worker(worker)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    timer = threading.Timer(GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()
