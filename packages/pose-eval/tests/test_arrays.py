"""Ground truth and results as arrays: the numbers of the files, and errors that name the array."""

import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pose_eval import Evaluator, ResultsError, evaluate, read_ground_truth

Arrays = dict[str, Any]
Content = dict[str, Any]
Set = tuple[Content, list[dict[str, Any]]]


def arrays_of(gt: Content) -> Arrays:
    """Return a COCO object as arrays."""
    rows = gt["annotations"]
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints")
    columns = {key: np.array([row[key] for row in rows]) for key in keys}
    return columns | {
        "name": "val.json",
        "images": np.array([image["id"] for image in gt["images"]]),
        "categories": gt["categories"],
        "keypoints": np.array([row["keypoints"] for row in rows], np.float64).reshape(
            len(rows), -1, 3
        ),
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_those_of_the_file(random_set: Callable[..., Any], seed: int) -> None:
    gt, rows = random_set(seed, boxes=seed % 2 == 0)
    wanted = evaluate(rows, gt)
    arrays = arrays_of(gt)
    report = evaluate(rows, arrays)
    assert (report.stats, report.counts) == (wanted.stats, wanted.counts)
    for name, value in vars(wanted.gt).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(report.gt, name), value)
    arrays["iscrowd"] = arrays["iscrowd"].astype(bool)
    evaluator = pickle.loads(pickle.dumps(Evaluator(arrays)))
    evaluator.add(rows)
    assert evaluator.report().stats == wanted.stats
    assert evaluate(rows, arrays, area="bbox").stats == evaluate(rows, gt, area="bbox").stats


def test_images_in_any_order_with_their_files(random_set: Callable[..., Any]) -> None:
    gt, _ = random_set(1)
    arrays = arrays_of(gt)
    count = len(arrays["images"])
    arrays["file_names"] = [f"{each}.jpg" for each in arrays["images"]]
    arrays["image_sizes"] = np.column_stack([arrays["images"], np.ones(count)])
    found, warnings = read_ground_truth(arrays)
    assert found.name == "val.json"
    assert found.file_names == tuple(f"{each}.jpg" for each in found.image_ids)
    assert found.image_sizes[:, 0].tolist() == found.image_ids.tolist()
    assert warnings == read_ground_truth(gt, name="val.json")[1]


def test_one_category_without_names(small_set: Set) -> None:
    gt, rows = small_set
    wanted = evaluate(rows, gt).stats
    arrays = arrays_of(gt)
    arrays["categories"] = [{"id": 1, "name": "mouse", "keypoints": []}]
    assert evaluate(rows, arrays).stats == wanted
    del arrays["category_id"]
    assert evaluate(rows, arrays).stats == wanted


def test_strangers_and_what_is_missing(small_set: Set) -> None:
    gt, rows = small_set
    arrays = arrays_of(gt)
    arrays["image_id"][7] = 5
    for key in ("id", "area", "num_keypoints", "iscrowd", "bbox"):
        del arrays[key]
    report = evaluate(rows, arrays)
    assert len(report.gt.ids) == 7
    found = [re.findall(r"\[([a-z-]+)\]$", warning)[0] for warning in report.warnings]
    assert found == ["left-out", *["derived-values"] * 4]
    arrays["image_id"][:] = 5
    with pytest.raises(ResultsError, match=r"val\.json: image_id of 8 annotations .*which are all"):
        evaluate(rows, arrays)


