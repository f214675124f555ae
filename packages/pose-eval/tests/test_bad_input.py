"""Bad input: an error that names the place, or a warning; never a number without a word."""

import copy
import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose_eval import Report, ResultsError, SettingsError, evaluate

NAMES = [f"joint{k}" for k in range(17)]
NAN, INF = float("nan"), float("inf")
Rows = list[dict[str, Any]]
Content = dict[str, Any]


def make() -> tuple[Content, Rows]:
    """Return ground truth of 4 images with 2 persons each, and a row for each, a little off."""
    images = [{"id": 100 + i, "width": 640, "height": 480} for i in range(4)]
    annotations: Rows = []
    rows: Rows = []
    for i in range(8):
        keypoints = [v for k in range(17) for v in (100 + 7 * k + 40 * i, 90 + 9 * k, 2)]
        annotations.append(
            {
                "id": 11 + i,
                "image_id": 100 + i // 2,
                "category_id": 1,
                "iscrowd": 0,
                "area": 9000.0 + 200 * i,
                "bbox": [100 + 40 * i, 90, 112, 144],
                "num_keypoints": 17,
                "keypoints": keypoints,
            }
        )
        moved = [v + (1.5 * (i % 4) if k % 3 < 2 else 0) for k, v in enumerate(keypoints)]
        row = {
            "image_id": 100 + i // 2,
            "category_id": 1,
            "keypoints": moved,
            "score": 0.9 - i / 20,
        }
        rows.append(row)
    category = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2]]}
    return {"images": images, "annotations": annotations, "categories": [category]}, rows


def codes(report: Report) -> set[str]:
    return {re.findall(r"\[([a-z-]+)\]$", warning)[0] for warning in report.warnings}


def base() -> dict[str, float | None]:
    gt, rows = make()
    report = evaluate(rows, gt)
    assert report.warnings == ()
    return report.stats


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


BAD_ROWS = [
    (put("keypoints", [1.0] * 48), "keypoints has 48 numbers, the ground truth has 17 joints (51"),
    (put("keypoints", [1.0] * 54), "keypoints has 54 numbers, the ground truth has 17 joints (51"),
    (put("keypoints", [1.0] * 34), "they look like x, y without a third number"),
    (put("keypoints", []), "keypoints has 0 numbers"),
    (put("keypoints", [[1.0, 2.0, 3.0]] * 17), "must be a flat list of numbers"),
    (put("keypoints", None), "keypoints must be a list of numbers, got null"),
    (put("keypoints", "1 2 3"), 'keypoints must be a list of numbers, got "1 2 3"'),
    (put("keypoints", {"x": 1}), "keypoints must be a list of numbers, got an object"),
    (put_keypoint(NAN), "keypoints[4] must be a finite number, got nan"),
    (put_keypoint(INF), "keypoints[4] must be a finite number, got inf"),
    (put_keypoint(-INF), "keypoints[4] must be a finite number, got -inf"),
    (put_keypoint(None), "keypoints[4] must be a finite number, got null"),
    (put_keypoint("12.5"), 'keypoints[4] must be a finite number, got "12.5"'),
    (put_keypoint(True), "keypoints[4] must be a finite number, got true"),
    (put_keypoint(10**400), "keypoints[4] must be a finite number, got one beyond 1e308"),
    (put("score", NAN), "score must be a finite number, got nan"),
    (put("score", INF), "score must be a finite number, got inf"),
    (put("score", None), "score must be a finite number, got null"),
    (put("score", "0.5"), 'score must be a finite number, got "0.5"'),
    (put("score", True), "score must be a finite number, got true"),
    (put("score", [0.5]), "score must be a finite number, got a list"),
    (put("image_id", None), "image_id must be an integer or a string, got null"),
    (put("image_id", True), "image_id must be an integer or a string, got true"),
    (put("image_id", 100.5), "image_id must be an integer or a string, got 100.5"),
    (put("image_id", NAN), "image_id must be an integer or a string, got nan"),
    (put("image_id", [100]), "image_id must be an integer or a string, got a list"),
    (put("image_id", 10**30), "image_id has 31 digits"),
    (put("image_id", 999), "image_id 999 is not in gt.json"),
    (put("image_id", "100"), 'image_id "100" is not in gt.json'),
    (put("category_id", None), "category_id must be an integer or a string, got null"),
    (put("category_id", 7), "category_id 7 is not in gt.json"),
    (put("category_id", 0), "category_id 0 is not in gt.json"),
    (drop("keypoints"), "has no keypoints"),
    (drop("score"), "has no score"),
    (drop("image_id"), "has no image_id"),
    (drop("category_id"), "has no category_id"),
    (put("bbox", [1, 2, 3]), "bbox has 3 numbers, not 4"),
    (put("bbox", [1, 2, NAN, 4]), "bbox[2] must be a finite number, got nan"),
    (put("bbox", None), "bbox must be a list of numbers, got null"),
]


