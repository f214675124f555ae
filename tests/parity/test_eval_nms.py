"""NMS, rescoring and the rows that CocoMetric writes, against the stored numbers of MMPose."""

import functools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import Numbers, data_file, found, read

from pose_eval import COCO_SIGMAS, evaluate
from pose_eval.nms import (
    first_of_each_id,
    mutual_oks,
    nearby_nms,
    oks_nms,
    per_image,
    rescore,
    soft_oks_nms,
)

METHODS: dict[str, Any] = {
    "none": lambda keypoints, scores, area, thr: np.arange(len(scores)),
    "oks_nms": functools.partial(oks_nms, sigmas=COCO_SIGMAS),
    "soft_oks_nms": functools.partial(soft_oks_nms, sigmas=COCO_SIGMAS),
}


def setting(name: str) -> tuple[Any, dict[str, Any]]:
    """Read a name such as `soft_oks_nms_0p9_max20` or `oks_nms_0.9_vis0.5`."""
    method, thr, rest = re.fullmatch(r"([a-z_]+?)_(\d+[p.]\d+)(.*)", name).groups()  # type: ignore
    numbers = {"vis": "vis_thr", "max": "max_dets"}
    options = {
        numbers[k]: float(v.replace("p", ".")) for k, v in re.findall("_(vis|max)(.+)", rest)
    }
    if "max_dets" in options:
        options["max_dets"] = int(options["max_dets"])
    return METHODS.get(method), {"thr": float(thr.replace("p", ".")), **options}


def test_rows_kept_of_each_image(parity_dir: Path, subtests: pytest.Subtests) -> None:
    files = sorted((parity_dir / "eval").glob("*/nms.json"))
    if not files:
        pytest.skip("no eval/*/nms.json among these reference numbers")
    for file in files:
        expected, raw = read(file), read(file.with_name("raw.npz"))
        keypoints, image = raw["keypoints"], raw["image_id"]
        area = np.prod(raw["scale_wh"], axis=1)
        scores = rescore(
            raw["box_score"].astype(np.float64),
            keypoints[..., 2].astype(np.float64),
            "bbox_keypoint",
        )
        checked = 0
        for name, images in expected.items():
            if not re.search("nms_", name):
                continue
            for image_id, rows in images.items():
                here = np.flatnonzero(image == int(image_id))
                got = here[suppress(name, keypoints[here], scores[here], area[here])]
                assert got.tolist() == rows, f"{file} {name} image {image_id}"
                checked += 1
        assert checked
        with subtests.test(f"{file.parent.name} oks"):
            example = expected["oks_iou_example"]
            rows = np.array(example["rows"])
            got = mutual_oks(keypoints[rows], area[rows], COCO_SIGMAS)[0, 1:]
            np.testing.assert_allclose(got, example["first_against_rest"], rtol=1e-6, atol=1e-12)


def suppress(
    name: str, keypoints: NDArray[Any], scores: NDArray[Any], area: NDArray[Any]
) -> NDArray[Any]:
    if name.startswith("nearby"):
        thr, most = re.fullmatch(r"nearby_joints_nms_(\d+p\d+)_max(\d+)", name).groups()  # type: ignore
        return nearby_nms(keypoints, scores, float(thr.replace("p", ".")), max_dets=int(most))
    method, options = setting(name)
    return method(keypoints, scores, area, **options)


def test_functions_on_arrays(subtests: pytest.Subtests) -> None:
    arrays = read("topdown/metric/nms_cases.npz")
    for case in sorted({key.partition("|")[0] for key in arrays}):
        with subtests.test(case):
            check_functions(arrays.below(f"{case}|"))


def check_functions(stored: dict[str, NDArray[Any]]) -> None:
    keypoints, scores, area = (stored[key] for key in ("keypoints", "score", "area"))
    tied = len(np.unique(scores)) < len(scores)  # the order of tied scores depends on the CPU
    for name, expected in stored.items():
        if name in ("keypoints", "score", "area"):
            continue
        if name.startswith("oks_iou"):
            vis = re.search(r"_vis(.+)", name)
            thr = float(vis[1]) if vis else None
            got = mutual_oks(keypoints, area, COCO_SIGMAS, vis_thr=thr)[0]
            np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-12)
        elif not tied:
            method, options = setting(name)
            got = method(keypoints, scores, area, **options)
            assert got.tolist() == expected.tolist(), name


