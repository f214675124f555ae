"""What an annotation file leaves out is derived, with a warning; what is odd in it is left out."""

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pose_eval import Report, ResultsError, evaluate, read_ground_truth

Content = dict[str, Any]
Set = tuple[Content, list[dict[str, Any]]]
Stats = dict[str, float | None]
Codes = Callable[[Report], set[str]]


def lacking(gt: Content, key: str, how: Any, rows: slice = slice(None)) -> Content:
    """Return ground truth without a key of annotations: "gone", or null or [] instead."""
    gt = copy.deepcopy(gt)
    for row in gt["annotations"][rows]:
        row[key] = how
        if how == "gone":
            del row[key]
    return gt


@pytest.mark.parametrize("how", ["gone", None])
@pytest.mark.parametrize("key", ["id", "category_id", "num_keypoints", "iscrowd"])
def test_what_changes_nothing(
    key: str, how: Any, small_set: Set, base: Stats, codes: Codes
) -> None:
    gt, rows = small_set
    for part in (slice(None), slice(3, 4)):
        report = evaluate(rows, lacking(gt, key, how, part))
        assert report.stats == base
        assert codes(report) == (set() if key == "iscrowd" else {"derived-values"})
    if key != "iscrowd":
        assert f"1 annotations have no {key} (first: annotation 3)" in report.warnings[0]


def test_ids_are_numbered_above_the_largest(small_set: Set) -> None:
    gt = lacking(lacking(small_set[0], "id", None, slice(2, 4)), "id", "gone", slice(6, 7))
    assert read_ground_truth(gt)[0].ids.tolist() == [11, 12, 19, 20, 15, 16, 21, 18]
    gt["annotations"][0]["id"] = 2**63 - 1
    with pytest.raises(ResultsError, match="none is left above"):
        read_ground_truth(gt)


@pytest.mark.parametrize("how", ["gone", None, []])
def test_boxes_and_areas(how: Any, small_set: Set, codes: Codes) -> None:
    gt, rows = small_set
    gt["annotations"][1]["keypoints"][2::3] = [0] * 17
    report = evaluate(rows, lacking(gt, "bbox", how))
    # The joints reach over 112 x 144 pixels.
    assert report.gt.bbox[0] == pytest.approx([100 - 11.2, 90 - 14.4, 112 * 1.2, 144 * 1.2])
    assert report.gt.bbox[1].tolist() == [0, 0, 0, 0]
    assert "derived-values" in codes(report)
    if how == []:
        return
    gt["annotations"][0]["area"] = 0
    found, warnings = read_ground_truth(lacking(gt, "area", how, slice(1, None)))
    assert found.area.tolist() == [0, *[0.53 * 112 * 144] * 7]
    assert [re.findall(r"\[([a-z-]+)\]$", each)[0] for each in warnings] == [
        "derived-values",
        "stale-num-keypoints",
        "odd-area",
    ]
    found, _ = read_ground_truth(lacking(lacking(gt, "area", how), "bbox", how))
    assert found.area[0] == pytest.approx(0.53 * 112 * 144 * 1.44)


@pytest.mark.parametrize("how", ["gone", None, []])
def test_persons_without_labels(how: Any, small_set: Set, codes: Codes) -> None:
    """As tracking tools export them: rows of skeletons that were not clicked."""
    gt, rows = small_set
    zeros = copy.deepcopy(gt)
    zeros["annotations"][2].update(keypoints=[0] * 51, num_keypoints=0)
    empty = lacking(zeros, "keypoints", how, slice(2, 3))
    report = evaluate(rows, empty)
    assert report.stats == evaluate(rows, zeros).stats
    assert codes(report) == {"derived-values"}
    assert report.counts["ignored_persons"] == 1
    del empty["annotations"][2]["num_keypoints"]
    assert evaluate(rows, empty).stats == report.stats


def test_negative_num_keypoints_are_counted(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    gt["annotations"][3]["num_keypoints"] = -1
    gt["annotations"][4]["num_keypoints"] = 2**100
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"derived-values"})


@pytest.mark.parametrize("value", [False, 0.0, True, 1.0])
def test_crowds_may_be_booleans_or_floats(value: Any, small_set: Set) -> None:
    gt, rows = small_set
    gt["annotations"][3]["iscrowd"] = int(value)
    wanted = evaluate(rows, gt)
    gt["annotations"][3]["iscrowd"] = value
    report = evaluate(rows, gt)
    assert (report.stats, report.warnings) == (wanted.stats, wanted.warnings)


