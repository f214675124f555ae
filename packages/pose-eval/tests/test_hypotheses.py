"""An AP of 0 is explained: what the coordinates are instead of pixels of their image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_eval import evaluate
from pose_eval.analysis.hypotheses import explain

Floats = NDArray[np.float64]
Change = Callable[[Floats, Floats, Floats], Floats]  # of points, boxes and image sizes per row
SIZES = np.array([[640.0, 480], [480, 640], [500, 375], [333, 500], [1280, 720], [427, 640]])
JOINTS, IMAGES = 7, 24


def scene(joints: int = JOINTS, noise: float = 0.02) -> dict[str, Any]:
    """Return arguments of `explain`: two persons in most images, joints without labels, noise."""
    rng = np.random.default_rng(0)
    image = np.sort(np.concatenate([np.arange(IMAGES), rng.permutation(IMAGES)[:15]]))
    sizes = SIZES[np.arange(IMAGES) % len(SIZES)]
    wh = sizes[image] * rng.uniform(0.2, 0.6, (len(image), 2))
    boxes = np.hstack([rng.uniform(0, 1, wh.shape) * (sizes[image] - wh), wh])
    xy = boxes[:, None, :2] + rng.uniform(0.05, 0.95, (len(image), joints, 2)) * wh[:, None]
    v = rng.choice([0, 1, 2], (*xy.shape[:2], 1), p=[0.1, 0.2, 0.7])
    found = xy + rng.normal(0, noise, xy.shape) * wh.mean(axis=1)[:, None, None]
    scores = rng.uniform(0.2, 1, v.shape)
    order = rng.permutation(len(image))  # rows of a file are in any order
    return {
        "points": np.concatenate([found, scores], axis=-1)[order],
        "row_boxes": boxes[order],
        "row_image": image[order],
        "gt_points": np.concatenate([np.where(v > 0, xy, 0), v], axis=-1),
        "gt_boxes": boxes,
        "gt_image": image,
        "image_sizes": sizes,
        "sigmas": np.full(joints, 0.06),
    }


def padded(boxes: Floats, aspect: float) -> Floats:
    """Return the sides of the crop that top-down networks see: the aspect ratio, 1.25 as large."""
    wide = np.maximum(boxes[:, 2], boxes[:, 3] * aspect) * 1.25
    return np.stack([wide, wide / aspect], axis=1)[:, None]


def network(w: int, h: int) -> Change:
    def change(p: Floats, box: Floats, size: Floats) -> Floats:
        centre = (box[:, :2] + box[:, 2:] / 2)[:, None]
        return (p - centre) / padded(box, w / h) * (w, h) + np.array([w, h]) / 2

    return change


def stretched(w: float, h: float) -> Change:
    return lambda p, box, size: (p - box[:, None, :2]) / box[:, None, 2:] * (w, h)


def letterbox(p: Floats, box: Floats, size: Floats) -> Floats:
    return (p - size / 2) * 512 / size.max(axis=-1, keepdims=True) + 256


CASES: list[tuple[Change, str]] = [
    (lambda p, box, size: p[..., ::-1], "(y, x, score)"),
    (lambda p, box, size: size * (1, 0) - p * (1, -1), "pixels of the mirrored image"),
    (lambda p, box, size: p / size, "fractions of the image"),
    (lambda p, box, size: p / 2, "multiply x and y by 2"),
    (lambda p, box, size: p * 2, "pixels of images 2 times as large"),
    (lambda p, box, size: p / size * (512, 512), "whole image scaled to about 51"),
    (letterbox, "whole image scaled to about 51"),
    (lambda p, box, size: p - box[:, None, :2], "pixels of the crop, counted from the corner"),
    (stretched(1, 1), "fractions of the box"),
    (stretched(192, 256), "network's input, the crop scaled to about 19"),
    (network(192, 256), "network's input, the crop scaled to about 19"),
    (network(384, 384), "network's input, the crop scaled to about 38"),
    (network(48, 64), "network's heatmap, the crop scaled to about 48x6"),
]


@pytest.mark.parametrize("own_boxes", [True, False])
@pytest.mark.parametrize(("change", "words"), CASES)
def test_another_place_is_named(change: Change, words: str, own_boxes: bool) -> None:
    a = scene()
    xy = change(a["points"][..., :2], a["row_boxes"], a["image_sizes"][a["row_image"]][:, None])
    a["points"][..., :2] = xy
    if not own_boxes:
        a["row_boxes"] = np.full_like(a["row_boxes"], np.nan)
    assert words in (explain(**a) or "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[..., [2, 0, 1]], "read as (score, x, y), the rows have a mean OKS of 0.9"),
        (lambda p: p.swapaxes(1, 2).reshape(p.shape), "read as (all x, all y, all scores)"),
        (lambda p: p[:, [1, 0, 3, 2, 5, 4, 6]], "are the rows' joints 1, 0, 3, 2, 5, 4, 6"),
        (lambda p: np.roll(p, 2, axis=1), "are the rows' joints 2, 3, 4, 5, 6, 0, 1"),
    ],
)
def test_another_order_is_named(change: Callable[[Floats], Floats], words: str) -> None:
    a = scene()
    a["points"] = change(a["points"])
    assert words in (explain(**a) or "")


@pytest.mark.parametrize(("step", "way"), [(1, "previous"), (-1, "next")])
def test_ids_that_are_off_by_one(step: int, way: str) -> None:
    a = scene()
    a["row_image"] = (a["row_image"] + step) % IMAGES
    assert f"rows of the {way} image in the order of ids" in (explain(**a) or "")


def test_nothing_is_named_without_a_reason() -> None:
    rng = np.random.default_rng(1)
    assert explain(**scene()) is None, "right as they are"
    a = scene()
    box, shape = a["row_boxes"][:, None], (*a["points"].shape[:2], 2)
    random = box[..., :2] + rng.uniform(0, 1, shape) * box[..., 2:]
    for xy in (random, box[..., :2] + box[..., 2:] / 2, a["points"][:1, :, :2], 0.0, 1e300, np.inf):
        a["points"][..., :2] = xy
        assert explain(**a) is None
    few = scene()
    few["points"][..., :2] /= 2
    for key in ("gt_points", "gt_boxes", "gt_image"):
        few[key] = few[key][:4]
    assert explain(**few) is None, "four persons prove nothing"
    for key in ("points", "row_boxes", "row_image"):
        few[key] = few[key][:0]
    assert explain(**few) is None


def test_many_joints_and_many_rows_are_thinned_out() -> None:
    a = scene(joints=133)
    for key in ("points", "row_boxes", "row_image"):
        a[key] = np.concatenate([a[key]] * 30)
    a["points"] = a["points"][:, ::-1]
    assert "are the rows' joints 132, 131, 130" in (explain(**a) or "")


def coco(a: dict[str, Any], category: int = 1) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return arrays of `scene` as ground truth and rows."""
    names = [f"joint{k}" for k in range(a["points"].shape[1])]
    images = [
        {"id": 10 * i, "width": w, "height": h}
        for i, (w, h) in enumerate(a["image_sizes"].tolist())
    ]
    annotations = [
        {
            "id": n,
            "image_id": 10 * image,
            "category_id": category,
            "keypoints": keypoints.ravel().tolist(),
            "bbox": box.tolist(),
            "area": box[2] * box[3] * 0.5,
        }
        for n, (keypoints, box, image) in enumerate(
            zip(a["gt_points"], a["gt_boxes"], a["gt_image"].tolist(), strict=True), start=1
        )
    ]
    rows = [
        {
            "image_id": 10 * image,
            "category_id": category,
            "keypoints": keypoints.ravel().tolist(),
            "score": float(keypoints[:, 2].mean()),
        }
        for keypoints, image in zip(a["points"], a["row_image"].tolist(), strict=True)
    ]
    categories = [{"id": category, "name": f"animal{category}", "keypoints": names}]
    return {"images": images, "annotations": annotations, "categories": categories}, rows