def write(folder: Path, gt: Any, rows: Any) -> tuple[Path, Path]:
    files = folder / "results.json", folder / "gt.json"
    files[0].write_text(json.dumps(rows))
    files[1].write_text(json.dumps(gt))
    return files


@pytest.mark.parametrize(("change", "message"), BAD_ROWS, ids=[m[:40] for _, m in BAD_ROWS])
@pytest.mark.parametrize("where", ["first", "middle", "all"])
def test_a_bad_row(change: Callable[[Any], None], message: str, where: str, tmp_path: Path) -> None:
    gt, rows = make()
    bad = {"first": [0], "middle": [5], "all": range(len(rows))}[where]
    for number in bad:
        change(rows[number])
    results, truth = write(tmp_path, gt, rows)
    with pytest.raises(ResultsError) as error:
        evaluate(results, truth)
    lines = str(error.value).splitlines()
    assert message in lines[0]
    assert lines[0].startswith(f"results.json row {bad[0]}")
    image = rows[bad[0]].get("image_id", None)
    if isinstance(image, int) and not isinstance(image, bool):
        assert f"(image {image})" in lines[0]
    if where == "all":
        assert "(8 in all)" in lines[-1] or "in 8 of 8 rows" in lines[-1]


def test_a_row_that_is_no_object_or_has_a_key_twice(tmp_path: Path) -> None:
    gt, rows = make()
    for bad in (3, None, "row", [1, 2]):
        with pytest.raises(ResultsError, match=r"row 2: must be an object, got"):
            evaluate([*rows[:2], bad, *rows[2:]], gt)
    results, truth = write(tmp_path, gt, rows)
    results.write_text(results.read_text().replace('"score": 0.9}', '"score": 0.9, "score": 0.1}'))
    with pytest.raises(
        ResultsError, match=r"results.json row 0 .*has the key 'score' more than onc"
    ):
        evaluate(results, truth)


def test_a_whole_number_written_as_a_float_is_read_with_a_warning() -> None:
    gt, rows = make()
    for row in rows:
        row["image_id"] = float(row["image_id"])
    report = evaluate(rows, gt)
    assert report.stats == base()
    assert codes(report) == {"float-ids"}


def test_unknown_images_and_categories_can_be_dropped() -> None:
    gt, rows = make()
    extra = [{**rows[0], "image_id": 5}, {**rows[1], "image_id": 6}, {**rows[2], "category_id": 3}]
    with pytest.raises(
        ResultsError, match=r"unknown image_id in 2 of 11 rows: 5, 6; --unknown-ima"
    ):
        evaluate([*extra, *rows], gt)
    report = evaluate([*extra, *rows], gt, unknown_images="drop", unknown_categories="drop")
    assert report.stats == base()
    assert codes(report) == {"unknown-images", "unknown-categories"}
    assert report.counts["detections"] == 8
    assert report.results.row.tolist() == list(range(3, 11))


def test_string_ids() -> None:
    gt, rows = make()
    for entry in gt["images"]:
        entry["id"] = f"a{entry['id']}"
    for entry in gt["annotations"]:
        entry["image_id"] = f"a{entry['image_id']}"
        entry["id"] = f"person {entry['id']}"
    with pytest.raises(ResultsError, match="one file has strings as ids, the other integers"):
        evaluate(rows, gt)
    for row in rows:
        row["image_id"] = f"a{row['image_id']}"
    assert evaluate(rows, gt).stats == base()


