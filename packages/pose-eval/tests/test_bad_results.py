"""Bad results: an error that names the place, or a warning; never a number without a word."""

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose_eval import Report, ResultsError, evaluate

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


BAD_ROWS = [
    (
        put("keypoints", [1.0] * 48),
        "keypoints has 48 numbers, the ground truth has 17 keypoints (51",
    ),
    (
        put("keypoints", [1.0] * 54),
        "keypoints has 54 numbers, the ground truth has 17 keypoints (51",
    ),
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
    (put("bbox", True), "bbox must be a list of numbers, got true"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ROWS, ids=[m[:40] for _, m in BAD_ROWS])
@pytest.mark.parametrize("where", ["first", "middle", "all"])
def test_a_bad_row(
    change: Callable[[Any], None], message: str, where: str, small_set: Set, write: Write
) -> None:
    gt, rows = small_set
    bad = {"first": [0], "middle": [5], "all": range(len(rows))}[where]
    for number in bad:
        change(rows[number])
    results, truth = write(gt, rows)
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


def test_a_row_that_is_no_object_or_has_a_key_twice(small_set: Set, write: Write) -> None:
    gt, rows = small_set
    for bad in (3, None, "row", [1, 2]):
        with pytest.raises(ResultsError, match=r"row 2: must be an object, got"):
            evaluate([*rows[:2], bad, *rows[2:]], gt)
    results, truth = write(gt, rows)
    results.write_text(results.read_text().replace('"score": 0.9}', '"score": 0.9, "score": 0.1}'))
    with pytest.raises(
        ResultsError, match=r"results.json row 0 .*has the key 'score' more than onc"
    ):
        evaluate(results, truth)


def test_a_whole_number_written_as_a_float_is_read_with_a_warning(
    small_set: Set, base: Stats, codes: Codes
) -> None:
    gt, rows = small_set
    for row in rows:
        row["image_id"] = float(row["image_id"])
    report = evaluate(rows, gt)
    assert report.stats == base
    assert codes(report) == {"float-ids"}


def test_unknown_images_and_categories_can_be_dropped(
    small_set: Set, base: Stats, codes: Codes
) -> None:
    gt, rows = small_set
    extra = [{**rows[0], "image_id": 5}, {**rows[1], "image_id": 6}, {**rows[2], "category_id": 3}]
    with pytest.raises(
        ResultsError, match=r"unknown image_id in 2 of 11 rows: 5, 6; --unknown-ima"
    ):
        evaluate([*extra, *rows], gt)
    report = evaluate([*extra, *rows], gt, unknown_images="drop", unknown_categories="drop")
    assert report.stats == base
    assert codes(report) == {"unknown-images", "unknown-categories"}
    assert report.counts["detections"] == 8
    assert report.results.row.tolist() == list(range(3, 11))


def test_category_ids_as_text_and_joints_as_booleans(
    small_set: Set, base: Stats, codes: Codes
) -> None:
    gt, rows = small_set
    for row in rows:
        row["category_id"] = "1"
        row["keypoints"][2::3] = [True] * 17
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"text-ids"})


def test_string_ids(small_set: Set, base: Stats) -> None:
    gt, rows = small_set
    for entry in gt["images"]:
        entry["id"] = f"a{entry['id']}"
    for entry in gt["annotations"]:
        entry["image_id"] = f"a{entry['image_id']}"
        entry["id"] = f"person {entry['id']}"
    with pytest.raises(ResultsError, match="one file has strings as ids, the other integers"):
        evaluate(rows, gt)
    for row in rows:
        row["image_id"] = f"a{row['image_id']}"
    assert evaluate(rows, gt).stats == base


def test_boxes_in_some_rows(small_set: Set, base: Stats, codes: Codes) -> None:
    gt, rows = small_set
    rows[0]["bbox"] = [1, 2, 30, 40]
    with pytest.raises(ResultsError, match=r"row 1 .*has no bbox, but row 0 has one"):
        evaluate(rows, gt)
    del rows[0]["bbox"]
    rows[3]["bbox"] = [1, 2, 30, 40]
    report = evaluate(rows, gt)
    assert (report.stats, codes(report)) == (base, {"bbox-in-some-rows"})
    for number, row in enumerate(rows):
        row["bbox"] = None if number % 2 else []
    assert evaluate(rows, gt).results.bbox is None


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
        (gzip.compress(b"[]", mtime=0)[:-6], "damaged or truncated gzip"),
        (b"\x1f\x8b nothing", "damaged or truncated gzip"),
        (b'{"image_id": 100, "category_id": 1, "keypoints": []}\n{"im', "line 2 is not JSON"),
    ],
)
def test_files_that_are_no_results(
    content: bytes, message: str, tmp_path: Path, small_set: Set
) -> None:
    gt, _ = small_set
    file = tmp_path / "results.json"
    file.write_bytes(content)
    with pytest.raises(ResultsError, match=re.escape(message)) as error:
        evaluate(file, gt)
    assert "results.json" in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path, small_set: Set) -> None:
    gt, rows = small_set
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


def test_swapped_files_are_recognised(small_set: Set, write: Write) -> None:
    results, truth = write(*small_set)
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
def test_other_forms_of_a_file(
    pack: Callable[[bytes], bytes], name: str, tmp_path: Path, small_set: Set, base: Stats
) -> None:
    gt, rows = small_set
    file = tmp_path / name
    data = pack(json.dumps(rows).encode())
    file.write_bytes(data)
    assert evaluate(file, gt).stats == base
    assert evaluate(data, gt).stats == base
    with file.open("rb") as opened:
        assert evaluate(opened, gt).stats == base
    if name.endswith(".json.gz"):
        assert evaluate(rows, gzip.compress(json.dumps(gt).encode())).stats == base
