"""Reading COCO annotations: which persons count, and what each mistake says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_data import COCO, DatasetError, Skeleton, load_coco


def person(number: int, **changes: Any) -> dict[str, Any]:
    keypoints = [0.0] * 51
    keypoints[:3] = [20.0, 10.0, 2]
    keypoints[3:6] = [22.0, 9.0, 1]
    row = {
        "id": number,
        "image_id": 7,
        "category_id": 1,
        "bbox": [10.0, 5.0, 30.0, 40.0],
        "area": 900.0,
        "iscrowd": 0,
        "num_keypoints": 2,
        "keypoints": keypoints,
    }
    return row | changes


def load(tmp_path: Path, *annotations: dict[str, Any], images: Any = None) -> Any:
    image = {"id": 7, "file_name": "a.jpg", "width": 100, "height": 60}
    content = {"images": [image] if images is None else images, "annotations": list(annotations)}
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    return load_coco(file, tmp_path)


def test_arrays(tmp_path: Path) -> None:
    persons = load(tmp_path, person(3), person(4, bbox=[-5, 5, 200, 100]))
    assert len(persons) == 2
    assert persons.ids.tolist() == [3, 4]
    assert persons.keypoints.shape == (2, COCO.num_keypoints, 2)
    assert persons.visible[0, :3].tolist() == [2, 1, 0]
    assert persons.bbox_xyxy.tolist() == [[10, 5, 40, 45], [0, 5, 99, 59]]  # clipped to W-1, H-1
    assert persons.image_path(0) == tmp_path / "a.jpg"


@pytest.mark.parametrize(
    "changes",
    [
        {"iscrowd": 1},
        {"num_keypoints": 0},
        {"bbox": [10, 5, 0, 40]},
        {"bbox": [120, 5, 30, 40]},  # outside the picture
        {"keypoints": [0.0] * 51},
    ],
)
def test_persons_that_the_recipes_leave_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert load(tmp_path, person(1), person(2, **changes)).ids.tolist() == [1]


def test_missing_area_and_counts_are_derived(tmp_path: Path) -> None:
    row = person(1)
    del row["area"], row["iscrowd"], row["num_keypoints"]
    assert load(tmp_path, row).area[0] == pytest.approx(0.53 * 30 * 40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1.0] * 48}, r"annotation 1 \(id 2\): keypoints must be 51 numbers"),
        ({"keypoints": "none"}, r"annotation 1 \(id 2\): keypoints must be a list of numbers"),
        ({"keypoints": [float("nan")] * 51}, r"annotation 1 \(id 2\): keypoints holds NaN"),
        ({"bbox": [1, 2, 3]}, r"annotation 1 \(id 2\): bbox must be 4 numbers"),
        ({"bbox": "none"}, r"annotation 1 \(id 2\): bbox must be 4 numbers"),
    ],
)
def test_unusable_records_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, person(1), person(2, **changes))


def test_missing_keys_are_named(tmp_path: Path) -> None:
    row = person(1)
    del row["image_id"]
    with pytest.raises(DatasetError, match="image_id is missing"):
        load(tmp_path, row)
    with pytest.raises(DatasetError, match="file_name is missing"):
        load(tmp_path, images=[{"id": 1, "height": 3}])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"images": 3, "annotations": []}', "\xff"])
def test_files_that_are_not_coco(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gt.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=r"gt\.json"):
        load_coco(file, tmp_path)


def test_the_skeleton_given_and_the_one_in_the_file(tmp_path: Path) -> None:
    mouse = Skeleton("mouse", ("nose", "tail"), (), (), (), (), (0.1, 0.1))
    row = person(1, keypoints=[20, 10, 2, 25, 12, 1])
    image = {"id": 7, "file_name": "a.jpg", "width": 100, "height": 60}
    file = tmp_path / "gt.json"

    def notices(*names: str) -> str:
        category = {"id": 1, "keypoints": list(names)}
        content = {"images": [image], "annotations": [row], "categories": [category]}
        file.write_text(json.dumps(content))
        persons = load_coco(file, tmp_path, skeleton=mouse)
        assert persons.skeleton is mouse
        return " ".join(persons.notices)

    assert notices("Nose", "tail") == ""
    assert "calls 'rear' what the given skeleton mouse calls 'tail'" in notices("nose", "rear")
    assert "names 3 keypoints, mouse 2" in notices("a", "b", "c")
    with pytest.raises(DatasetError, match="keypoints must be 51 numbers, got 6"):
        load_coco(file, tmp_path, skeleton=COCO)


def test_missing_places(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*json: No such file"):
        load_coco(tmp_path / "gt.json", tmp_path)
    with pytest.raises(DatasetError, match=r"image folder .* does not exist"):
        load_coco(tmp_path / "gt.json", tmp_path / "images")


def test_flip_indices_are_their_own_inverse() -> None:
    indices = np.array(COCO.flip_indices)
    assert (indices[indices] == np.arange(COCO.num_keypoints)).all()
    for left, right in COCO.flip_pairs:
        assert COCO.keypoints[left].replace("left", "right") == COCO.keypoints[right]
