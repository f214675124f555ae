"""Boxes and ids in JSON files, and which input they belong to."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_data import DatasetError
from pose_train.boxes import key_of, known_of, read_boxes, read_ids
from pose_train.config import ConfigError
from pose_train.inputs import Input, find_inputs

BOX = {"bbox": [1, 2, 3, 4]}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def inputs_of(tmp_path: Path, *names: str) -> list[Input]:
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    return find_inputs([str(tmp_path / "in")])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("nonsense", "is not a JSON file"),
        ('{"images": []}', "must be a list of boxes"),
        ("[7]", "row 0 must be an object"),
        ('[{"bbox": [1, 2, 3, 4]}]', "row 0 has neither file_name nor image_id"),
        ('[{"image_id": 1, "bbox": [1, 2, 3]}]', "row 0: bbox must be x, y, width, height"),
        ('[{"image_id": 1, "bbox": [1, NaN, 3, 4]}]', "row 0: the box .* is not finite"),
        ('[{"image_id": [1], "bbox": [1, 2, 3, 4]}]', "row 0: image_id must be a number or text"),
        ('[{"image_id": 1, "frame": "x", "bbox": [1, 2, 3, 4]}]', "row 0: frame must be a number"),
        ('{"images": [{"id": 1}], "annotations": []}', "image 0 must be an object with id and"),
        (
            '{"images": [{"id": 1, "file_name": "x"}, {"id": 2, "file_name": "x"}]}',
            "image 1: x stands there for the second time",
        ),
        ('{"categories": [{}], "annotations": []}', "`categories` must be objects with an id"),
    ],
)
def test_bad_boxes_are_named(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_boxes(written(tmp_path, rows))


def test_ids_need_images(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="must be a COCO annotation file with `images`"):
        read_ids(written(tmp_path, [BOX | {"image_id": 1}]))


def test_boxes_belong_to_pictures_by_name(tmp_path: Path) -> None:
    rows = [
        {"image_id": 785, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"file_name": "walk/seven.jpg", "bbox": [1, 2, 3, 4], "score": 0.4},
        {"image_id": 785, "bbox": [5, 5, 5, 5], "score": 0.1},
    ]
    path = written(tmp_path, "")
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    boxes = read_boxes(path, min_score=0.3)
    inputs = inputs_of(tmp_path, "000000000785.jpg", "other.jpg", "seven.png")
    first, second, third = known_of(boxes, inputs)
    assert first is not None
    assert third is not None
    np.testing.assert_allclose(first.boxes[None], [[1, 2, 4, 6, 0.9]])
    assert second is None
    np.testing.assert_allclose(third.boxes[None], [[1, 2, 4, 6, 0.4]])
    assert [key_of(name) for name in ("000000000785.jpg", "a/v1.2", "0")] == ["785", "v1.2", "0"]
    with pytest.raises(ConfigError, match=r"names none of the inputs: it has 785, the first is o"):
        known_of(boxes, inputs[1:2])


def test_pictures_of_one_name_in_two_folders_keep_their_boxes(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, "a/x.jpg", "b/x.jpg", "x.jpg", "b/y.jpg", "b/y.png")
    of = {entry.name: place for place, entry in enumerate(inputs)}
    rows = [BOX | {"file_name": name, "score": i / 9} for i, name in enumerate(of)]
    known = known_of(read_boxes(written(tmp_path, rows)), inputs)
    for name, place in of.items():
        found = known[place]
        assert found is not None
        assert found.boxes[None][0, 4] == pytest.approx(list(of).index(name) / 9)
    # Names that only one of them can have.
    known = known_of(read_boxes(written(tmp_path, [BOX | {"file_name": "b/x.png"}])), inputs)
    assert [place for place, each in enumerate(known) if each] == [of["b/x.jpg"]]
    (only,) = known_of(
        read_boxes(written(tmp_path, [BOX | {"file_name": "elsewhere/x.jpg"}])),
        inputs[of["a/x.jpg"] :][:1],
    )
    assert only is not None
    # And others.
    with pytest.raises(ConfigError, match=r"x could be .*/a/x\.jpg or .*/x\.jpg"):
        known_of(read_boxes(written(tmp_path, [BOX | {"image_id": "x"}])), inputs)
    both = [BOX | {"file_name": "c/x.jpg"}, BOX | {"file_name": "d/x.jpg"}]
    with pytest.raises(ConfigError, match=r"a/x\.jpg could be c/x\.jpg or d/x\.jpg"):
        known_of(read_boxes(written(tmp_path, both)), inputs[of["a/x.jpg"] :][:1])


def test_boxes_of_people_alone(tmp_path: Path) -> None:
    """As a detector of COCO's 80 categories writes them, or an annotation file has them."""
    inputs = inputs_of(tmp_path, "1.jpg", "2.jpg")
    rows = [BOX | {"image_id": 1, "category_id": i, "score": i / 9} for i in (1, 7, 1, 8)]
    rows.append({"image_id": 1, "category_id": 1, "bbox": [1, 2, 0, 4]})
    boxes = read_boxes(written(tmp_path, rows))
    (known, nothing) = known_of(boxes, inputs)
    assert known is not None
    assert nothing is None
    assert known.boxes[None][:, 4].tolist() == pytest.approx([1 / 9, 1 / 9])
    assert [notice.partition("left out ")[2] for notice in boxes.notices] == [
        "2 boxes of other categories",
        "1 box without an area",
    ]
    (known, _) = known_of(read_boxes(written(tmp_path, [rows[1]])), inputs)
    assert known is not None, "one category is people, whatever its number"
    with pytest.raises(DatasetError, match="has boxes of the categories 7, 8; 1 would be people"):
        read_boxes(written(tmp_path, [rows[1], rows[3]]))
    content = {
        "images": [{"id": 1, "file_name": "2.jpg", "width": 9, "height": 8}],
        "categories": [{"id": 7, "name": "person"}, {"id": 8, "name": "dog"}],
        "annotations": [*rows[1::2], rows[1] | {"iscrowd": 1}],
    }
    boxes = read_boxes(written(tmp_path, content))
    (nothing, known) = known_of(boxes, inputs)
    assert nothing is None
    assert known is not None
    assert known.boxes[None][:, 4].tolist() == pytest.approx([7 / 9])
    assert (known.image_id, known.size) == (1, (9, 8))
    assert len(boxes.notices) == 2
    content["categories"] = [{"id": 8, "name": "x", "keypoints": ["nose"]}, {"id": 7}]
    boxes = read_boxes(written(tmp_path, content))
    assert boxes.category_id == 8
    assert [b[0, 4] for b in boxes.boxes["2.jpg"].values()] == pytest.approx([8 / 9])
