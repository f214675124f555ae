"""pose-eval against the stored numbers of pycocotools."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pose_eval import COCO_SIGMAS, evaluate

TOLERANCE = 1e-12


def stats(results: Any, gt: Path, sigmas: Any = None) -> list[float]:
    report = evaluate(results, gt, sigmas=sigmas)
    return [-1.0 if value is None else value for value in report.stats.values()]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def folders(parity_dir: Path) -> list[Path]:
    """List the folders below eval/ with one ground truth and one results file."""
    found = [p.parent for p in sorted((parity_dir / "eval").glob("*/gt.json"))]
    return [f for f in found if "plain" in read(f / "expected.json")]


def test_ten_numbers(parity_dir: Path) -> None:
    if not folders(parity_dir):
        pytest.skip("no eval/*/gt.json with plain numbers among these reference numbers")
    for folder in folders(parity_dir):
        expected = read(folder / "expected.json")
        rows = read(folder / "results.json")
        gt = folder / "gt.json"
        variants = [("plain", rows, None)]
        if (folder / "boxes.json").is_file():
            boxes = read(folder / "boxes.json")
            with_box = [row | {"bbox": box} for row, box in zip(rows, boxes, strict=True)]
            variants.append(("rows_with_bbox", with_box, None))
        variants += [(name, rows, sigmas_of(name)) for name in expected if "sigmas_" in name]
        for name, results, sigmas in variants:
            if name in expected:
                got = stats(results, gt, sigmas)
                assert got == pytest.approx(expected[name]["pycocotools"], abs=TOLERANCE), name


def sigmas_of(variant: str) -> list[float]:
    """Read `sigmas_half` (of COCO's) and `sigmas_0.05` (the same for every joint)."""
    value = variant.removeprefix("sigmas_")
    return [s / 2 for s in COCO_SIGMAS] if value == "half" else [float(value)] * len(COCO_SIGMAS)


def test_results_of_published_networks(parity_dir: Path) -> None:
    pairs = sorted((parity_dir / "eval").glob("*/*_gt.json"))
    if not pairs:
        pytest.skip("no eval/*/*_gt.json among these reference numbers")
    for gt in pairs:
        name = gt.name.removesuffix("_gt.json")
        expected = read(gt.parent / "expected.json").get(name, {})
        if "pycocotools" in expected:
            got = stats(gt.with_name(f"{name}_results.json"), gt)
            assert got == pytest.approx(expected["pycocotools"], abs=TOLERANCE)


def test_files_written_by_mmpose(parity_dir: Path) -> None:
    folder = parity_dir / "topdown" / "metric"
    if not (folder / "metric.json").is_file():
        pytest.skip("no topdown/metric among these reference numbers")
    if "POSE_DATA_DIR" not in os.environ:
        pytest.skip("POSE_DATA_DIR is not set: no ground truth for topdown/metric")
    metric = read(folder / "metric.json")
    gt = Path(os.environ["POSE_DATA_DIR"]) / metric["ann_file"]
    for name, run in metric["runs"].items():
        file = folder / "results" / f"{name}.json"
        if file.is_file() and "pycocotools_stats" in run:
            assert stats(file, gt) == pytest.approx(run["pycocotools_stats"], abs=1e-9), name