def rows_of(
    raw: dict[str, NDArray[Any]], mode: str, method: str, thr: float, score_thr: float
) -> list[dict[str, Any]]:
    """Do what CocoMetric does to its predictions before it writes them."""
    keypoints = np.concatenate([raw["xy"], raw["joint_scores"][..., None]], axis=-1)
    scores = rescore(raw["box_score"], raw["joint_scores"], mode, score_thr)

    def keep(rows: NDArray[Any]) -> NDArray[Any]:
        return METHODS[method](keypoints[rows], scores[rows], raw["area"][rows], thr=thr)

    order = first_of_each_id(raw["image"], raw["id"])
    kept = order[per_image(raw["image"][order], lambda rows: keep(order[rows]))]
    return [
        {
            "image_id": int(raw["image"][i]),
            "category_id": 1,
            "keypoints": keypoints[i].astype(float).ravel().tolist(),
            "score": float(scores[i]),
            "bbox": raw["bbox"][i].astype(float).tolist(),
        }
        for i in kept
    ]


def numbers(rows: list[dict[str, Any]], gt: Path) -> list[float]:
    return [-1.0 if v is None else v for v in evaluate(rows, gt).stats.values()]


def test_metric_on_real_images(parity_dir: Path, subtests: pytest.Subtests) -> None:
    checked = False
    for file in sorted((parity_dir / "eval").glob("*/expected.json")):
        runs = read(file).get("mmpose_cocometric", {}).get("runs", {})
        if not runs or not file.with_name("raw.npz").is_file():
            continue
        stored = read(file.with_name("raw.npz"))
        raw = {
            "image": stored["image_id"],
            "id": np.arange(len(stored["image_id"])),
            "xy": stored["keypoints"][..., :2],
            "joint_scores": stored["keypoints"][..., 2],
            "box_score": stored["box_score"],
            "bbox": stored["box_xywh"],
            "area": np.prod(stored["scale_wh"], axis=1),
        }
        for name, run in runs.items():
            checked = True
            with subtests.test(f"{file.parent.name} {name}"):
                mode, method, thr = name.split("/")
                rows = rows_of(raw, mode, method, float(thr), 0.2)
                assert len(rows) == run["rows"], name
                total = sum(row["score"] for row in rows)
                assert total == pytest.approx(run["score_sum"], rel=1e-6), name
                ours = numbers(rows, found(file.with_name("gt.json")))
                assert ours == pytest.approx(run["stats"], abs=1e-12), name
    if not checked:
        pytest.skip("no eval/*/expected.json with CocoMetric runs among these reference numbers")


def test_files_of_the_metric(parity_dir: Path, subtests: pytest.Subtests) -> None:
    folder = parity_dir / "topdown" / "metric"
    metric = read(folder / "metric.json")
    for name, run in metric["runs"].items():
        with subtests.test(name):
            check_run(metric, name, run, folder)


def check_run(metric: dict[str, Any], name: str, run: dict[str, Any], folder: Path) -> None:
    """Make the rows of a run of CocoMetric from its inputs, and compare them with its file."""
    stored = read(folder / run.get("inputs", "inputs.npz"))
    cfg = run.get("cfg") or dict(zip(("score_mode", "nms_mode"), name.split("__"), strict=True))
    cfg = Numbers({**metric["defaults"], **cfg}, f"cfg of {name}")
    box = stored["bbox_xyxy"]
    scaled = cfg.get("use_scale", True)
    raw = {
        "image": stored["img_id"],
        "id": stored["id"],
        "xy": stored["keypoints"],
        "joint_scores": stored["keypoint_scores"],
        "box_score": stored["bbox_score"],
        "bbox": np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1),
        # The extent of the keypoints (N, 2) stands in for a scale.
        "area": np.prod(
            stored["bbox_scale"] if scaled else np.ptp(stored["keypoints"], axis=1), axis=1
        ),
    }
    rows = rows_of(
        raw, cfg["score_mode"], cfg["nms_mode"], cfg["nms_thr"], cfg["keypoint_score_thr"]
    )
    written = folder / "results" / f"{name}.json"
    if written.is_file():
        compare(rows, read(written), name)
    if "POSE_DATA_DIR" in os.environ and "pycocotools_stats" in run:
        gt = data_file(metric["ann_file"])
        assert numbers(rows, gt) == pytest.approx(run["pycocotools_stats"], abs=1e-9), name
    assert len(rows) == run["num_results"], name


def compare(rows: list[dict[str, Any]], written: list[dict[str, Any]], name: str) -> None:
    """Same rows in the same order; keypoints exact, scores to 1e-6."""
    assert len(rows) == len(written), name
    for got, want in zip(rows, written, strict=True):
        assert got["image_id"] == want["image_id"], name
        assert got["keypoints"] == want["keypoints"], name
        assert got["score"] == pytest.approx(want["score"], rel=1e-6), name
        if "bbox" in want:
            assert got["bbox"] == pytest.approx(want["bbox"], rel=1e-6), name
