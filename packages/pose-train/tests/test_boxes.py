"""Boxes and ids in JSON files, and which input they belong to."""

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import DatasetError
from pose_train.config.schema import ConfigError
from pose_train.files.boxes import Known, check_corners, key_of, known_of, read_boxes, read_ids
from pose_train.files.inputs import Input, find_inputs

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
        ("[7]", "row 0: must be an object, got int"),
        ('[{"bbox": [1, 2, 3, 4]}]', "row 0: has neither file_name nor image_id"),
        ('[{"image_id": 1, "bbox": [1, 2, 3]}]', "row 0: bbox must be 4 numbers, got 3"),
        ('[{"image_id": 1, "bbox": [1, NaN, 3, 4]}]', "row 0: bbox holds NaN or infinity"),
        ('[{"image_id": [1], "bbox": [1, 2, 3, 4]}]', "row 0: image_id must be a number or text"),
        (
            '[{"image_id": 1, "frame": "x", "bbox": [1, 2, 3, 4]}]',
            "row 0: frame must be an integer",
        ),
        ('[{"image_id": 1, "frame": -1, "bbox": [1, 2, 3, 4]}]', "row 0: frame must be .* from 0"),
        ('[{"image_id": 1, "bbox": null}]', "row 0: bbox is missing"),
        ('[{"image_id": 1, "bbox": "1 2 3 4"}]', "row 0: bbox must be 4 numbers"),
        ('[{"image_id": 1, "bbox": [[1], 2, 3, 4]}]', "row 0: bbox must be 4 numbers"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": "high"}]', "row 0: score must be a num"),
        ('[{"image_id": true, "bbox": [1, 2, 3, 4]}]', "row 0: image_id must be a number or text"),
        ('[{"image_id": 1.5, "bbox": [1, 2, 3, 4]}]', "row 0: image_id must be a number or text"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": []}]', "row 0: category_id must b"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 2}]', "row 0: iscrowd must be 0 or 1"),
        ('[{"file_name": 5, "bbox": [1, 2, 3, 4]}]', "row 0: file_name must be text"),
        (
            '[{"file_name": "x", "image_id": 1, "bbox": [1, 2, 3, 4]},'
            ' {"file_name": "x", "image_id": 2, "bbox": [1, 2, 3, 4]}]',
            "row 1: x has the image_id 2, in a row before 1",
        ),
        ('[{"image_id": 1, "bbox": [0.1, 0.2, 0.3, 0.4]}]', "are fractions .* beyond 0.6"),
        ('{"images": 5, "annotations": []}', "`images` must be a list"),
        ('{"images": [{"id": 1}], "annotations": []}', "image 0 .*: file_name is missing"),
        ('{"images": [{"id": 1e99, "file_name": "x"}], "annotations": []}', "id must be an intege"),
        (
            '{"images": [{"id": 1, "file_name": "x"}, {"id": 1, "file_name": "y"}]}',
            "image 1: the id 1 is used twice",
        ),
        (
            '{"images": [{"id": 1, "file_name": "x"}, {"id": 2, "file_name": "x"}]}',
            "image 1: x is listed twice, with two ids",
        ),
        ('{"categories": [{}], "annotations": []}', "category 0: id is missing"),
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
    np.testing.assert_allclose(first.boxes[None], [[1, 2, 4, 6, 0.9, 1]])
    assert (first.ids, third.ids) == ({None: 785}, {})
    assert boxes.notices == (f"{path}: left out 1 box with a score below 0.3 (--box-score)",)
    assert second is None
    np.testing.assert_allclose(third.boxes[None], [[1, 2, 4, 6, 0.4, 1]])
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
    assert (known.ids, known.size) == ({None: 1}, (9, 8))
    assert len(boxes.notices) == 2
    content["categories"] = [{"id": 8, "name": "x", "keypoints": ["nose"]}, {"id": 7}]
    boxes = read_boxes(written(tmp_path, content))
    assert boxes.categories == {8: 1}
    assert boxes.boxes["2.jpg"][None][0, 4:] == pytest.approx([8 / 9, 8])


def test_null_and_whole_numbers_of_any_type(tmp_path: Path) -> None:
    row = {"bbox": [1, True, 3, 4], "score": None, "frame": None, "category_id": None}
    row |= {"iscrowd": None}
    rows = [row | {"image_id": 7.0, "file_name": None}, row | {"image_id": "7"}]
    content = {"images": None, "categories": None, "annotations": rows}
    boxes = read_boxes(written(tmp_path, content))
    (known,) = known_of(boxes, inputs_of(tmp_path, "7.jpg"))
    assert known is not None
    assert known.boxes[None].tolist() == [[1, 1, 4, 5, 1, 1]] * 2


IDS: dict[str, dict[int | None, int | str]] = {
    "a.jpg": {None: 12},
    "b.jpg": {None: "walk/b"},
    "c.mp4": {0: 90, 1: 91},
    "d.mp4": {},
}


def test_image_ids_of_a_results_file(tmp_path: Path) -> None:
    rows = [
        BOX | {"image_id": 12, "file_name": "a.jpg"},
        BOX | {"image_id": 12, "file_name": "a.jpg"},
        BOX | {"image_id": "walk/b"},
        BOX | {"image_id": 90, "file_name": "c.mp4", "frame": 0},
        BOX | {"image_id": 91, "file_name": "c.mp4", "frame": 1},
        *(BOX | {"image_id": "d", "frame": frame} for frame in (0, 1)),  # names the video
    ]
    boxes = read_boxes(written(tmp_path, rows))
    assert boxes.notices == ()
    known = known_of(boxes, inputs_of(tmp_path, *IDS))
    assert [each and each.ids for each in known] == [*IDS.values()]
    shared = [BOX | {"image_id": 0, "file_name": name} for name in ("a.jpg", "b.jpg")]
    boxes = read_boxes(written(tmp_path, shared))
    assert boxes.ids == {}
    assert "image_id 0 is of several images or frames: these are numbered" in boxes.notices[0]


def test_a_box_keeps_its_category(tmp_path: Path) -> None:
    """Of several with keypoints, those that have as many as the network; also those of gt."""
    categories = [{"id": 9, "name": "hand", "keypoints": ["tip"]}]
    categories += [{"id": i, "name": str(i), "keypoints": ["a", "b"]} for i in (3, 4)]
    categories.append({"id": 5, "name": "ball"})
    rows = [BOX | {"image_id": 1, "category_id": i} for i in (3, 4, 9, 5, 4)]
    images = [{"id": 1, "file_name": "x.jpg"}]
    content = {"images": images, "categories": categories, "annotations": rows}
    boxes = read_boxes(written(tmp_path, content), num_keypoints=2)
    assert boxes.boxes["x.jpg"][None][:, 5].tolist() == [3, 4, 4]
    assert boxes.fitting(2) == [3, 4]
    assert "left out 2 boxes of other categories" in boxes.notices[0]
    gt = read_ids(tmp_path / "boxes.json")
    for row in rows:
        row["image_id"] = "x"
    boxes = read_boxes(written(tmp_path, rows), gt=gt, num_keypoints=2)
    assert boxes.boxes["x"][None][:, 5].tolist() == [3, 4, 4]
    boxes = read_boxes(written(tmp_path, rows[2:3]), gt=gt, num_keypoints=2)
    assert boxes.boxes["x"][None][:, 5].tolist() == [3], "a detector's number for people"
    gt = dataclasses.replace(gt, categories={7: 2})
    rows.append(BOX | {"image_id": "x", "category_id": 1})
    boxes = read_boxes(written(tmp_path, rows), gt=gt, num_keypoints=2)
    assert boxes.boxes["x"][None][:, 5].tolist() == [7], "COCO's person, for gt's only category"


def known_corners(count: int, box: list[float]) -> list[Known | None]:
    x, y, w, h = box
    return [Known({None: np.array([[x, y, x + w, y + h, 1, 1]] * count)})]


def test_corners_are_refused(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, "x.png")
    cv2.imwrite(str(inputs[0].path), np.zeros((100, 200, 3), np.uint8))
    file = read_boxes(written(tmp_path, []))
    with pytest.raises(DatasetError, match=r"look like x1, y1, x2, y2, such as \[90.0, 20.0, 19"):
        check_corners(file, inputs, known_corners(12, [90, 20, 190, 95]))
    (notice,) = check_corners(file, inputs, known_corners(3, [90, 20, 190, 95]))
    assert "in 200x100; bbox is x, y, width, height" in notice
    for box in ([90, 20, 100, 75], [-10, -10, 220, 120], [150, 20, 60, 70]):
        assert not check_corners(file, inputs, known_corners(12, box)), (
            "in it, around it, beyond it"
        )
    inputs[0].path.write_bytes(b"no picture")
    assert not check_corners(file, inputs, known_corners(12, [90, 20, 190, 95]))
