"""Boxes of a detector and of whole pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_data import DatasetError, Persons, load_coco, load_detections, whole_image_boxes


@pytest.fixture
def pictures(tmp_path: Path) -> Persons:
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 90 + i, "height": 60} for i in (4, 9)]
    file = tmp_path / "gt.json"
    file.write_text(json.dumps({"images": images, "annotations": []}))
    return load_coco(file, tmp_path)


def row(image_id: int, score: Any, **changes: Any) -> dict[str, Any]:
    box = [-3.5, 5, 20, 30]
    return {"image_id": image_id, "category_id": 1, "bbox": box, "score": score} | changes


def load(tmp_path: Path, pictures: Persons, rows: Any, **options: Any) -> Persons:
    file = tmp_path / "detections.json"
    file.write_text(json.dumps(rows))
    return load_detections(file, pictures, **options)


def test_rows_become_persons_without_labels(tmp_path: Path, pictures: Persons) -> None:
    found = load(tmp_path, pictures, [row(9, 0.5), row(4, 0.25), row(9, 0.75, category_id=3)])
    assert found.ids.tolist() == [0, 1]
    assert found.image_index.tolist() == [1, 0]
    assert found.bbox_xyxy.tolist() == [[-3.5, 5, 16.5, 35]] * 2  # not clipped
    assert found.scores is not None
    assert found.scores.tolist() == [0.5, 0.25]
    assert not found.visible.any()
    assert found.keypoints.shape == (2, 17, 2)
    assert "1 boxes of other categories than 1 left out" in found.notices[0]
    assert found.image_path(0).name == "9.jpg"


def test_threshold_and_limit(tmp_path: Path, pictures: Persons) -> None:
    rows = [row(4, score) for score in (0.1, 0.9, 0.3, 0.5, 0.3)] + [row(9, 0.2)]
    kept = load(tmp_path, pictures, rows, score_threshold=0.3)
    assert kept.ids.tolist() == [1, 2, 3, 4]  # a score at the threshold stays
    best = load(tmp_path, pictures, rows, per_image=3)
    assert best.ids.tolist() == [1, 2, 3, 5]  # of equal scores the first
    assert load(tmp_path, pictures, rows, score_threshold=2).ids.tolist() == []


def test_empty_boxes_are_left_out(tmp_path: Path, pictures: Persons) -> None:
    found = load(tmp_path, pictures, [row(4, 0.5, bbox=[1, 2, 0, 5]), row(4, 0.4)])
    assert found.ids.tolist() == [1]
    assert "1 empty boxes left out" in found.notices[0]


def test_whole_pictures(pictures: Persons) -> None:
    found = whole_image_boxes(pictures)
    assert found.bbox_xyxy.tolist() == [[0, 0, 94, 60], [0, 0, 99, 60]]
    assert found.image_index.tolist() == [0, 1]
    assert np.array_equal(found.scores, [1, 1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "must be a list of detections"),
        ([row(4, 0.5), 3], "detection 1: must be an object"),
        ([row(4, 0.5), row(5, 0.5)], r"detection 1: image_id 5 is not an image .*1 of 2"),
        ([row(4, 0.5, bbox=[1, 2, 3])], "detection 0: bbox must be 4 numbers, got 3"),
        ([row(4, 0.5, bbox=[1, 2, 3, None])], "detection 0: bbox must be 4 numbers"),
        ([row(4, 0.5, bbox=None)], "detection 0: bbox is missing"),
        ([row(4, 0.5), row(4, float("nan"))], "detection 1: score must be a number, got nan"),
        ([row(4, None)], "detection 0: score is missing"),
        ([row(4, "high")], "detection 0: score must be a number"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, pictures: Persons, rows: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, pictures, rows)


def test_an_empty_list_holds_no_boxes(tmp_path: Path, pictures: Persons) -> None:
    assert len(load(tmp_path, pictures, [])) == 0


def test_impossible_options(tmp_path: Path, pictures: Persons) -> None:
    with pytest.raises(DatasetError, match=r"per_image >= 1, got 0\.0 and 0"):
        load(tmp_path, pictures, [], per_image=0)
