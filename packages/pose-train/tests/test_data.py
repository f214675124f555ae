"""Loaders: each sample once per epoch, the same whoever makes it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pose_data import Augmentation, TopDown, load_coco, synthesize, with_shares
from pose_train import load_config
from pose_train.config.schema import AnnotationSet, Synthetic
from pose_train.distributed import Ranks
from pose_train.recipes import topdown
from pose_train.recipes.data import draw_images, load_annotated, notes
from pose_train.recipes.loaders import eval_loader, train_loader

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TopDown:
    root: Path = tmp_path_factory.mktemp("people")
    synthesize(root, num_train=6, num_val=1, image_size=(96, 64))
    persons = load_coco(root / "annotations/person_keypoints_train2017.json", root / "train2017")
    return TopDown(persons, (24, 32), lambda points, weights: (points, weights), Augmentation())


def test_drawn_pictures_hold_as_many_people_as_asked(tmp_path: Path) -> None:
    draw_images(Synthetic(1, 12, (96, 96), people=(1, 2)), tmp_path / "data", seed=0)
    persons = load_coco(
        tmp_path / "data/annotations/person_keypoints_val2017.json", tmp_path / "data/val2017"
    )
    counts = torch.bincount(torch.from_numpy(persons.image_index))
    assert set(counts.tolist()) == {1, 2}


@pytest.mark.parametrize("world_size", [1, 2])
def test_balanced_persons_under_several_processes(dataset: TopDown, world_size: int) -> None:
    """Each image comes equally often in an epoch of unchanged length, its persons in turn."""
    config = load_config("demo", ["train.batch_size=4"])
    plain = topdown.batches(config, dataset, Ranks(0, world_size))
    persons = with_shares(dataset.persons, balance="file_name")
    balanced = replace(dataset, persons=persons)
    ranks = [
        topdown.batches(config, balanced, Ranks(rank, world_size)) for rank in range(world_size)
    ]
    images = np.zeros(len(persons.image_ids))
    for epoch in range(60):
        drawn = []
        for batches in ranks:
            assert len(batches) == len(plain)
            batches.epoch = epoch
            drawn += [key for batch in batches for key in batch]
        assert len(set(drawn)) == len(drawn) == len(persons)
        images += np.bincount(persons.image_index[[index for _, index, _ in drawn]])
    assert np.ptp(np.bincount(persons.image_index)) >= 1
    np.testing.assert_allclose(images / 60, len(persons) / len(images), atol=0.2)


def samples(dataset: TopDown, epoch: int, num_workers: int) -> dict[int, torch.Tensor]:
    options = ["train.batch_size=4", f"train.num_workers={num_workers}"]
    batches = topdown.batches(load_config("demo", options), dataset, Ranks())
    batches.seed, batches.epoch = dataset.seed, epoch
    made = {}
    for batch in train_loader(dataset, batches, num_workers, CPU):
        assert len(batch["index"]) <= 4
        made |= dict(zip(batch["index"].tolist(), batch["image"], strict=True))
    return made


def test_every_sample_once_per_epoch(dataset: TopDown) -> None:
    for world_size in (1, 2):
        indices = []
        for rank in range(world_size):
            config = load_config("demo", ["train.batch_size=4"])
            batches = topdown.batches(config, dataset, Ranks(rank, world_size))
            loader = train_loader(dataset, batches, 0, CPU)
            assert len(loader) == -(-len(dataset) // (4 * world_size))
            indices += [index for batch in loader for index in batch["index"].tolist()]
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
    for world_size in (1, 3):
        indices = []
        for rank in range(world_size):
            part = Ranks(rank, world_size)
            for batch in eval_loader(replace(dataset, augment=None), 4, 0, CPU, part):
                indices += batch["index"].tolist()
        assert indices == list(range(len(dataset)))


def test_notices_come_once_for_several_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"train": "cat", "val": "cat", "other": "dog"}
    for name, category in files.items():
        content = {
            "images": [{"id": 1, "file_name": "x.jpg", "width": 50, "height": 50}],
            "categories": [{"id": 1, "name": category, "keypoints": ["nose", "tail"]}],
            "annotations": [{"id": 1, "image_id": 1, "keypoints": [9, 9, 2, 20, 20, 2]}],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    train, val, other = (
        load_annotated(tmp_path, AnnotationSet(f"{name}.json", "."), "coco", "data.root")
        for name in files
    )
    assert not caplog.records
    lines = notes(train, val, val)
    assert "note: 1 annotations have no category_id: the only one with keypoints" in lines
    assert len(lines) == len(set(lines)) > 1
    alone = notes(train)
    assert alone == [line.replace("note: ", "note: train.json: ") for line in lines]
    (named,) = [line for line in notes(train, other) if "sigma" in line and "dog" in line]
    assert named.startswith("note: other.json: skeleton of 'dog': ")
    load_coco(tmp_path / "val.json", tmp_path / ".")
    assert not caplog.records, "a notice is logged once"