def test_boxes_in_some_rows() -> None:
    gt, rows = make()
    rows[0]["bbox"] = [1, 2, 30, 40]
    with pytest.raises(ResultsError, match=r"row 1 .*has no bbox, but row 0 has one"):
        evaluate(rows, gt)
    del rows[0]["bbox"]
    rows[3]["bbox"] = [1, 2, 30, 40]
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base(), {"bbox-in-some-rows"})
    for row in rows:
        row["bbox"] = []
    assert evaluate(rows, gt).results.bbox is None


BAD_ANNOTATIONS = [
    *((drop(key), f"has no {key}") for key in ("id", "image_id", "category_id", "area", "bbox")),
    (drop("keypoints"), "has no keypoints"),
    (drop("area"), "--area bbox takes 0.53 w h"),
    (put("area", NAN), "area must be a finite number, got nan"),
    (put("area", None), "area must be a finite number, got null"),
    (put("area", "9"), 'area must be a finite number, got "9"'),
    (put("area", -4.0), "area must not be negative, got -4"),
    (put("bbox", [1, 2, -3, 4]), "bbox must be x, y, w, h with w and h not negative"),
    (put("bbox", [1, 2, 3]), "bbox has 3 numbers, not 4"),
    (put("bbox", []), "bbox has 0 numbers, not 4"),
    (put("bbox", None), "bbox must be a list of numbers, got null"),
    (put("keypoints", [1] * 48), "keypoints has 48 numbers, the ground truth has 17 joints"),
    (put("keypoints", None), "keypoints must be a list of numbers, got null"),
    (put_keypoint(None), "keypoints[4] must be a finite number, got null"),
    (put_keypoint(NAN), "keypoints[4] must be a finite number, got nan"),
    (put("image_id", 7), "this image is not in `images`"),
    (put("category_id", 7), "category_id 7 is not in `categories`"),
    (put("iscrowd", None), "iscrowd must be a finite number, got null"),
    (put("iscrowd", 2), "iscrowd must be 0 or 1, got 2"),
    (put("num_keypoints", None), "num_keypoints must be a finite number, got null"),
    (put("num_keypoints", -1), "num_keypoints must be a whole number from 0 to a million, got -1"),
    (
        put("num_keypoints", 1e308),
        "num_keypoints must be a whole number from 0 to a million, got 1e",
    ),
    (
        put("num_keypoints", 1.5),
        "num_keypoints must be a whole number from 0 to a million, got 1.5",
    ),
    (put("id", None), "id must be an integer or a string, got null"),
    (put("id", 12), "annotation id 12 occurs 2 times"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ANNOTATIONS)
def test_a_bad_annotation(change: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    gt, rows = make()
    change(gt["annotations"][3])
    results, truth = write(tmp_path, gt, rows)
    with pytest.raises(ResultsError, match=r"^gt\.json annotation [13]") as error:
        evaluate(results, truth)
    assert message in str(error.value)


def test_enormous_coordinates_are_merely_far_away() -> None:
    gt, rows = make()
    far = copy.deepcopy(rows[:2])
    for row in far:
        row["keypoints"][0], row["keypoints"][4] = 1e308, -1e308
        row["score"] = 0.01
    assert evaluate([*rows, *far], gt).stats == base()
    gt["annotations"][0]["bbox"] = [1e200, 1e200, 1e300, 1e300]
    assert evaluate([*rows, *far], gt).stats == base()


def test_ids_of_two_kinds() -> None:
    gt, rows = make()
    gt["annotations"][3]["id"] = "x"
    with pytest.raises(ResultsError, match="annotation ids are integers and strings"):
        evaluate(rows, gt)


def test_crowdpose_without_crowd_index() -> None:
    gt, rows = make()
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


def test_id_zero_and_missing_flags() -> None:
    gt, rows = make()
    for number, annotation in enumerate(gt["annotations"]):
        annotation["id"] = number
        del annotation["iscrowd"], annotation["num_keypoints"]
    report = evaluate(rows, gt)
    assert (report.stats, report.warnings) == (base(), ())


def test_no_area_is_taken_from_the_box_if_asked() -> None:
    gt, rows = make()
    for annotation in gt["annotations"]:
        del annotation["area"]
    report = evaluate(rows, gt, area="bbox")
    assert report.gt.area == pytest.approx([0.53 * 112 * 144] * 8)


def test_stale_num_keypoints_are_trusted_with_a_warning() -> None:
    gt, rows = make()
    gt["annotations"][2]["num_keypoints"] = 0
    report = evaluate(rows, gt)
    assert codes(report) == {"stale-num-keypoints"}
    assert report.counts["persons"] == 7
    assert evaluate(rows, gt, protocol="xtcoco").counts["persons"] == 8
    gt["annotations"][2]["num_keypoints"] = 3
    gt["annotations"][2]["keypoints"] = [0] * 51
    assert codes(evaluate(rows, gt)) == {"stale-num-keypoints"}


WARNED: list[tuple[str, Callable[[Content, Rows], Any]]] = [
    ("odd-visibility", lambda gt, rows: put("keypoints", [5, 5, 3] * 17)(gt["annotations"][0])),
    ("ignore-overwritten", lambda gt, rows: put("ignore", 1)(gt["annotations"][0])),
    ("odd-area", lambda gt, rows: [a.update(area=1.0) for a in gt["annotations"]]),
    ("odd-area", lambda gt, rows: gt["annotations"][0].update(area=0)),
    ("equal-scores", lambda gt, rows: [r.update(score=0.5) for r in rows]),
    ("negative-scores", lambda gt, rows: rows[0].update(score=-0.5)),
    ("duplicate-rows", lambda gt, rows: rows.append(copy.deepcopy(rows[2]))),
    ("missing-images", lambda gt, rows: rows.__delitem__(slice(2, None))),
    (
        "normalised-coordinates",
        lambda gt, rows: [r.update(keypoints=[v / 640 for v in r["keypoints"]]) for r in rows],
    ),
    (
        "xyxy-boxes",
        lambda gt, rows: [
            a.update(bbox=[*a["bbox"][:2], a["bbox"][0] + 112, 234]) for a in gt["annotations"]
        ],
    ),
    (
        "xyxy-boxes",
        lambda gt, rows: [
            r.update(bbox=[r["keypoints"][0], r["keypoints"][1], *r["keypoints"][48:50]])
            for r in rows
        ],
    ),
    ("negative-boxes", lambda gt, rows: [r.update(bbox=[9, 9, -4, 4]) for r in rows]),
    ("nothing-to-find", lambda gt, rows: [a.update(iscrowd=1) for a in gt["annotations"]]),
    ("nothing-to-find", lambda gt, rows: gt["annotations"].clear()),
    ("no-detections", lambda gt, rows: rows.clear()),
]


@pytest.mark.parametrize(("code", "change"), WARNED)
def test_what_is_legal_but_odd_is_warned_of(
    code: str, change: Callable[[Content, Rows], Any]
) -> None:
    gt, rows = make()
    change(gt, rows)
    assert code in codes(evaluate(rows, gt))


def test_scores_beyond_one_and_joint_scores_of_zero_are_fine() -> None:
    gt, rows = make()
    for row in rows:
        row["score"] += 3
        row["keypoints"][2::3] = [0] * 17
    report = evaluate(rows, gt)
    assert (report.stats, report.warnings) == (base(), ())


BAD_GT: list[tuple[str, Callable[[Content], Any]]] = [
    ("has no list `images`", lambda gt: gt.pop("images")),
    ("has no list `annotations`", lambda gt: gt.pop("annotations")),
    ("has no list `categories`", lambda gt: gt.pop("categories")),
    ("something else than a list as `images`", lambda gt: gt.update(images={})),
    ("list `categories` is empty", lambda gt: gt.update(categories=[])),
    ("list `images` is empty", lambda gt: gt.update(images=[])),
    ("image id 100 occurs more than once", lambda gt: gt["images"].append({"id": 100})),
    ("image 4 must be an object with an id", lambda gt: gt["images"].append({"width": 3})),
    ("image 4 must be an object with an id", lambda gt: gt["images"].append(7)),
    ("image ids are integers and strings", lambda gt: gt["images"].append({"id": "x"})),
    ("category 0: id has more digits", lambda gt: gt["categories"][0].update(id=10**30)),
    ("image 0: id has more digits", lambda gt: gt["images"][0].update(id=10**30)),
    ("category id 1 occurs more than once", lambda gt: gt["categories"].append({"id": 1})),
    ("category 0 must be an object with an id", lambda gt: gt["categories"][0].pop("id")),
    ("keypoints must be a list of joint names", lambda gt: gt["categories"][0].update(keypoints=3)),
    ("annotation 8: must be an object, got 3", lambda gt: gt["annotations"].append(3)),
]


@pytest.mark.parametrize(("message", "change"), BAD_GT, ids=[m for m, _ in BAD_GT])
def test_bad_ground_truth(message: str, change: Callable[[Content], Any], tmp_path: Path) -> None:
    gt, rows = make()
    change(gt)
    results, truth = write(tmp_path, gt, rows)
    with pytest.raises(ResultsError, match=re.escape(message)) as error:
        evaluate(results, truth)
    assert str(error.value).startswith("gt.json")


def test_a_category_with_other_joints_has_its_own_sigmas() -> None:
    gt, rows = make()
    gt["categories"].append({"id": 2, "name": "arrow", "keypoints": ["tail", "middle", "head"]})
    arrow = {**gt["annotations"][0], "id": 99, "category_id": 2, "num_keypoints": 3}
    arrow["keypoints"] = [10, 10, 2, 20, 20, 2, 30, 30, 2]
    gt["annotations"].append(arrow)
    rows.append({**rows[0], "category_id": 2, "keypoints": arrow["keypoints"]})
    with pytest.raises(SettingsError, match="category 'arrow' of the ground truth has 3 joints"):
        evaluate(rows, gt)
    report = evaluate(rows, gt, sigmas={"person": "coco", "arrow": [0.1, 0.1, 0.1]})
    person, arrow_ap = base()["AP"], 1.0
    assert person is not None
    assert report.stats["AP"] == pytest.approx((person + arrow_ap) / 2)
    rows[-1]["keypoints"] = rows[0]["keypoints"]
    with pytest.raises(ResultsError, match="keypoints has 51 numbers, the ground truth has 3 join"):
        evaluate(rows, gt, sigmas={"person": "coco", "arrow": [0.1, 0.1, 0.1]})


def test_boxes_of_other_categories_take_no_part() -> None:
    gt, rows = make()
    gt["categories"].append({"id": 2, "name": "car"})
    gt["annotations"].append({"id": 99, "image_id": 100, "category_id": 2, "bbox": [1, 1, 5, 5]})
    assert evaluate(rows, gt).stats == base()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b" \n", "is empty (2 bytes)"),
        (b"image,score\n1,0.5\n", "is not JSON"),
        (b"\x80\x04\x95", "is not UTF-8 text"),
        (b'[{"image_id": 100, "category', "the file seems to be cut off"),
        (b"[1, 2] x", "is not JSON"),
        (b"{}", "must be a list of results, got an object"),
        (b'{"annotations": []}', "must be a list of results, got an object with annotations"),
        (b"3", "must be a list of results, got int"),
        (b"null", "must be a list of results, got NoneType"),
        (b'"text"', "must be a list of results, got str"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "cannot be read"),
        (gzip.compress(b"[]")[:-6], "damaged or truncated gzip"),
        (b"\x1f\x8b nothing", "damaged or truncated gzip"),
        (b'{"image_id": 100, "category_id": 1, "keypoints": []}\n{"im', "line 2 is not JSON"),
    ],
)
def test_files_that_are_no_results(content: bytes, message: str, tmp_path: Path) -> None:
    gt, _ = make()
    file = tmp_path / "results.json"
    file.write_bytes(content)
    with pytest.raises(ResultsError, match=re.escape(message)) as error:
        evaluate(file, gt)
    assert "results.json" in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    gt, rows = make()
    with pytest.raises(ResultsError, match="No such file"):
        evaluate(tmp_path / "none.json", gt)
    with pytest.raises(ResultsError, match="it is a folder"):
        evaluate(tmp_path, gt)
    with pytest.raises(ResultsError, match="it is a folder"):
        evaluate(rows, tmp_path)
    secret = tmp_path / "secret.json"
    secret.write_text("[]")
    secret.chmod(0)
    if not os.access(secret, os.R_OK):
        with pytest.raises(ResultsError, match="Permission denied"):
            evaluate(secret, gt)


