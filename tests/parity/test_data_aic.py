"""pose-data against MMPose 1.3.2: skeletons, AI Challenger, merge and combine, detections."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import Numbers, data_dir, found, read

from pose_codecs import MSRAHeatmap
from pose_data import COCO, Persons, TopDown, combine, load_aic, load_coco, merge
from pose_data.combine import keypoint_indices, map_keypoints
from pose_data.samples.crop import NO_AUGMENTATION
from pose_data.skeleton import AIC, COCO_AIC, SKELETONS

Case = dict[str, Any]


def find_file(root: Path, pattern: str, ids: list[int]) -> Path:
    """Return the annotation file that holds some annotation ids."""
    for path in sorted(root.glob(pattern)):
        content = json.loads(path.read_text())
        rows = content.get("annotations", []) if isinstance(content, dict) else []
        if set(ids) <= {row["id"] for row in rows}:
            return path
    pytest.skip(f"no {pattern} among these data holds the annotations")


def picture_dir(annotations: Path) -> Path:
    images = annotations.parent / "images"
    return images if images.is_dir() else annotations.parent


def both() -> tuple[Numbers, Persons, Persons]:
    """Return the stored arrays, and the COCO and AIC persons they are of."""
    case = read("topdown/aic/aic.npz")
    root = data_dir()
    aic_file = find_file(root, "aic*/*.json", case["aic_raw|id"].tolist())
    coco_file = find_file(root, "coco*/*.json", case["coco_combine19|id"].tolist())
    aic = load_aic(aic_file, picture_dir(aic_file))
    return case, load_coco(coco_file, picture_dir(coco_file)), aic


def test_skeletons(subtests: pytest.Subtests) -> None:
    for name, meta in read("topdown/aic/metainfo.json").items():
        with subtests.test(name):
            skeleton = SKELETONS[name]
            assert skeleton.keypoints == tuple(meta["names"])
            assert list(skeleton.flip_indices) == meta["flip_indices"]
            assert [list(link) for link in skeleton.links] == meta["skeleton_links"]
            assert list(skeleton.upper_body) == meta["upper_body_ids"]
            assert list(skeleton.lower_body) == meta["lower_body_ids"]
            np.testing.assert_allclose(skeleton.sigmas, meta["sigmas"], rtol=1e-6)


def test_which_joint_becomes_which(subtests: pytest.Subtests) -> None:
    about = read("topdown/aic/aic.json")
    for key, source, target in (
        ("mapping_merge_17", AIC, COCO),
        ("mapping_combine_19_aic", AIC, COCO_AIC),
        ("mapping_combine_19_coco", COCO, COCO_AIC),
    ):
        with subtests.test(key):
            indices = keypoint_indices(source, target)[:, 0].tolist()
            assert sorted((s, t) for t, s in enumerate(indices) if s >= 0) == sorted(
                map(tuple, about[key])
            )


def test_conversion_of_stored_keypoints(subtests: pytest.Subtests) -> None:
    case = read("topdown/aic/aic.npz")
    for key, target in (("merge17", COCO), ("combine19", COCO_AIC)):
        with subtests.test(key):
            indices = keypoint_indices(AIC, target)
            keypoints, visible = map_keypoints(
                case["aic_raw|keypoints"], case["aic_raw|keypoints_visible"], indices
            )
            np.testing.assert_array_equal(keypoints, case[f"{key}|keypoints"])
            np.testing.assert_array_equal(visible, case[f"{key}|keypoints_visible"][..., 0])


def test_joints_between_two_others() -> None:
    case = read("topdown/aic/aic.npz")
    points = case["interp|keypoints_in"].astype(np.float32)
    count, sources = points.shape[1], []
    for target in case["interp|keypoints"].swapaxes(0, 1):  # which two joints is this between?
        pairs = [(a, b) for a in range(count) for b in range(a, count)]
        gaps = [abs((points[:, a] + points[:, b]) / 2 - target).max() for a, b in pairs]
        best = int(np.argmin(gaps))
        sources.append(pairs[best] if gaps[best] < 1e-3 else (-1, -1))
    keypoints, visible = map_keypoints(points, case["interp|visible_in"], np.array(sources))
    np.testing.assert_allclose(keypoints, case["interp|keypoints"], atol=1e-4)
    np.testing.assert_array_equal(visible, case["interp|keypoints_visible"][..., 0])


def test_aic_file() -> None:
    case, _, aic = both()
    assert aic.ids.tolist() == case["aic_raw|id"].tolist()
    assert aic.image_ids[aic.image_index].tolist() == case["aic_raw|img_id"].tolist()
    np.testing.assert_array_equal(aic.keypoints, case["aic_raw|keypoints"])
    np.testing.assert_array_equal(np.minimum(aic.visible, 1), case["aic_raw|keypoints_visible"])
    np.testing.assert_allclose(aic.bbox_xyxy, case["aic_raw|bbox"], atol=1e-4)
    np.testing.assert_allclose(aic.area, case["aic_raw|area"], rtol=1e-6)


def test_merge_and_combine(subtests: pytest.Subtests) -> None:
    case, coco, aic = both()
    about = read("topdown/aic/aic.json")
    for key, persons in (("merge17", merge(coco, aic)), ("combine19", combine(coco, aic))):
        with subtests.test(key):
            check_combined(persons, about[f"combined_{key}"], case, key)


def check_combined(persons: Persons, expected: Case, case: Case, key: str) -> None:
    assert [source.num_persons for source in persons.sources] == expected["lens"]
    assert persons.ids.tolist() == expected["annotation_id"]
    assert persons.image_ids[persons.image_index].tolist() == expected["img_id"]
    assert list(persons.skeleton.flip_indices) == expected["flip_indices"]
    assert list(persons.skeleton.upper_body) == expected["upper_body_ids"]
    assert list(persons.skeleton.lower_body) == expected["lower_body_ids"]
    assert all(persons.image_path(i).is_file() for i in range(len(persons)))
    of_aic = persons.source_index == 1
    if f"coco_{key}|keypoints" in case:
        np.testing.assert_array_equal(persons.keypoints[~of_aic], case[f"coco_{key}|keypoints"])
    np.testing.assert_array_equal(persons.keypoints[of_aic], case[f"{key}|keypoints"])
    visible = np.minimum(persons.visible[of_aic], 1)
    np.testing.assert_array_equal(visible, case[f"{key}|keypoints_visible"][..., 0])


@pytest.mark.parametrize("flip", [False, True])
def test_targets(flip: bool, subtests: pytest.Subtests) -> None:
    case, coco, aic = both()
    about = read("topdown/aic/aic.json")
    for key, persons in (("merge17", merge(coco, aic)), ("combine19", combine(coco, aic))):
        name = f"target_{key}_flip{int(flip)}"
        with subtests.test(name):
            annotation_id, expected = about[name]["annotation_id"], case.below(f"{name}|")
            height, width = expected["heatmaps"].shape[1:]
            size = 4 * width, 4 * height
            codec = MSRAHeatmap(size, (width, height), sigma=2)
            (row,) = np.flatnonzero((persons.ids == annotation_id) & (persons.source_index == 1))
            found(persons.image_path(int(row)))
            params = NO_AUGMENTATION._replace(flip=flip)
            sample = TopDown(persons, size, codec.encode).sample(int(row), params)
            np.testing.assert_allclose(sample["heatmaps"], expected["heatmaps"], atol=1e-5)
            np.testing.assert_array_equal(sample["weights"], expected["keypoint_weights"][0])
