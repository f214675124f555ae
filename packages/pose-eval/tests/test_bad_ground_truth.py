"""Bad ground truth: an error that names the place."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose_eval import Report, ResultsError, SettingsError, evaluate

NAN, INF = float("nan"), float("inf")
Rows = list[dict[str, Any]]
Content = dict[str, Any]
Set = tuple[Content, Rows]
Stats = dict[str, float | None]
Codes = Callable[[Report], set[str]]
Write = Callable[[Any, Any], tuple[Path, Path]]


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row[key] = value

    return change


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        del row[key]

    return change


def put_keypoint(value: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row["keypoints"][4] = value

    return change


BAD_ANNOTATIONS = [
    (drop("image_id"), "has no image_id"),
    (put("image_id", None), "image_id must be an integer or a string, got null"),
    (put("image_id", "100"), "image_id must be an integer, as ids in `images` are, got '100'"),
    (put("image_id", [100]), "image_id must be an integer or a string, got a list"),
    (put("image_id", 2**63), "image_id has 19 digits, more than an id can have"),
    (put("id", 12), "annotation id 12 occurs 2 times; `pose-data fix` numbers"),
    (put("id", 12.0), "annotation id 12 occurs 2 times"),
    (put("id", True), "id must be an integer or a string, got true"),
    (put("id", 0.5), "id must be an integer or a string, got 0.5"),
    (put("id", {}), "id must be an integer or a string, got an object"),
    (put("id", 1e20), "id has 21 digits"),
    (put("category_id", "x"), "category_id must be an integer, as ids in `categories` are, got"),
    (put("category_id", [1]), "category_id must be an integer or a string, got a list"),
    (put("category_id", True), "category_id must be an integer or a string, got true"),
    (put("area", NAN), "area must be a finite number, got nan"),
    (put("area", "9"), 'area must be a finite number, got "9"'),
    (put("area", True), "area must be a finite number, got true"),
    (put("area", -4.0), "area must not be negative, got -4"),
    (put("bbox", [1, 2, 3]), "bbox has 3 numbers, not 4"),
    (put("bbox", [1, 2, 3, None]), "bbox[3] must be a finite number, got null"),
    (put("bbox", [1, 2, 3, "4"]), 'bbox[3] must be a finite number, got "4"'),
    (put("bbox", {}), "bbox must be a list of numbers, got an object"),
    (put("keypoints", [1] * 48), "keypoints has 48 numbers, the ground truth has 17 keypoints"),
    (put("keypoints", "1"), 'keypoints must be a list of numbers, got "1"'),
    (put_keypoint(None), "keypoints[4] must be a finite number, got null"),
    (put_keypoint(NAN), "keypoints[4] must be a finite number, got nan"),
    (put_keypoint([1]), "keypoints must be a flat list of numbers, but keypoints[4] is a list"),
    *((put("iscrowd", v), "iscrowd must be 0 or 1, got") for v in (2, -1, "0", 0.5, NAN, [])),
    *((put("num_keypoints", v), "num_keypoints must be a") for v in (1.5, True, "3", NAN, INF, [])),
]


@pytest.mark.parametrize(("change", "message"), BAD_ANNOTATIONS)
def test_a_bad_annotation(
    change: Callable[[Any], None], message: str, small_set: Set, write: Write
) -> None:
    gt, rows = small_set
    change(gt["annotations"][3])
    results, truth = write(gt, rows)
    with pytest.raises(ResultsError, match=r"^gt\.json annotation [13]") as error:
        evaluate(results, truth)
    assert message in str(error.value)


def every(key: str, value: Any) -> Callable[[Content], Any]:
    def change(gt: Content) -> None:
        for annotation in gt["annotations"]:
            annotation[key] = value

    return change


def two_categories(gt: Content) -> None:
    gt["categories"].append({"id": 2, "keypoints": ["a"]})
    del gt["annotations"][3]["category_id"]


BAD_GT: list[tuple[str, Callable[[Content], Any]]] = [
    ("has no list `images`", lambda gt: gt.pop("images")),
    ("has no list `annotations`", lambda gt: gt.pop("annotations")),
    ("something else than a list as `images`", lambda gt: gt.update(images={})),
    ("something else than a list as `annotations`", lambda gt: gt.update(annotations=None)),
    ("list `images` is empty", lambda gt: gt.update(images=[])),
    ("image 4: must be an object with an id", lambda gt: gt["images"].append({"width": 3})),
    ("image 4: must be an object with an id", lambda gt: gt["images"].append({"id": None})),
    ("image 4: must be an object with an id", lambda gt: gt["images"].append(7)),
    ("image 4: id must be an integer or a string", lambda gt: gt["images"].append({"id": [1]})),
    ("image 4: id must be an integer or a string", lambda gt: gt["images"].append({"id": True})),
    ("image 0: id has 31 digits", lambda gt: gt["images"][0].update(id=10**30)),
    ("image ids are integers and strings", lambda gt: gt["images"].append({"id": "x"})),
    ("image_id of 8 annotations is not in `images` (5), which are all", every("image_id", 5)),
    ("`images` has 100, 101, 102, 103", every("image_id", 5)),
    ("category_id of 8 annotations is not in `categories` (7), which", every("category_id", 7)),
    ("no list `categories`", lambda gt: gt.update(categories=3)),
    ("has no category with keypoints", lambda gt: gt["categories"][0].update(id=7, keypoints=[])),
    ("category 0: id has 31 digits", lambda gt: gt["categories"][0].update(id=10**30)),
    ("category 0: id must be an integer", lambda gt: gt["categories"][0].update(id=[1])),
    ("category 1: category id 1 occurs more", lambda gt: gt["categories"].append({"id": 1})),
    ("category 1 must be an object with an id", lambda gt: gt["categories"].append({})),
    ("category 1 must be an object with an id", lambda gt: gt["categories"].append(3)),
    ("has no category_id, and there are 2 categories", two_categories),
    *(
        (
            "keypoints must be a list of keypoint names",
            lambda gt, v=v: gt["categories"][0].update(v),
        )
        for v in ({"keypoints": 3}, {"keypoints": "nose"}, {"keypoints": [1]}, {"keypoints": {}})
    ),
    ("annotation 8: must be an object, got 3", lambda gt: gt["annotations"].append(3)),
]


@pytest.mark.parametrize(("message", "change"), BAD_GT)
def test_bad_ground_truth(
    message: str, change: Callable[[Content], Any], small_set: Set, write: Write
) -> None:
    gt, rows = small_set
    change(gt)
    results, truth = write(gt, rows)
    with pytest.raises(ResultsError, match=re.escape(message)) as error:
        evaluate(results, truth)
    assert str(error.value).startswith("gt.json")


def test_enormous_coordinates_are_merely_far_away(small_set: Set, base: Stats) -> None:
    gt, rows = small_set
    far = copy.deepcopy(rows[:2])
    for row in far:
        row["keypoints"][0], row["keypoints"][4] = 1e308, -1e308
        row["score"] = 0.01
    assert evaluate([*rows, *far], gt).stats == base
    gt["annotations"][0]["bbox"] = [1e200, 1e200, 1e300, 1e300]
    assert evaluate([*rows, *far], gt).stats == base


def test_ids_of_two_kinds(small_set: Set) -> None:
    gt, rows = small_set
    gt["annotations"][3]["id"] = "x"
    with pytest.raises(ResultsError, match="annotation ids are integers and strings"):
        evaluate(rows, gt)


def test_crowdpose_without_crowd_index(small_set: Set, codes: Codes) -> None:
    gt, rows = small_set
    report = evaluate(rows, gt, protocol="crowdpose", sigmas="coco")
    assert "no-crowd-index" in codes(report)
    assert report.stats["AP_easy"] is None
    for image in gt["images"]:
        image["crowdIndex"] = 0.1
    report = evaluate(rows, gt, protocol="crowdpose", sigmas="coco")
    assert codes(report) == set()
    ap = report.stats["AP"]
    assert ap is not None
    assert report.stats["AP_easy"] == round(ap, 4)
    assert report.stats["AP_hard"] is None


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
def test_a_key_twice(part: str, small_set: Set, write: Write) -> None:
    results, truth = write(*small_set)
    text = truth.read_text()
    first = text.index('"id"', text.index(f'"{part}"'))
    truth.write_text(text[:first] + '"id": 5, ' + text[first:])
    what = {"images": "image", "annotations": "annotation", "categories": "category"}[part]
    with pytest.raises(ResultsError, match=rf"gt\.json {what} 0.* has the key 'id' more than onc"):
        evaluate(results, truth)
    truth.write_text(text.replace('"images"', '"annotations": [], "images"'))
    with pytest.raises(ResultsError, match=r"gt\.json has the key 'annotations' more than once"):
        evaluate(results, truth)
    truth.write_text(text + "\n{}")
    with pytest.raises(ResultsError, match=r"a second value or other text follows .* from line 2"):
        evaluate(results, truth)


def test_no_area_is_taken_from_the_box_if_asked(small_set: Set) -> None:
    gt, rows = small_set
    for annotation in gt["annotations"]:
        del annotation["area"]
    report = evaluate(rows, gt, area="bbox")
    assert report.gt.area == pytest.approx([0.53 * 112 * 144] * 8)


def test_stale_num_keypoints_are_trusted_with_a_warning(small_set: Set, codes: Codes) -> None:
    gt, rows = small_set
    gt["annotations"][2]["num_keypoints"] = 0
    report = evaluate(rows, gt)
    assert codes(report) == {"stale-num-keypoints"}
    assert report.counts["persons"] == 7
    assert evaluate(rows, gt, protocol="xtcoco").counts["persons"] == 8
    gt["annotations"][2]["num_keypoints"] = 3
    gt["annotations"][2]["keypoints"] = [0] * 51
    assert codes(evaluate(rows, gt)) == {"stale-num-keypoints"}


def test_a_category_with_other_joints_has_its_own_sigmas(small_set: Set, base: Stats) -> None:
    gt, rows = small_set
    gt["categories"].append({"id": 2, "name": "arrow", "keypoints": ["tail", "middle", "head"]})
    arrow = {**gt["annotations"][0], "id": 99, "category_id": 2, "num_keypoints": 3}
    arrow["keypoints"] = [10, 10, 2, 20, 20, 2, 30, 30, 2]
    gt["annotations"].append(arrow)
    rows.append({**rows[0], "category_id": 2, "keypoints": arrow["keypoints"]})
    with pytest.raises(SettingsError, match="category 'arrow' of the ground truth has 3 keypoints"):
        evaluate(rows, gt)
    report = evaluate(rows, gt, sigmas={"person": "coco", "arrow": [0.1, 0.1, 0.1]})
    person, arrow_ap = base["AP"], 1.0
    assert person is not None
    assert report.stats["AP"] == pytest.approx((person + arrow_ap) / 2)
    rows[-1]["keypoints"] = rows[0]["keypoints"]
    with pytest.raises(ResultsError, match="keypoints has 51 numbers, the ground truth has 3 keyp"):
        evaluate(rows, gt, sigmas={"person": "coco", "arrow": [0.1, 0.1, 0.1]})


def test_boxes_of_other_categories_take_no_part(small_set: Set, base: Stats) -> None:
    gt, rows = small_set
    gt["categories"].append({"id": 2, "name": "car"})
    gt["annotations"].append({"id": 99, "image_id": 100, "category_id": 2, "bbox": [1, 1, 5, 5]})
    assert evaluate(rows, gt).stats == base