def named(report: Any, code: str) -> list[str]:
    return [line for line in report.warnings if line.endswith(f"[{code}]")]


def test_evaluation_warns_where_ap_is_nearly_0() -> None:
    a = scene()
    a["points"][..., :2] *= 2
    gt, rows = coco(a)
    report = evaluate(rows, gt, sigmas=a["sigmas"])
    assert "AP is 0.0" in named(report, "wrong-coordinates")[0]
    assert "pixels of images 2 times as large" in named(report, "wrong-coordinates")[0]
    right, rows = coco(scene())
    assert not named(evaluate(rows, right, sigmas=a["sigmas"]), "wrong-coordinates")


def test_each_category_is_explained_and_a_wrong_one_named() -> None:
    a, b = scene(), scene(joints=5)
    a["points"] = a["points"][..., [1, 0, 2]]
    (gt, rows), (other, more) = coco(a, 1), coco(b, 2)
    for annotation in other["annotations"]:
        annotation["id"] += 1000
    gt["annotations"] += other["annotations"]
    gt["categories"] += other["categories"]
    sigmas = {"animal1": [0.06] * 7, "animal2": [0.06] * 5}
    (line,) = named(evaluate(rows + more, gt, sigmas=sigmas), "wrong-coordinates")
    assert "AP of animal1 is" in line
    assert "(y, x, score)" in line

    gt["annotations"] = [row for row in gt["annotations"] if row["category_id"] == 1]
    (line,) = named(evaluate(rows + more, gt, sigmas=sigmas), "unused-category")
    assert f"{len(more)} of {len(rows + more)} rows are of category animal2, of which" in line
