"""Loaders: each sample once per epoch, the same whoever makes it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pose_data import Augmentation, TopDown, load_coco, synthesize
from pose_train.data import eval_loader, train_loader


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TopDown:
    root: Path = tmp_path_factory.mktemp("people")
    synthesize(root, num_train=6, num_val=1, image_size=(96, 64))
    persons = load_coco(root / "annotations/person_keypoints_train2017.json", root / "train2017")
    return TopDown(persons, (24, 32), lambda points, weights: (points, weights), Augmentation())


def samples(dataset: TopDown, epoch: int, num_workers: int) -> dict[int, torch.Tensor]:
    loader = train_loader(dataset, 4, num_workers)
    loader.batch_sampler.epoch = epoch  # type: ignore[union-attr]
    made = {}
    for batch in loader:
        assert len(batch["index"]) <= 4
        made |= dict(zip(batch["index"].tolist(), batch["image"], strict=True))
    return made


def test_every_sample_once_per_epoch(dataset: TopDown) -> None:
    loader = train_loader(dataset, 4, 0)
    assert len(loader) == -(-len(dataset) // 4)
    indices = [index for batch in loader for index in batch["index"].tolist()]
    assert sorted(indices) == list(range(len(dataset)))


def test_samples_do_not_depend_on_workers(dataset: TopDown) -> None:
    here, there = samples(dataset, 3, 0), samples(dataset, 3, 2)
    assert here.keys() == there.keys() == set(range(len(dataset)))
    assert all(torch.equal(here[index], there[index]) for index in here)


def test_order_and_samples_change_with_the_epoch_and_repeat_with_the_seed(dataset: TopDown) -> None:
    first, again, other = (samples(dataset, epoch, 0) for epoch in (1, 1, 2))
    assert list(first) == list(again)
    assert list(first) != list(other)
    assert list(first) != list(samples(replace(dataset, seed=1), 1, 0))
    assert not all(torch.equal(first[index], other[index]) for index in first)


def test_evaluation_goes_in_order(dataset: TopDown) -> None:
    batches = eval_loader(replace(dataset, augment=None), 4, 0)
    indices = [index for batch in batches for index in batch["index"].tolist()]
    assert indices == list(range(len(dataset)))
