"""Packs that are damaged, and what they cannot be used for."""

import functools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_data import (
    Augmentation,
    BottomUp,
    DatasetError,
    Pack,
    Persons,
    SceneAugmentation,
    TopDown,
    open_pack,
    pack,
)

INPUT = (48, 64)
FULL = Augmentation(rotate=30)


def copied(made: Pack, to: Path) -> Path:
    shutil.copytree(made.folder, to)
    return to


def change_a_byte(out: Path) -> None:
    index = json.loads((out / "pack-00001.json").read_text())
    with (out / "pack-00001.tar").open("r+b") as file:
        file.seek(index["offset"][1] + 300)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def edit(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        content = json.loads((out / name).read_text())
        (out / name).write_text(json.dumps(content | changes))

    return change


def cut(name: str, out: Path) -> None:
    os.truncate(out / name, 200)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            change_a_byte,
            r"pack-00001\.tar sample 00000007 \(person_keypoints_train2017\.json annota",
        ),
        (
            functools.partial(cut, "pack-00001.tar"),
            r"pack-00001\.tar has 200 bytes, its index says",
        ),
        (
            functools.partial(cut, "pack-00001.json"),
            r"pack-00001\.json is damaged; remove it and pack again: a value is missing or",
        ),
        (functools.partial(cut, "pack.json"), r"pack\.json: a value is missing or wrong"),
        (
            edit("pack-00001.json", crc32=[1]),
            r"pack-00001\.json is damaged; remove it .* array of size 1 into shape .6,",
        ),
        (edit("pack.json", bits="all"), r"pack\.json: bits is 'all'"),
        (edit("pack.json", per_shard=0), "count and per_shard must be at least 1"),
        (
            edit("pack.json", version=2),
            r"is of 'pose-data pack', version 2; this program reads 'po",
        ),
        (edit("pack.json", format="zip"), r"is of 'zip', version 1; this program reads"),
        (lambda out: (out / "pack.json").unlink(), r"is no pack: it has no pack\.json"),
        (lambda out: (out / "pack-00000.json").unlink(), "finish it with: pose-data pack this"),
    ],
)
def test_damage_is_named(
    people: Persons, packed: Pack, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    out = copied(packed, tmp_path / "out")
    damage(out)
    with pytest.raises(DatasetError, match=message):
        TopDown(people, INPUT, pack=open_pack(out))[7]


@pytest.mark.parametrize(
    ("input_size", "augment", "message"),
    [
        (
            INPUT,
            Augmentation(rotate=45),
            "augmentation rotate 45, packed for 30; ask for less, or pack again",
        ),
        (INPUT, Augmentation(rotate=30, scale=0.6), "augmentation scale 0.6, packed for 0.5"),
        (INPUT, Augmentation(rotate=30, shift=0.2), "augmentation shift 0.2, packed for 0.16"),
        ((96, 128), FULL, "an input of 96x128, packed for 48x64"),
    ],
)
def test_training_that_sees_more_is_refused(
    people: Persons, packed: Pack, input_size: Any, augment: Augmentation, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        TopDown(people, input_size, augment=augment, pack=packed)
    assert str(caught.value).endswith("into another folder, as with: pose-data pack this")


def test_training_that_sees_less_is_not(people: Persons, packed: Pack) -> None:
    narrow = Augmentation(rotate=10, scale=0.2, half_body_prob=0)
    for size, augment in [((36, 48), FULL), (INPUT, narrow), (INPUT, None)]:
        assert TopDown(people, size, augment=augment, pack=packed)[0]["image"].any()
    moved = replace(people, bbox_xyxy=people.bbox_xyxy * np.float32(0.2))  # smaller, elsewhere
    with pytest.raises(DatasetError, match="its box or its keypoints are others than when it was"):
        TopDown(moved, INPUT, augment=FULL, pack=packed)


def test_other_persons_are_refused(people: Persons, packed: Pack, tmp_path: Path) -> None:
    sizes = people.image_sizes + 1  # other images with the same ids
    with pytest.raises(
        DatasetError, match=r"persons are not in .*, such as person_keyp.* id 1; pa"
    ):
        TopDown(replace(people, image_sizes=sizes), INPUT, augment=FULL, pack=packed)
    renamed = replace(people, annotation_file=Path("other.json"))
    with pytest.raises(DatasetError, match=r"and has nothing of other\.json"):
        TopDown(renamed, INPUT, augment=FULL, pack=packed)
    with pytest.raises(DatasetError, match="holds persons, and images are wanted: top-down trains"):
        BottomUp(people, augment=SceneAugmentation(), pack=packed)
    with pytest.raises(ValueError, match="a pack is for training"):
        BottomUp(people, pack=packed)
    options: Any = {"per_shard": 6}
    out = copied(packed, tmp_path / "out")
    for other, why in [
        ((INPUT, Augmentation(rotate=10)), "holds another pack .extremes"),
        (((96, 128), FULL), "holds another pack .input_size"),
    ]:
        with pytest.raises(DatasetError, match=why):
            pack(people, out, *other, **options)
    assert sorted(out.iterdir()) == sorted(out / p.name for p in packed.folder.iterdir())
    with pytest.raises(DatasetError, match="is not empty, and no pack; give a new folder"):
        pack(people, people.image_dir, INPUT, FULL)
    with pytest.raises(ValueError, match="encoding must be one of jpeg, raw, got 'png'"):
        pack(people, tmp_path / "new", INPUT, FULL, encoding="png")
