"""Files damaged at random: loading says what is wrong or works, checking always works."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pose_data import (
    HARD,
    DatasetError,
    check,
    load_aic,
    load_coco,
    load_detections,
    synthesize,
)

ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 1e300, float("nan"), float("inf"), 2**63, 2**70, -(2**64)),
    *("", "x", "1", "\ud800", "\0", [], {}, [[]], [None], {"a": 1}, [1, 2, 3], [1] * 51),
    *([[1, 2], [3, 4]], [[1, 2, 3, 4, 5, 6]]),
    *({"counts": [72 * 96], "size": [72, 96]}, {"counts": "abc", "size": [72, 96]}),
    *({"counts": None, "size": None}, {"counts": [1], "size": [1, 1]}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List where in a JSON value something stands, not too deep in long lists."""
    if path:
        yield path
    keys = (
        value
        if isinstance(value, dict)
        else range(min(len(value), 6))
        if isinstance(value, list)
        else ()
    )
    for key in keys:
        yield from places(value[key], (*path, key))


def damaged(rng: random.Random, value: Any) -> Any:
    """Return a copy in which something is another thing, is missing, or is there twice."""
    value = copy.deepcopy(value)
    *path, key = rng.choice(list(places(value)))
    inner = value
    for step in path:
        inner = inner[step]
    if rng.random() < 0.8:
        inner[key] = copy.deepcopy(rng.choice(ODD))
    elif isinstance(inner, list) and rng.random() < 0.5:
        inner.append(copy.deepcopy(inner[key]))
    else:
        del inner[key]
    return value


def outcomes(load: Callable[[], object], count: int, write: Callable[[int], None]) -> set[str]:
    """Try a file again and again; anything but a DatasetError ends the test."""
    found, messages = set(), []
    for number in range(count):
        write(number)
        try:
            load()
            found.add("loaded")
        except DatasetError as error:
            messages.append(str(error))
            found.add("refused")
    assert all("damaged.json" in message or "image" in message for message in messages)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage")
    options: dict[str, Any] = {"num_train": 3, "num_val": 1, "image_size": (96, 72), "scene": HARD}
    synthesize(root / "coco", **options, seed=2)
    synthesize(root / "aic", **options, layout="aic")
    return root


def test_coco_files(data: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    whole = json.loads((data / "coco/annotations/person_keypoints_train2017.json").read_text())
    images, file = data / "coco/train2017", tmp_path / "damaged.json"

    def write(_: int) -> None:
        file.write_text(json.dumps(damaged(rng, whole)))

    assert outcomes(lambda: load_coco(file, images), 120, write) == {"loaded", "refused"}
    assert outcomes(lambda: check(file, images), 120, write) == {"loaded"}


def test_bytes(data: Path, tmp_path: Path) -> None:
    rng = random.Random(2)
    whole = (data / "coco/annotations/person_keypoints_train2017.json").read_bytes()
    images, file = data / "coco/train2017", tmp_path / "damaged.json"

    def write(number: int) -> None:
        place = rng.randrange(len(whole))
        rest = b"" if number % 2 else bytes([rng.randrange(256)]) + whole[place + 1 :]
        file.write_bytes(whole[:place] + rest)

    assert "refused" in outcomes(lambda: load_coco(file, images), 80, write)
    assert outcomes(lambda: check(file, images), 80, write) == {"loaded"}


def test_aic_files(data: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    whole = json.loads((data / "aic/keypoint_train_annotations.json").read_text())
    images, file = data / "aic/keypoint_train_images", tmp_path / "damaged.json"

    def write(_: int) -> None:
        file.write_text(json.dumps(damaged(rng, whole)))

    assert "refused" in outcomes(lambda: load_aic(file, images), 120, write)


def test_detections(data: Path, tmp_path: Path) -> None:
    rng = random.Random(4)
    annotations = data / "coco/annotations/person_keypoints_train2017.json"
    pictures, file = load_coco(annotations, data / "coco/train2017"), tmp_path / "damaged.json"
    whole = [
        {"image_id": row["image_id"], "category_id": 1, "bbox": row["bbox"], "score": 0.5}
        for row in json.loads(annotations.read_text())["annotations"]
    ]

    def write(_: int) -> None:
        file.write_text(json.dumps(damaged(rng, whole)))

    assert outcomes(lambda: load_detections(file, pictures), 120, write) == {"loaded", "refused"}
    assert outcomes(lambda: check(annotations, results=file), 120, write) == {"loaded"}