BAD = [
    ("val.json: keypoints[3, 2, 0] must be a finite number, got nan", "keypoints"),
    ("val.json: bbox[3, 2] must be a finite number, got nan", "bbox"),
    ("val.json: area[3] must be a finite number, got nan", "area"),
    ("val.json: image_id[3] must be an integer, got 0.5", "image_id"),
    ("val.json annotation 3 (id 14, image 101): area must not be negative", "negative"),
    ("val.json annotation 0 (id 11, image 100): annotation id 11 occurs 2 times", "equal"),
    ("val.json: iscrowd[3] must be 0 or 1, got 2.0", "iscrowd"),
    ("val.json: num_keypoints[3] must be a whole number, got 1.5", "num_keypoints"),
    ("val.json: bbox must be an array (8, 4), got shape (8, 3)", "shape"),
    ("val.json: area has 7 rows, keypoints has 8", "rows"),
    ("val.json: keypoints must be an array (M, K, 3), got shape (8, 17, 2)", "two"),
    ("val.json: keypoints has 16 keypoints, the ground truth has 17", "joints"),
    ("val.json: id must be integers, got an array of bool", "bool"),
    ("val.json: area must be numbers, got an array of <U1", "text"),
    ("val.json has no array images", "no images"),
    ("val.json has no array image_id", "no image_id"),
    ("val.json: images must be an array of ids (I,), got shape (2, 2)", "images"),
    ("a row for each of the 4 images", "file_names"),
    ("val.json: image_sizes[1, 0] must be a finite number", "image_sizes"),
]
CHANGES: dict[str, Callable[[Arrays], Any]] = {
    "keypoints": lambda a: a["keypoints"].__setitem__((3, 2, 0), np.nan),
    "bbox": lambda a: a.update(bbox=np.where(np.arange(32).reshape(8, 4) == 14, np.nan, 1)),
    "area": lambda a: a["area"].__setitem__(3, np.nan),
    "image_id": lambda a: a.update(image_id=np.where(np.arange(8) == 3, 0.5, a["image_id"])),
    "negative": lambda a: a["area"].__setitem__(3, -1),
    "equal": lambda a: a["id"].__setitem__(3, 11),
    "iscrowd": lambda a: a["iscrowd"].__setitem__(3, 2),
    "num_keypoints": lambda a: a.update(num_keypoints=np.where(np.arange(8) == 3, 1.5, 1)),
    "shape": lambda a: a.update(bbox=a["bbox"][:, :3]),
    "rows": lambda a: a.update(area=a["area"][:7]),
    "two": lambda a: a.update(keypoints=a["keypoints"][..., :2]),
    "joints": lambda a: a.update(keypoints=a["keypoints"][:, :16]),
    "bool": lambda a: a.update(id=a["id"] > 0),
    "text": lambda a: a.update(area=np.array(["9"] * 8)),
    "no images": lambda a: a.pop("images"),
    "no image_id": lambda a: a.pop("image_id"),
    "images": lambda a: a.update(images=np.ones((2, 2), int)),
    "file_names": lambda a: a.update(file_names=["a.jpg"]),
    "image_sizes": lambda a: a.update(image_sizes=np.array([[1, 1], [np.inf, 1]] * 2)),
}


@pytest.mark.parametrize(("message", "what"), BAD)
def test_bad_arrays(message: str, what: str, small_set: Set) -> None:
    gt, rows = small_set
    arrays = arrays_of(gt)
    CHANGES[what](arrays)
    with pytest.raises(ResultsError, match=re.escape(message)):
        evaluate(rows, arrays)


def test_results_as_arrays(random_set: Callable[..., Any]) -> None:
    gt, rows = random_set(3, boxes=True)
    expected = evaluate(rows, gt)
    arrays = {
        "image_id": np.array([row["image_id"] for row in rows]),
        "keypoints": np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, 17, 3),
        "score": np.array([row["score"] for row in rows]),
        "bbox": np.array([row["bbox"] for row in rows]),
    }
    assert evaluate(arrays, gt).stats == expected.stats
    assert evaluate(arrays | {"image_id": arrays["image_id"].tolist()}, gt).stats == expected.stats
    evaluator = Evaluator(gt)
    evaluator.add({key: value[:7] for key, value in arrays.items()})
    evaluator.add({key: value[7:] for key, value in arrays.items()})
    assert evaluator.report().stats == expected.stats
    with pytest.raises(ResultsError, match="results has no array score"):
        evaluator.add({"keypoints": arrays["keypoints"], "image_id": arrays["image_id"]})
    with pytest.raises(ResultsError, match=r"score has 2 rows, keypoints has"):
        evaluator.add(arrays | {"score": [0.5, 0.5]})
    with pytest.raises(ResultsError, match=r"results row 0 .*image_id 5 is not in ground truth"):
        evaluator.add(arrays | {"image_id": np.full(len(rows), 5)})
    with pytest.raises(
        ResultsError, match="16 keypoints, the ground truth has 17; --joints 0-15 eva"
    ):
        evaluator.add(arrays | {"keypoints": arrays["keypoints"][:, :16]})
    arrays["keypoints"][4, 2, 0] = np.nan
    with pytest.raises(ResultsError, match=r"keypoints\[4, 2, 0\] must be a finite number, got na"):
        evaluator.add(arrays)
    assert evaluator.report().stats == expected.stats, "what was refused left no trace"
