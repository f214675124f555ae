"""AI Challenger's files: the original form, its conversion, and what is wrong with bad ones."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import AIC, DatasetError, check, convert_aic, load_aic, load_coco

POINTS = [v for k in range(14) for v in (10 + k, 20 + 2 * k, 1 + k % 3)]  # codes 1, 2, 3, 1, ...


def record(name: str = "aa", **people: Any) -> dict[str, Any]:
    people = people or {"human1": ([5, 10, 45, 70], POINTS)}
    return {
        "url": "http://example.org/aa.jpg",
        "image_id": name,
        "human_annotations": {who: box for who, (box, _) in people.items()},
        "keypoint_annotations": {who: points for who, (_, points) in people.items()},
    }


def write(tmp_path: Path, *records: Any) -> Path:
    for name, size in (("aa", (80, 60)), ("bb", (50, 90))):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), image)
    file = tmp_path / "aic.json"
    file.write_text(json.dumps(list(records)))
    return file


def test_original_form(tmp_path: Path) -> None:
    people = {"human2": ([1, 2, 30, 40], POINTS), "human1": ([5, 10, 45, 70], POINTS)}
    persons = load_aic(write(tmp_path, record("aa"), record("bb", **people)), tmp_path)
    assert persons.skeleton is AIC
    assert persons.image_sizes.tolist() == [[80, 60], [50, 90]]  # from the pictures
    assert persons.image_index.tolist() == [0, 1, 1]
    assert persons.ids.tolist() == [1, 2, 3]
    assert persons.bbox_xyxy[0].tolist() == [5, 10, 45, 59]  # clipped to H - 1
    assert persons.bbox_xyxy[1].tolist() == [1, 2, 30, 40]
    assert persons.visible[0, :4].tolist() == [2, 1, 0, 2]  # COCO's codes
    assert persons.keypoints[0, :3].tolist() == [[10, 20], [11, 22], [0, 0]]
    assert persons.image_path(2) == tmp_path / "bb.jpg"


def test_conversion_reads_back_the_same(tmp_path: Path) -> None:
    file = write(tmp_path, record("aa"), record("bb"))
    assert convert_aic(file, tmp_path, tmp_path / "new" / "coco.json") == 2
    original, converted = load_aic(file, tmp_path), load_aic(tmp_path / "new/coco.json", tmp_path)
    for name in ("image_ids", "file_names", "image_sizes", "ids", "image_index", "bbox_xyxy"):
        np.testing.assert_array_equal(getattr(original, name), getattr(converted, name))
    np.testing.assert_array_equal(original.keypoints, converted.keypoints)
    np.testing.assert_array_equal(original.visible, converted.visible)
    assert load_coco(tmp_path / "new/coco.json", tmp_path).skeleton is AIC
    assert check(tmp_path / "new/coco.json", tmp_path) == []
    with pytest.raises(DatasetError, match="converted already"):
        convert_aic(tmp_path / "new/coco.json", tmp_path, tmp_path / "again.json")


def test_a_file_without_people(tmp_path: Path) -> None:
    empty = {"image_id": "aa", "human_annotations": {}, "keypoint_annotations": {}}
    persons = load_aic(write(tmp_path, empty), tmp_path)
    assert len(persons) == 0
    assert persons.keypoints.shape == (0, 14, 2)
    assert len(load_aic(write(tmp_path), tmp_path)) == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"image_id": 3}, r"aic\.json image 1 has no image_id \(text\)"),
        (3, "image 1: must be an object"),
        ({"image_id": "bb"}, r"image 1 \(bb\) needs the objects human_annotations"),
        (record("bb", human1=([1, 2, 3], POINTS)), r"\(bb\): box of human1 must be 4 numbers"),
        (record("bb", human1=([1, 2, 3, 4], POINTS[:-3])), "keypoints of human1 must be 42"),
        (record("bb", human1=([1, 2, 3, 4], [1, 2, 0] * 14)), r"human1 must be 1 .*, got 0"),
        (record("zz"), r"cannot read image .*zz\.jpg"),
        (record("bb") | {"human_annotations": {}}, "human1 has not both a box and keypoints"),
    ],
)
def test_bad_records_are_named(tmp_path: Path, bad: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load_aic(write(tmp_path, record(), bad), tmp_path)


def test_originals_given_to_the_coco_reader_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="AI Challenger's original files for load_aic"):
        load_coco(write(tmp_path, record()), tmp_path)