def test_booleans_in_lists_are_numbers(small_set: Set) -> None:
    gt, _ = small_set
    gt["annotations"][0]["keypoints"][2] = True
    gt["annotations"][0]["bbox"][0] = False
    found, warnings = read_ground_truth(gt)
    assert (found.keypoints[0, 0, 2], found.bbox[0, 0], warnings) == (1, 0, [])


def test_strangers_are_left_out(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    stranger = gt["annotations"][0]
    gt["annotations"] += [{**stranger, "id": 50, "image_id": 7}, {**stranger, "id": 51}]
    gt["annotations"][-1]["category_id"] = 9
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"left-out"})
    assert len(report.gt.ids) == 8
    assert "image_id of 1 annotations is not in `images` (7)" in report.warnings[0]
    assert "category_id of 1 annotations is not in `categories` (9)" in report.warnings[1]


def test_an_image_twice(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    gt["images"].append({"id": 100, "file_name": "b.jpg"})
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"images-twice"})
    assert report.gt.file_names[0] == "b.jpg"


def test_annotation_id_zero_and_negative_boxes(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    gt["annotations"][3]["id"] = 0
    gt["annotations"][2]["bbox"] = [1, 2, -3, 4]
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"id-zero", "negative-boxes"})
    assert read_ground_truth(gt, area_from="bbox")[0].area[2] == 0


def test_float_ids(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    for part, keys in (("images", ["id"]), ("annotations", ["id", "image_id", "category_id"])):
        for entry in gt[part]:
            entry.update({key: float(entry[key]) for key in keys})
    gt["categories"][0]["id"] = 1.0
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"float-ids"})
    assert "29 ids are written like 139.0" in report.warnings[0]


CATEGORIES: list[tuple[str, Callable[[Content], Any]]] = [
    ("derived-values", lambda gt: gt.pop("categories")),
    ("derived-values", lambda gt: gt.update(categories=None)),
    ("derived-values", lambda gt: gt.update(categories=[])),
    ("derived-values", lambda gt: gt["categories"][0].pop("keypoints")),
    ("derived-values", lambda gt: gt["categories"][0].update(keypoints=None)),
    ("derived-values", lambda gt: gt["categories"][0].update(keypoints=[])),
    ("derived-values", lambda gt: gt["categories"][0].pop("id")),
    ("text-ids", lambda gt: gt["categories"][0].update(id="1")),
    ("text-ids", lambda gt: [a.update(category_id="1") for a in gt["annotations"]]),
    ("text-ids", lambda gt: gt["annotations"][3].update(category_id="1")),
    ("wrong-skeleton", lambda gt: gt["categories"][0].update(skeleton="1-2")),
    ("wrong-skeleton", lambda gt: gt["categories"][0].update(skeleton=[[1, 2], [0, 5], [3]])),
    ("", lambda gt: gt["categories"][0].update(skeleton=None, name=None)),
    ("", lambda gt: gt["categories"].append({"id": 2, "name": "car"})),
    ("", lambda gt: gt["images"][0].update(width="x", height=10**400, file_name=[])),
]


@pytest.mark.parametrize(("code", "change"), CATEGORIES)
def test_odd_categories(
    code: str, change: Callable[[Content], Any], small_set: Set, base: Stats, codes: Codes
) -> None:
    gt, rows = small_set
    change(gt)
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {code} - {""})
    assert len(report.gt.categories[0].joint_names) == 17


def test_text_and_integers_meet_in_results_too(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    gt["categories"][0]["id"] = "1"
    assert evaluate([{**row, "category_id": "1"} for row in rows], gt).stats == base
    for annotation in gt["annotations"]:
        annotation["category_id"] = "1"
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"text-ids"})
    assert report.gt.categories[0].id == "1"


def test_links_that_are_right_are_kept(small_set: Set) -> None:
    gt, _ = small_set
    gt["categories"][0]["skeleton"] = [[1, 2], [17, 18], [True, 2], [3, 4]]
    found, warnings = read_ground_truth(gt)
    assert found.categories[0].links == ((0, 1), (2, 3))
    assert "2 of its skeleton are left out" in warnings[0]


def test_the_smallest_file_of_all(small_set: Set, base: Stats) -> None:
    gt, rows = small_set
    keys = ("image_id", "keypoints")
    smallest = {
        "images": [{"id": image["id"]} for image in gt["images"]],
        "annotations": [{key: a[key] for key in keys} for a in gt["annotations"]],
        "categories": [{"name": "mouse"}],
    }
    found = evaluate(rows, smallest)
    assert np.isfinite(found.gt.area).all()
    assert found.stats["AP"] == pytest.approx(base["AP"], abs=0.1)
