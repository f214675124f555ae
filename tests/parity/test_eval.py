"""pose-eval against the stored numbers of pycocotools, xtcocotools and MMPose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import data_file, found, read, ten_numbers

from pose_eval import COCO_SIGMAS, Report, evaluate

TOLERANCE = 1e-12
# MMPose writes float32 scores; its stored stats were computed before writing.
TOLERANCE_FILES = 1e-9
CROWD = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")


def numbers(report: Report) -> list[float]:
    """Return COCO's ten numbers, -1 for None."""
    return [-1.0 if value is None else value for value in list(report.stats.values())[:10]]


def folders(parity_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    """List the folders below eval/ with a ground truth, a results file and what it is worth."""
    files = ("gt.json", "results.json", "expected.json")
    whole = [p.parent for p in sorted((parity_dir / "eval").glob("*/gt.json"))]
    whole = [folder for folder in whole if all((folder / name).is_file() for name in files)]
    if not whole:
        pytest.skip("no eval/*/gt.json with results among these reference numbers")
    return [(folder, read(folder / "expected.json")) for folder in whole]


def with_plain_numbers(parity_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(folder, expected) for folder, expected in folders(parity_dir) if "plain" in expected]


def variants(expected: dict[str, Any], tool: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of evaluate for each variant that has ten numbers of a tool."""
    runs: dict[str, dict[str, Any]] = {"plain": {}, "use_area_false": {"area": "bbox"}}
    for name in expected:
        if name.startswith("sigmas_"):
            runs[name] = {"sigmas": sigmas_of(name)}
        elif name.startswith("subset_joints_"):
            first, last = name.removeprefix("subset_joints_").split("_to_")
            runs[name] = {"joints": f"{first}-{last}"}
    if tool == "xtcocotools":
        runs = {name: {**given, "protocol": "xtcoco"} for name, given in runs.items()}
    return {n: given for n, given in runs.items() if tool in expected.get(n, {})}


def sigmas_of(variant: str) -> list[float]:
    """Read `sigmas_half` (of COCO's) and `sigmas_0.05` (the same for every joint)."""
    value = variant.removeprefix("sigmas_")
    return [s / 2 for s in COCO_SIGMAS] if value == "half" else [float(value)] * len(COCO_SIGMAS)


@pytest.mark.parametrize("tool", ["pycocotools", "xtcocotools"])
def test_ten_numbers(parity_dir: Path, tool: str) -> None:
    for folder, expected in with_plain_numbers(parity_dir):
        for name, given in variants(expected, tool).items():
            report = evaluate(folder / "results.json", folder / "gt.json", **given)
            assert numbers(report) == pytest.approx(expected[name][tool], abs=TOLERANCE), name


def test_a_subset_of_joints_recounts_persons(parity_dir: Path) -> None:
    for folder, expected in with_plain_numbers(parity_dir):
        for name, values in expected.items():
            if name.startswith("subset_joints_") and "pycocotools_recounted" in values:
                first, last = name.removeprefix("subset_joints_").split("_to_")
                joints = list(range(int(first), int(last) + 1))
                report = evaluate(folder / "results.json", folder / "gt.json", joints=joints)
                wanted = values["pycocotools_recounted"]
                assert numbers(report) == pytest.approx(wanted, abs=TOLERANCE), name


def test_boxes_in_the_rows(parity_dir: Path, subtests: pytest.Subtests) -> None:
    """Row 0 decides whether areas come from `bbox`."""
    for folder, expected in with_plain_numbers(parity_dir):
        if not (folder / "boxes.json").is_file():
            continue
        rows, boxes = read(folder / "results.json"), read(folder / "boxes.json")
        rows = [row | {"bbox": box} for row, box in zip(rows, boxes, strict=True)]
        for name, first in (("rows_with_bbox", True), ("bbox_all_but_first_row", False)):
            if name in expected:
                with subtests.test(f"{folder.name} {name}"):
                    if not first:
                        del rows[0]["bbox"]
                    report = evaluate(rows, folder / "gt.json")
                    wanted = expected[name]["pycocotools"]
                    assert numbers(report) == pytest.approx(wanted, abs=TOLERANCE), name
                    assert any("bbox-in-some-rows" in w for w in report.warnings) != first


def test_every_nth_image(parity_dir: Path, subtests: pytest.Subtests) -> None:
    for folder, expected in with_plain_numbers(parity_dir):
        for name in ("images_every_third_sorted",):
            if name in expected:
                with subtests.test(f"{folder.name} {name}"):
                    ids = sorted(image["id"] for image in read(folder / "gt.json")["images"])[::3]
                    report = evaluate(folder / "results.json", folder / "gt.json", images=ids)
                    wanted = expected[name]["pycocotools"]
                    assert numbers(report) == pytest.approx(wanted, abs=TOLERANCE), name


def test_other_numbers_of_detections_and_areas(parity_dir: Path, subtests: pytest.Subtests) -> None:
    """By area range, in the order of the name: all, medium, large, or as the name says."""
    limits = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
    for folder, expected in with_plain_numbers(parity_dir):
        for name, values in expected.items():
            given: dict[str, Any] = {}
            names = ["all", "medium", "large"]
            if name.startswith("max_dets_"):
                given["max_dets"] = int(name.removeprefix("max_dets_"))
            elif name.startswith("areas_"):
                names = name.removeprefix("areas_").split("_")
                given["areas"] = {n: limits[n] for n in names if n != "all"}
            else:
                continue
            report = evaluate(folder / "results.json", folder / "gt.json", **given)
            for kind in ("AP", "AR"):
                with subtests.test(f"{folder.name} {name} {kind}"):
                    suffix = {"all": "", "small": "S", "medium": "M", "large": "L"}
                    got = [report.stats[kind + suffix[n]] for n in names]
                    wanted = [None if v == -1 else v for v in values["pycocotools"][kind]]
                    assert got == pytest.approx(wanted, abs=TOLERANCE), name


def test_curves(parity_dir: Path) -> None:
    for folder, expected in with_plain_numbers(parity_dir):
        report = evaluate(folder / "results.json", folder / "gt.json")
        if (folder / "precision_recall.npz").is_file():
            stored = read(folder / "precision_recall.npz")
            curves = report.curves
            for name in ("precision", "recall", "scores"):
                if name in stored:
                    got = getattr(curves, name)[..., None]
                    np.testing.assert_allclose(got, stored[name], rtol=0, atol=TOLERANCE)
        if "plain_sum" in expected:
            sums = expected["plain_sum"]
            for name in ("precision", "recall"):
                if f"{name}_sum" in sums:
                    values = getattr(report.curves, name)
                    assert values.sum() == pytest.approx(sums[f"{name}_sum"], abs=1e-9)


def test_matches_of_every_image(parity_dir: Path, subtests: pytest.Subtests) -> None:
    for folder, _ in with_plain_numbers(parity_dir):
        if not (folder / "matches.json").is_file():
            continue
        report = evaluate(folder / "results.json", folder / "gt.json")
        for stored in read(folder / "matches.json"):
            with subtests.test(f"{folder.name} {stored.get('image_id')}"):
                check_matches(report, stored)


def check_matches(report: Report, stored: dict[str, Any]) -> None:
    """Compare who is matched with whom in an image, in each area."""
    matches, ids = report.matches[0], report.gt.ids[report.matches[0].persons]
    dt_ids = report.results.row[matches.detections] + 1
    image = report.gt.image_ids.tolist().index(stored["image_id"])
    dets = slice(matches.det_start[image], matches.det_start[image + 1])
    gts = slice(matches.gt_start[image], matches.gt_start[image + 1])
    pairs = slice(matches.pair_start[image], matches.pair_start[image + 1])
    for a, area in enumerate(report.settings.areas):
        want = stored["areas"][area.name]
        ignored = matches.gt_ignored[a, gts]
        order = np.argsort(ignored, kind="stable")
        assert dt_ids[dets].tolist() == want["dt_ids"]
        assert ids[gts][order].tolist() == want["gt_ids"]
        assert ignored[order].tolist() == [bool(v) for v in want["gt_ignore"]]
        matched = matches.det_match[a, :, dets]
        assert np.where(matched >= 0, ids[matched], 0).tolist() == want["dt_matches"]
        matched = matches.gt_match[a, :, gts][:, order]
        assert np.where(matched >= 0, dt_ids[matched], 0).tolist() == want["gt_matches"]
        assert matches.det_ignored[a, :, dets].astype(int).tolist() == want["dt_ignore"]
    oks = matches.oks[pairs].reshape(len(dt_ids[dets]), -1) if len(ids[gts]) else []
    wanted = np.array(stored["oks"]).reshape(np.shape(oks))
    np.testing.assert_allclose(oks, wanted, rtol=TOLERANCE, atol=TOLERANCE)
    assert ids[gts].tolist() == stored["gt_ids_in_file_order"]


def test_data_without_areas(parity_dir: Path, subtests: pytest.Subtests) -> None:
    """CrowdPose and AIC, whose first annotation has id 0."""
    for folder, expected in folders(parity_dir):
        if "xtcocotools_use_area_false" in expected:
            with subtests.test(folder.name):
                check_without_areas(folder, expected)


def check_without_areas(folder: Path, expected: dict[str, Any]) -> None:
    wanted = expected["xtcocotools_use_area_false"]
    names = CROWD if len(wanted) == len(CROWD) else None
    protocol = "crowdpose" if names else "xtcoco"
    report = evaluate(
        folder / "results.json",
        folder / "gt.json",
        sigmas=expected["sigmas"],
        protocol=protocol,
        area="bbox",
    )
    got = [report.stats[n] for n in names] if names else numbers(report)
    assert got == pytest.approx(wanted, abs=TOLERANCE), folder.name
    by_name = "crowdpose" if names else "aic"
    if folder.name.startswith(by_name[:3]):
        again = evaluate(folder / "results.json", folder / "gt.json", sigmas=by_name, area="bbox")
        assert numbers(again) == pytest.approx(numbers(report), abs=TOLERANCE)


def test_results_of_published_networks(parity_dir: Path, subtests: pytest.Subtests) -> None:
    pairs = sorted((parity_dir / "eval").glob("*/*_gt.json"))
    if not pairs:
        pytest.skip("no eval/*/*_gt.json among these reference numbers")
    for gt in pairs:
        name = gt.name.removesuffix("_gt.json")
        with subtests.test(name):
            expected = read(gt.parent / "expected.json")[name]
            check_published(found(gt.with_name(f"{name}_results.json")), gt, expected)


def check_published(results: Path, gt: Path, expected: dict[str, Any]) -> None:
    for tool, protocol in (("pycocotools", "coco"), ("xtcocotools", "xtcoco")):
        if tool in expected:
            got = numbers(evaluate(results, gt, protocol=protocol))
            assert got == pytest.approx(expected[tool], abs=TOLERANCE)
    if "xtcocotools_keypoints_crowd_use_area_false" in expected:
        stats = evaluate(results, gt, protocol="crowdpose").stats
        wanted = expected["xtcocotools_keypoints_crowd_use_area_false"]
        assert [stats[n] for n in CROWD] == pytest.approx(wanted, abs=TOLERANCE)
    if "xtcocotools_keypoints_use_area_false" in expected:
        got = numbers(
            evaluate(results, gt, sigmas=expected["sigmas"], protocol="xtcoco", area="bbox")
        )
        wanted = expected["xtcocotools_keypoints_use_area_false"]
        assert got == pytest.approx(wanted, abs=TOLERANCE)


def test_files_written_by_mmpose(parity_dir: Path, subtests: pytest.Subtests) -> None:
    folder = parity_dir / "topdown" / "metric"
    metric = read(folder / "metric.json")
    gt = data_file(metric["ann_file"])
    for name, run in metric["runs"].items():
        file = folder / "results" / f"{name}.json"
        if not file.is_file():
            continue
        with subtests.test(name):
            area = "ann" if run.get("cfg", {}).get("use_area", True) else "bbox"
            if "pycocotools_stats" in run:
                got, wanted = numbers(evaluate(file, gt, area=area)), run["pycocotools_stats"]
                assert got == pytest.approx(wanted, abs=TOLERANCE_FILES), name
            got = numbers(evaluate(file, gt, protocol="xtcoco", area=area))
            wanted = ten_numbers(run["metrics"])
            assert got == pytest.approx(wanted, abs=TOLERANCE_FILES), name
