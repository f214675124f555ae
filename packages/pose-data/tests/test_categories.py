"""Files with several categories, or odd ones: whose keypoints are loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from pose_data import DatasetError, check, load_coco, load_detections

CAT = {"id": 1, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"]}
DOG = CAT | {"id": 2, "name": "dog"}
FISH = {"id": 3, "name": "fish", "keypoints": ["snout", "tail"]}
CAR = {"id": 4, "name": "car"}


def animal(number: int, category: Any, count: int = 3) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": 1,
        "category_id": category,
        "bbox": [5, 5, 40, 30],
        "keypoints": [value for k in range(count) for value in (10 + 5 * k, 12 + k, 2)],
    }


def write(folder: Path, categories: Any, *annotations: dict[str, Any]) -> Path:
    image = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 60}
    content = {"images": [image], "annotations": annotations, "categories": categories}
    file = folder / "gt.json"
    file.write_text(json.dumps(content))
    return file


def refused(file: Path) -> str:
    """Return what loading says; `check` must have found the same."""
    with pytest.raises(DatasetError) as caught:
        load_coco(file, file.parent)
    records = [record for found in check(file) if found.is_error for record in found.records]
    assert str(caught.value) in records
    return str(caught.value)


def test_one_skeleton_in_two_categories(tmp_path: Path) -> None:
    persons = load_coco(write(tmp_path, [CAT, DOG], animal(1, 1), animal(2, 2)), tmp_path)
    assert persons.category_ids.tolist() == [1, 2]
    assert [category.name for category in persons.categories] == ["cat", "dog"]


def test_the_used_category_counts_not_the_first(tmp_path: Path) -> None:
    file = write(tmp_path, [FISH, CAR, DOG], animal(1, 2), animal(2, 2))
    persons = load_coco(file, tmp_path)
    assert persons.skeleton.keypoints == tuple(DOG["keypoints"])
    assert persons.skeleton.flip_pairs == ((1, 2),)
    assert persons.category_ids.tolist() == [2, 2]
    assert not [found for found in check(file) if found.is_error]


def test_different_skeletons_must_be_chosen_from(tmp_path: Path) -> None:
    file = write(tmp_path, [CAT, FISH], animal(1, 1), animal(2, 3, 2))
    assert "data.categories: [cat]" in refused(file)
    for chosen in ("fish", 3):
        persons = load_coco(file, tmp_path, categories=[chosen])
        assert persons.skeleton.keypoints == ("snout", "tail")
        assert persons.ids.tolist() == [2]
        assert any("1 annotations of other categories" in notice for notice in persons.notices)
    with pytest.raises(DatasetError, match=r"no category 'bird'; it has cat \(id 1\), fish"):
        load_coco(file, tmp_path, categories=["bird"])


def test_ids_of_categories(tmp_path: Path) -> None:
    for given, own in (("1", 1), (1.0, 1), (1, "1"), (None, 7)):
        file = write(tmp_path, [CAT | {"id": given}], animal(1, own))
        assert load_coco(file, tmp_path).category_ids.tolist() == [int(own)]
    file = write(tmp_path, [CAT, CAR], animal(1, None))
    persons = load_coco(file, tmp_path)
    assert persons.category_ids.tolist() == [1]
    assert any("no category_id: the only one with keypoints" in n for n in persons.notices)
    assert "there are 2 categories" in refused(write(tmp_path, [CAT, DOG], animal(1, None)))
    for bad in (True, 0.5, [1], "x", {}):
        file = write(tmp_path, [CAT | {"id": bad}], animal(1, 1))
        assert "id must be an integer" in refused(file)
    assert "two categories have the same id" in refused(write(tmp_path, [CAT, CAT], animal(1, 1)))


def test_annotations_of_no_category(tmp_path: Path) -> None:
    file = write(tmp_path, [CAT], animal(1, 1), animal(2, 9))
    persons = load_coco(file, tmp_path)
    assert persons.ids.tolist() == [1]
    assert any("category_id (9) is not in `categories`" in notice for notice in persons.notices)
    assert "which are not in `categories` (1)" in refused(write(tmp_path, [CAT], animal(1, 9)))


@pytest.mark.parametrize("categories", [None, [], [{"id": 5}], [{"id": 5, "keypoints": None}]])
def test_no_names(tmp_path: Path, categories: Any) -> None:
    persons = load_coco(write(tmp_path, categories, animal(1, 5)), tmp_path)
    assert persons.skeleton.num_keypoints == 3
    assert persons.category_ids.tolist() == [5]


def test_names_that_are_none(tmp_path: Path) -> None:
    for names in ("nose", 3, [1, 2, 3], {"a": 1}, True):
        message = refused(write(tmp_path, [CAT | {"keypoints": names}], animal(1, 1)))
        assert "must be a list of names" in message
    message = refused(write(tmp_path, [CAT | {"keypoints": ["a", "b", "A"]}], animal(1, 1)))
    assert "'A' is listed twice" in message


def test_detected_boxes_have_their_category(tmp_path: Path) -> None:
    pictures = load_coco(write(tmp_path, [CAT, DOG], animal(1, 1), animal(2, 2)), tmp_path)
    rows = [
        {"image_id": 1, "category_id": number, "bbox": [1, 2, 30, 30], "score": 0.5}
        for number in (2, 1, 4)
    ]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(rows))
    assert load_detections(file, pictures).category_ids.tolist() == [2, 1]
    # A detector of one class has an id of its own; so have the annotations.
    one = load_coco(write(tmp_path, [DOG], animal(1, 2)), tmp_path)
    file.write_text(json.dumps([row | {"category_id": 1} for row in rows]))
    assert load_detections(file, one).category_ids.tolist() == [2, 2, 2]


def test_odd_names_and_links_are_said_and_read_on(tmp_path: Path) -> None:
    odd = CAT | {"keypoints": ["nose", "left_ear", "tail"], "skeleton": [[0, 1]]}
    file = write(tmp_path, [odd], animal(1, 1))
    assert {"wrong-skeleton", "lone-side"} <= {found.slug for found in check(file)}
    skeleton = load_coco(file, tmp_path).skeleton
    assert (skeleton.links, skeleton.flip_pairs) == ((), ())
    given = load_coco(file, tmp_path, flip_pairs=[["left_ear", "tail"]]).skeleton
    assert given.flip_pairs == ((1, 2),)


def test_no_id_is_left(tmp_path: Path) -> None:
    file = write(tmp_path, [CAT], animal(2**63 - 1, 1), animal(1, 1) | {"id": None})
    assert "none is left above 9223372036854775807" in refused(file)


def test_several_categories_without_ids_are_found(tmp_path: Path) -> None:
    bare = {"name": "cat", "keypoints": ["nose"]}
    file = write(tmp_path, [bare, bare], animal(1, 1, count=1))
    records = [record for found in check(file) if found.is_error for record in found.records]
    assert f"{file} category 1: id is missing" in records
    with pytest.raises(DatasetError, match="category 0: id is missing"):
        load_coco(file)


def test_keypoints_of_unknown_images_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path, [CAT], animal(1, 1), animal(2, 1, count=2) | {"image_id": 7})
    assert "annotation 1 (id 2): keypoints must be 9 numbers, got 6" in refused(file)
