"""Data that several test files read."""

import pytest

from pose_data import HARD, Augmentation, Pack, Persons, load_coco, pack, synthesize


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Persons:
    """Drawn people; they are large for an input of 48x64, so that they are stored smaller."""
    out = tmp_path_factory.mktemp("people") / "data"
    root = synthesize(out, num_train=6, num_val=1, scene=HARD)
    return load_coco(root / "annotations/person_keypoints_train2017.json", root / "train2017")


@pytest.fixture(scope="session")
def packed(people: Persons, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack that the tests may read but not change; three shards or more."""
    out = tmp_path_factory.mktemp("packs") / "jpeg"
    return pack(
        people, out, (48, 64), Augmentation(rotate=30), per_shard=6, command="pose-data pack this"
    )
