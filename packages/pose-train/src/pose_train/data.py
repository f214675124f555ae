"""Load the two sets of a run and serve batches of them."""

from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from pose_data import GroupedBatches, Persons, TopDown, load_coco, start_worker
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


def train_loader(dataset: TopDown, batch_size: int, num_workers: int) -> DataLoader[dict[str, Any]]:
    """Return a loader of shuffled batches; set `batch_sampler.epoch` before each pass.

    Its workers persist. The order of samples depends on their number, the samples do not.
    """
    sampler = GroupedBatches(
        dataset.persons.image_index, batch_size, dataset.seed, lanes=max(1, num_workers)
    )
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset without torch's base class
        batch_sampler=sampler,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=start_worker,
    )


def eval_loader(dataset: TopDown, batch_size: int, num_workers: int) -> DataLoader[dict[str, Any]]:
    """Return a loader of the dataset in order."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch_size,
        num_workers=num_workers,
        worker_init_fn=start_worker,
    )
