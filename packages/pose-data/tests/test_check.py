"""`check`: each mistake in a good file is found under its slug, and a good file has no findings."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import COCO, check

SIZE = (200, 150)
Content = dict[str, Any]

# Someone who faces us, in a box of 40 x 100: x of the left side is larger.
POSE = {
    "nose": (20, 10),
    "eye": (24, 8),
    "ear": (27, 10),
    "shoulder": (32, 25),
    "elbow": (36, 40),
    "wrist": (38, 55),
    "hip": (28, 55),
    "knee": (29, 75),
    "ankle": (30, 95),
}


def keypoints(x: float, y: float) -> list[float]:
    values: list[float] = []
    for name in COCO.keypoints:
        dx, dy = POSE[name.split("_")[-1]]
        values += [x + (40 - dx if name.startswith("right_") else dx), y + dy, 2]
    return values


def good() -> Content:
    """Twelve pictures with one person each."""
    images, annotations = [], []
    for i in range(12):
        x, y = 5.0 + 12 * i, 5.0 + 3 * i
        images.append({"id": i + 1, "file_name": f"{i}.jpg", "width": SIZE[0], "height": SIZE[1]})
        annotations.append(
            {
                "id": 100 + i,
                "image_id": i + 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x, y, 40, 100],
                "area": 1900.0 + i,
                "num_keypoints": 17,
                "keypoints": keypoints(x, y),
            }
        )
    links = [[a + 1, b + 1] for a, b in COCO.links]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": links}
    return {"images": images, "annotations": annotations, "categories": [category]}


def slugs(tmp_path: Path, content: Any, **more: Any) -> dict[str, int]:
    file = tmp_path / "gt.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return {finding.slug: finding.count for finding in check(file, **more)}


def test_nothing_is_wrong_with_a_good_file(tmp_path: Path) -> None:
    assert slugs(tmp_path, good()) == {}


def each(change: Callable[[Content], None]) -> Callable[[Content], None]:
    """Apply a change to every annotation."""

    def apply(content: Content) -> None:
        for annotation in content["annotations"]:
            change(annotation)

    return apply


def first(**changes: Any) -> Callable[[Content], None]:
    return lambda content: content["annotations"][0].update(changes)


def to_xyxy(a: Content) -> None:
    x, y, w, h = a["bbox"]
    a["bbox"] = [x, y, x + w, y + h]


def normalise(a: Content) -> None:
    a["bbox"] = [a["bbox"][0] / 200, a["bbox"][1] / 150, 40 / 200, 100 / 150]
    points = np.array(a["keypoints"]).reshape(-1, 3) / [200, 150, 1]
    a["keypoints"] = points.ravel().tolist()


def swap_sides(a: Content) -> None:
    points = np.array(a["keypoints"]).reshape(-1, 3)
    a["keypoints"] = points[list(COCO.flip_indices)].ravel().tolist()


def swap_hips(content: Content) -> None:
    points = np.array(content["annotations"][0]["keypoints"]).reshape(-1, 3)
    points[[11, 12]] = points[[12, 11]]
    content["annotations"][0]["keypoints"] = points.ravel().tolist()


CASES: list[tuple[str, Callable[[Content], None], int]] = [
    ("image-ids-disjoint", each(lambda a: a.update(image_id=a["image_id"] + 500)), 1),
    ("unknown-image", first(image_id=99), 1),
    ("wrong-category", first(category_id=2), 1),
    ("wrong-area", each(lambda a: a.update(area=1.0)), 1),
    ("wrong-area", each(lambda a: a.update(area=a["area"] / 200 / 150)), 1),
    ("area-and-box", first(area=9000.0), 1),
    ("wrong-area", first(area=0), 1),
    ("missing-field", each(lambda a: a.pop("area")), 12),
    ("xyxy-boxes", each(to_xyxy), 1),
    ("normalised-coordinates", each(normalise), 2),
    ("no-labels", each(lambda a: a.update(num_keypoints=0)), 1),
    ("num-keypoints-zero", first(num_keypoints=0), 1),
    ("num-keypoints-differ", first(num_keypoints=3), 1),
    ("no-persons", each(lambda a: a.update(keypoints=[0] * 51)), 1),
    ("duplicate-annotation-id", first(id=101), 1),
    ("duplicate-image-id", lambda c: c["images"][0].update(id=2), 1),
    ("duplicate-file-name", lambda c: c["images"][0].update(file_name="1.jpg"), 1),
    ("empty-box", first(bbox=[5, 5, 0, 100]), 1),
    ("box-outside-image", first(bbox=[500, 5, 40, 100]), 1),
    ("points-outside-image", first(keypoints=[250, 10, 2, *keypoints(5, 5)[3:]]), 1),
    ("points-outside-box", each(lambda a: a.update(bbox=[150, 5, 20, 20], area=200.0)), 1),
    ("visibility-values", first(keypoints=[25, 15, 3, *keypoints(5, 5)[3:]]), 1),
    ("labelled-at-origin", first(keypoints=[0, 0, 1, *keypoints(5, 5)[3:]]), 1),
    ("left-right-swapped", each(swap_sides), 1),
    ("left-right-mixed", swap_hips, 1),
    ("keypoint-count", first(keypoints=[5, 5, 2] * 16), 1),
    ("wrong-type", first(keypoints="many"), 1),
    ("wrong-type", first(keypoints=[float("nan")] * 51), 1),
    ("wrong-type", first(bbox=[1, 2, None, 4]), 1),
    ("wrong-type", first(id="seven"), 1),
    ("wrong-type", lambda c: c["annotations"].append(3), 1),
    ("no-keypoint-names", lambda c: c.update(categories=[]), 1),
    ("not-coco", lambda c: c.pop("annotations"), 1),
    ("not-coco", lambda c: c.update(images=7), 1),
]


@pytest.mark.parametrize(("slug", "change", "count"), CASES)
def test_one_mistake(
    tmp_path: Path, slug: str, change: Callable[[Content], None], count: int
) -> None:
    content = copy.deepcopy(good())
    change(content)
    assert slugs(tmp_path, content)[slug] == count


def test_a_mistake_causes_no_crowd_of_other_findings(tmp_path: Path) -> None:
    for slug, change, _ in CASES:
        content = copy.deepcopy(good())
        change(content)
        assert len(slugs(tmp_path, content)) <= 3, slug


@pytest.mark.parametrize("text", ["", "{", '{"images": [', "\xff\xfe", "null"])
def test_files_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gt.json"
    file.write_text(text, encoding="latin-1")
    assert [finding.slug for finding in check(file)] == ["unreadable"]
    assert [finding.slug for finding in check(tmp_path / "none.json")] == ["unreadable"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    for i in range(12):
        (folder / f"{i}.jpg").write_bytes(jpeg)
    return folder


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01"
    tiff += orientation.to_bytes(2, "big") + bytes(6)
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_pictures(tmp_path: Path, pictures: Path) -> None:
    assert slugs(tmp_path, good(), image_dir=pictures) == {}
    jpeg = (pictures / "0.jpg").read_bytes()
    (pictures / "0.jpg").unlink()
    (pictures / "1.jpg").write_bytes(b"")
    (pictures / "2.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (pictures / "3.jpg").write_bytes(with_orientation(jpeg, 6))
    grey = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    (pictures / "4.jpg").write_bytes(cv2.imencode(".jpg", grey)[1].tobytes())
    deep = np.zeros((SIZE[1], SIZE[0], 4), np.uint16)
    (pictures / "5.jpg").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    (pictures / "6.jpg").write_bytes(cv2.imencode(".jpg", grey[:100])[1].tobytes())
    (pictures / "7.jpg").write_bytes(b"not a picture at all")
    content = good()
    (pictures / "8.jpg").write_bytes(with_orientation(jpeg, 8))
    content["images"][8].update(width=SIZE[1], height=SIZE[0])
    (pictures / "9.jpg").write_bytes(with_orientation(jpeg, 3))  # its size tells nothing
    found = slugs(tmp_path, content, image_dir=pictures)
    found.pop("points-outside-image", None)  # of the one that was turned
    assert found == {
        "missing-file": 1,
        "broken-image": 2,
        "truncated-image": 1,
        "exif-rotation": 1,
        "not-rgb": 3,
        "size-differs": 1,
    }
    assert slugs(tmp_path, good(), image_dir=tmp_path / "none") == {"missing-file": 1}


def test_results(tmp_path: Path) -> None:
    content = good()
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 0.1 * i}
        for i, a in enumerate(content["annotations"], 1)
    ]
    results = tmp_path / "results.json"

    def found(**changes: Any) -> dict[str, int]:
        results.write_text(json.dumps([row | changes for row in rows]))
        return slugs(tmp_path, content, results=results)

    assert found() == {}
    assert found(image_id=9000) == {"image-ids-disjoint": 1}
    assert found(category_id=0)["wrong-category"] == 12
    assert found(score=1) == {"equal-scores": 1}
    assert found(score=None)["no-score"] == 12
    assert found(keypoints=[1, 2, 3])["keypoint-count"] == 12
    assert found(keypoints=[0.5] * 51) == {"normalised-coordinates": 1, "equal-rows": 12}
    assert found(bbox=[5, 5, 40, 100]) == {}
    assert found(bbox=[150, 60, 190, 140]) == {"xyxy-boxes": 1}
    results.write_text("{}")
    assert slugs(tmp_path, content, results=results) == {"unreadable": 1}


def test_sides_of_people_without_eyes(tmp_path: Path) -> None:
    content = good()
    content["annotations"] *= 3  # 36 persons
    for number, annotation in enumerate(content["annotations"]):
        points = np.array(annotation["keypoints"]).reshape(-1, 3)[5:]
        points[0, 0] += 0.01 * number
        content["annotations"][number] = annotation | {
            "id": number,
            "keypoints": points.ravel().tolist(),
            "num_keypoints": 12,
        }
    content["categories"][0] |= {"keypoints": list(COCO.keypoints[5:]), "skeleton": []}
    assert slugs(tmp_path, content) == {}
    for annotation in content["annotations"]:
        points = np.array(annotation["keypoints"]).reshape(6, 2, 3)
        annotation["keypoints"] = points[:, ::-1].ravel().tolist()
    assert slugs(tmp_path, content) == {"left-right-doubtful": 1}


def test_findings_explain_themselves(tmp_path: Path) -> None:
    content = good()
    content["annotations"][3]["category_id"] = 5
    (tmp_path / "gt.json").write_text(json.dumps(content))
    (finding,) = check(tmp_path / "gt.json")
    assert finding.is_error
    text = str(finding)
    assert text.startswith("error wrong-category (1): ")
    assert "category_id (5) is not in `categories`: annotation ids 103" in text
    assert "-> Set category_id" in text
