"""One field damaged at a time: check, loading and evaluation must agree on every file.

pose-data and pose-eval do not import each other, so each reads annotations by itself; pose-train
evaluates the arrays that it loaded.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import DatasetError, Persons, check, load_coco
from pose_eval import ResultsError, SettingsError, evaluate
from pose_train.inference.evaluate import ground_truth

GONE: Any = object()
VALUES: list[Any] = [
    *(GONE, None, "", "1", "x", 0, 1, -1, 2, 1.0, 0.5, float("nan"), float("inf"), True, False),
    *([], [1], {}, 2**40, 2**63, 2**100, 1e20),
]
FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": (
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints"),
        *("keypoints", "segmentation"),
    ),
    "categories": ("id", "name", "keypoints", "skeleton", "supercategory"),
    "": ("images", "annotations", "categories", "info"),
}
NAMES = ["nose", "left_ear", "right_ear", "tail"]
SIGMAS = [0.05] * 4
COUNT = 5
# What `check` alone can know is wrong: images that are not there (a run looks, too, before its
# first step), areas and boxes that make a meaningless AP or cut people off.
OF_CHECK_ALONE = {"missing-file", "wrong-area", "points-outside-box"}


def good() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(COUNT):
        images.append({"id": i + 1, "file_name": f"{i}.png", "width": 64, "height": 48})
        x, y = rng.integers(2, 20, 2).tolist()
        points = [(x + 2, y + 3, 2), (x + 20, y + 5, 1), (x + 9, y + 21, 2), (0, 0, 0)]
        annotations.append(
            {
                "id": i + 1,
                "image_id": i + 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x, y, 24, 24],
                "area": 400.5,
                "num_keypoints": 3,
                "keypoints": [value for point in points for value in point],
            }
        )
    category = {"id": 1, "name": "mouse", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3], [3, 4]]}
    return {"images": images, "annotations": annotations, "categories": [category]}


def damages() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield content with one field changed, in one or in all records, and numbers in lists."""
    for part, keys in FIELDS.items():
        for key in keys:
            for value in VALUES:
                for where in ("one", "all") if part in ("images", "annotations") else ("all",):
                    content = good()
                    records = [content] if part == "" else content[part]
                    for record in records[3:4] if where == "one" else records:
                        if value is GONE:
                            record.pop(key, None)
                        else:
                            record[key] = copy.deepcopy(value)
                    shown = "gone" if value is GONE else json.dumps(value)
                    yield f"{part}[{where}].{key} = {shown}", content
    for key in ("bbox", "keypoints"):
        for value in VALUES[1:]:
            for where in ("one", "all"):
                for at in (0, 2):
                    content = good()
                    for record in content["annotations"][3 if where == "one" else 0 :]:
                        record[key][at] = copy.deepcopy(value)
                    yield f"annotations[{where}].{key}[{at}] = {json.dumps(value)}", content


def loaded(file: Path) -> Persons | None:
    """Load a file; None where it is refused."""
    try:
        return load_coco(file, file.parent, cache=False)
    except DatasetError:
        return None


def rows_near(persons: Persons) -> list[dict[str, Any]]:
    """Return a result for each person, the further off the later."""
    return [
        {
            "image_id": int(persons.image_ids[persons.image_index[i]]),
            "category_id": int(persons.category_ids[i]),
            "keypoints": np.c_[persons.keypoints[i] + i, persons.visible[i]].ravel().tolist(),
            "score": 0.9 - 0.1 * i,
        }
        for i in range(len(persons))
    ]


@pytest.mark.usefixtures("quiet")
def test_check_loading_and_evaluation_agree(tmp_path: Path) -> None:
    for i in range(COUNT):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((48, 64, 3), np.uint8))
    file = tmp_path / "gt.json"
    outcomes = {"fine": 0, "refused": 0}
    for name, content in damages():
        file.write_text(json.dumps(content))
        errors = {finding.slug for finding in check(file, tmp_path) if finding.is_error}
        persons = loaded(file)
        if persons is None:
            assert errors, f"check finds nothing, and loading refuses {name}"
            outcomes["refused"] += 1
            continue
        if len(persons) == COUNT:
            assert errors <= OF_CHECK_ALONE, f"{name} loads whole, and check finds {errors}"
        rows = rows_near(persons)
        try:
            as_loaded = evaluate(rows, ground_truth(persons), sigmas=SIGMAS).stats
            read_again = evaluate(rows, file, sigmas=SIGMAS).stats
        except (ResultsError, SettingsError) as error:
            raise AssertionError(f"{name} loads, and evaluation refuses it: {error}") from error
        assert as_loaded == read_again, name
        outcomes["fine"] += 1
    assert min(outcomes.values()) > 200
