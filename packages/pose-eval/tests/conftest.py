"""Small random data with everything that makes evaluation hard."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import Report, evaluate

NAMES = [f"joint{k}" for k in range(17)]
Content = dict[str, Any]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def random_set() -> Callable[..., tuple[Content, Rows]]:
    """Return a function of a seed that makes ground truth and rows."""
    return make_random_set


@pytest.fixture
def small_set() -> tuple[Content, Rows]:
    """Return ground truth of 4 images with 2 persons each, and a row for each, a little off."""
    return make_small_set()


@pytest.fixture(scope="session")
def base() -> dict[str, float | None]:
    """Return the numbers of the small set, of which nothing is odd."""
    gt, rows = make_small_set()
    report = evaluate(rows, gt)
    assert report.warnings == ()
    return report.stats


@pytest.fixture(scope="session")
def codes() -> Callable[[Report], set[str]]:
    """Return a function of a report that gives the codes of its warnings."""

    def of(report: Report) -> set[str]:
        return {re.findall(r"\[([a-z-]+)\]$", warning)[0] for warning in report.warnings}

    return of


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any, Any], tuple[Path, Path]]:
    """Return a function that writes ground truth and rows: the paths of results and truth."""

    def files(gt: Any, rows: Any) -> tuple[Path, Path]:
        results, truth = tmp_path / "results.json", tmp_path / "gt.json"
        results.write_text(json.dumps(rows))
        truth.write_text(json.dumps(gt))
        return results, truth

    return files


def make_random_set(seed: int, boxes: bool = False) -> tuple[Content, Rows]:
    """Return ground truth and rows with ties, crowds, empty images, unlabelled and tiny persons.

    boxes: the rows have a bbox.
    """
    rng = np.random.default_rng(seed)
    images = [{"id": int(i)} for i in rng.permutation(30)[:12] * 7]
    annotations: Rows = []
    rows: Rows = []
    for image in images:
        for _ in range(rng.integers(0, 5)):
            annotations.append(_person(rng, image["id"], len(annotations) + 1))
            for _ in range(rng.integers(0, 4)):
                rows.append(_row(rng, annotations[-1], boxes))
                if rng.random() < 0.15:
                    rows.append(dict(rows[-1]))
        for _ in range(rng.integers(0, 3) * rng.integers(0, 12)):  # background, now and then > 20
            rows.append(_row(rng, _person(rng, image["id"], 0), boxes))
    order = rng.permutation(len(rows))
    gt = {"images": images, "annotations": annotations}
    gt["categories"] = [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}]
    return gt, [rows[i] for i in order]


def _person(rng: np.random.Generator, image: int, number: int) -> dict[str, Any]:
    size = float(rng.choice([20.0, 32.0, 60.0, 96.0, 200.0]))
    x, y = rng.uniform(0, 60, 2).round(1).tolist()
    points = rng.uniform(0, size, (17, 2)) + np.array([x, y])
    labelled = rng.choice([0, 1, 2], 17, p=[0.3, 0.2, 0.5])
    if rng.random() < 0.2:
        labelled[:] = 0
    keypoints = np.column_stack([points.round(), labelled])
    keypoints[labelled == 0] = 0
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": int(rng.random() < 0.15),
        "bbox": [x, y, size, size],
        # Areas on the border of a range (32^2, 96^2) are in both.
        "area": size**2 if rng.random() < 0.5 else size**2 * 0.6,
        "num_keypoints": int((labelled > 0).sum()) if rng.random() < 0.9 else 0,
        "keypoints": keypoints.ravel().tolist(),
    }


def _row(rng: np.random.Generator, person: dict[str, Any], boxes: bool) -> dict[str, Any]:
    keypoints = np.reshape(person["keypoints"], (17, 3)).astype(float)
    missing = keypoints[:, 2] == 0
    x, y, w, h = person["bbox"]
    keypoints[missing, :2] = rng.uniform(0, 1, (int(missing.sum()), 2)) * (w, h) + (x, y)
    noise = rng.choice([0.0, 0.01, 0.05, 0.15]) * w
    keypoints[:, :2] += rng.normal(0, 1, (17, 2)) * noise
    keypoints[:, 2] = rng.uniform(0, 1, 17)
    row = {
        "image_id": person["image_id"],
        "category_id": 1,
        "keypoints": keypoints.ravel().tolist(),
        "score": float(rng.uniform(0, 1).__round__(int(rng.integers(1, 4)))),
    }
    if boxes:
        row["bbox"] = [x, y, w * float(rng.uniform(0.5, 2)), h]
    return row


def make_small_set() -> tuple[Content, Rows]:
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