def test_swapped_files_are_recognised(tmp_path: Path) -> None:
    results, truth = write(tmp_path, *make())
    with pytest.raises(ResultsError, match="are the two files swapped"):
        evaluate(truth, results)
    with pytest.raises(ResultsError, match="is this the ground truth"):
        evaluate(truth, truth)


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (gzip.compress, "results.json.gz"),
        (lambda data: b"\xef\xbb\xbf" + data, "results.json"),
        (lambda data: data.decode().encode("utf-16"), "results.json"),
        (lambda data: b"\n ".join(json.dumps(r).encode() for r in json.loads(data)), "rows.jsonl"),
        (lambda data: b"\n  " + data + b"\n", "results.json"),
    ],
)
def test_other_forms_of_a_file(pack: Callable[[bytes], bytes], name: str, tmp_path: Path) -> None:
    gt, rows = make()
    file = tmp_path / name
    data = pack(json.dumps(rows).encode())
    file.write_bytes(data)
    assert evaluate(file, gt).stats == base()
    assert evaluate(data, gt).stats == base()
    with file.open("rb") as opened:
        assert evaluate(opened, gt).stats == base()
    if name.endswith(".json.gz"):
        assert evaluate(rows, gzip.compress(json.dumps(gt).encode())).stats == base()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigmas": [0.1] * 3}, "17 joints but there are 3 sigmas"),
        ({"sigmas": [0.1] * 16 + [0]}, "sigma 16 must be a finite number above 0, got 0"),
        ({"sigmas": [0.1] * 16 + [-1]}, "sigma 16 must be a finite number above 0, got -1"),
        ({"sigmas": [0.1] * 16 + [NAN]}, "sigma 16 must be a finite number above 0, got nan"),
        ({"sigmas": [0.1] * 16 + ["x"]}, "sigma 16 must be a finite number above 0, got 'x'"),
        ({"sigmas": []}, "the list is empty"),
        ({"sigmas": "cocoo"}, "did you mean coco?"),
        ({"sigmas": "crowdpose"}, "17 joints but there are 14 sigmas"),
        ({"protocol": "xtcoc"}, "did you mean xtcoco?"),
        ({"area": "box"}, "area must be one of ann, bbox"),
        ({"max_dets": 0}, "max_dets must be a whole number above 0, got 0"),
        ({"joints": "joint3,joint99"}, "there is no joint 'joint99'"),
        ({"joints": "15-17"}, "joint 17 does not exist: there are 17"),
        ({"joints": "1,1"}, "name a joint twice"),
        ({"oks": "0.5:0.9"}, "OKS thresholds must be FIRST:LAST:STEP"),
        ({"oks": [0.5, 1.5]}, "must lie above 0 and at most at 1"),
        ({"oks": [0.9, 0.5]}, "must rise"),
        ({"areas": "small=0"}, "area 'small' must be NAME=LOW:HIGH"),
        ({"areas": {"small": (10, 5)}}, "0 <= LOW < HIGH must hold"),
        ({"images": [100, 5]}, "1 of the chosen images are not in the ground truth: 5"),
        ({"unknown_images": "skip"}, "unknown_images must be one of error, drop"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    gt, rows = make()
    with pytest.raises(SettingsError, match=re.escape(message)):
        evaluate(rows, gt, **arguments)


def test_sigmas_from_a_file(tmp_path: Path) -> None:
    gt, rows = make()
    wanted = evaluate(rows, gt, sigmas=[0.03] * 17).stats
    file = tmp_path / "sigmas"
    for text in ("[" + ", ".join(["0.03"] * 17) + "]", "\n".join(["0.03"] * 17)):
        file.write_text(text)
        assert evaluate(rows, gt, sigmas=file).stats == wanted
    file.write_text(json.dumps({"person": [0.03] * 17}))
    assert evaluate(rows, gt, sigmas=str(file)).stats == wanted
    for text, message in (("a b", "is not a list of numbers"), ("3", "must be a list of numbers")):
        file.write_text(text)
        with pytest.raises(SettingsError, match=message):
            evaluate(rows, gt, sigmas=file)
    assert "odd-sigmas" in codes(evaluate(rows, gt, sigmas=[0.26] * 17))
