"""Load the two sets of a run and serve batches of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import DataLoader

from pose_data import Persons, TopDown, load_coco
from pose_train.config import AnnotationSet, ConfigError


def load_persons(root: Path, chosen: AnnotationSet) -> Persons:
    """Load one annotated set below a COCO-like root; raises ConfigError, DatasetError."""
    if not root.is_dir():
        raise ConfigError(f"data.root {root} does not exist or is not a folder")
    persons = load_coco(root / chosen.annotations, root / chosen.images)
    if not len(persons):
        raise ConfigError(f"{persons.annotation_file} holds no person with labelled keypoints")
    return persons


def count_shared_images(train: Persons, val: Persons) -> int:
    """Count the pictures with persons that are in both sets: such an AP says little."""
    of_train = {train.image_path(i).resolve() for i in range(len(train))}
    of_val = {val.image_path(i).resolve() for i in range(len(val))}
    return len(of_train & of_val)


class ShuffledBatches:
    """A batch sampler of (epoch, index) keys; set `epoch` before each pass.

    The order depends on (seed, epoch) alone. The epoch travels in the key because the workers'
    copies of the dataset live on from epoch to epoch.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count).tolist()
        for start in range(0, self.count, self.batch_size):
            yield [(self.epoch, index) for index in order[start : start + self.batch_size]]


def train_loader(dataset: TopDown, batch_size: int, num_workers: int) -> DataLoader[dict[str, Any]]:
    """Return a loader whose `batch_sampler` is a ShuffledBatches; its workers persist."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset without torch's base class
        batch_sampler=ShuffledBatches(len(dataset), batch_size, dataset.seed),
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_start_worker,
    )


def eval_loader(dataset: TopDown, batch_size: int, num_workers: int) -> DataLoader[dict[str, Any]]:
    """Return a loader of the dataset in order."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch_size,
        num_workers=num_workers,
        worker_init_fn=_start_worker,
    )


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # the processes are the parallelism; OpenCV's own threads get in the way
