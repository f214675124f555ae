"""The whole bottom-up test against MMPose 0.29: sizes, forward, flip, aggregation, people, rows."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rule_weights import bottomup_rule, draw, load, read_json

from pose_codecs import AssociativeEmbedding
from pose_data import COCO, BottomUp, Persons, load_coco
from pose_eval import evaluate, oks_nms, soft_oks_nms
from pose_train.people import (
    Scene,
    find_people,
    look_at,
    merge_maps,
    scene_rows,
    stack_test_samples,
)

Case = dict[str, Any]


@cache
def coco_mini(split: str) -> Persons:
    root = Path(os.environ["POSE_DATA_DIR"]) / "coco-mini"
    return load_coco(root / f"annotations/person_keypoints_{split}.json", root / split)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        pytest.skip(f"{path.parent.name}/{path.name} is not among the numbers")
    with np.load(path) as arrays:
        return dict(arrays)


def load_calibrated(
    name: str, folder: Path, arrays: dict[str, NDArray[Any]], scratch: Path
) -> torch.nn.Module:
    """Load a model with rule weights, but for the last layers that the numbers hold."""
    entries = read_json(folder / "manifests.json")["models"][name]["state_dict"]
    state = draw(entries, bottomup_rule(0.5))
    prefix = f"calibrated/{name}/"
    stored = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
    assert stored.keys() <= state.keys()
    state |= {key: torch.from_numpy(array) for key, array in stored.items()}
    return load(state, scratch, tags=True)


def test_whole_runs(parity_dir: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    folder = parity_dir / "bottomup"
    about = read_json(folder / "testtime.json")
    if not about.get("runs"):
        pytest.skip("no runs among the numbers in testtime.json")
    if "POSE_DATA_DIR" not in os.environ:
        pytest.skip("POSE_DATA_DIR is not set: whole test runs need real pictures")
    arrays = read_arrays(folder / "testtime.npz")
    loaded: dict[str, torch.nn.Module] = {}
    for name, run in sorted(about["runs"].items(), key=lambda item: item[1]["model"]):
        with subtests.test(name):
            if run["model"] not in loaded:  # one at a time, for the memory
                loaded = {
                    run["model"]: load_calibrated(run["model"], folder, arrays, tmp_path),
                }
            prefix = f"{name}/"
            expected = {
                key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)
            }
            check_run(loaded[run["model"]], run, about["images"][run["image"]], expected)


def check_run(
    model: torch.nn.Module, run: Case, image: Case, expected: dict[str, NDArray[Any]]
) -> None:
    persons, options = coco_mini(image["split"]), run["test_cfg_overrides"]
    assert options.keys() <= {"flip_test", "project2image"}
    side, factors = run["image_size"], sorted(run["test_scale_factor"], reverse=True)
    dataset = BottomUp(persons, (side, side), scale_factors=factors, warp="opencv4")
    index = persons.image_ids.tolist().index(image["image_id"])
    batch = stack_test_samples([dataset[index]])
    flip_indices = COCO.flip_indices if options.get("flip_test", True) else None
    project = options.get("project2image", True)

    looks = look_at(model, batch["images"], flip_indices)
    heatmaps, tags = merge_maps(looks, factors, batch["base_size"] if project else None)
    check_maps(heatmaps[0], "heatmaps", run, expected)
    check_maps(tags[0], "tags", run, expected)

    codec = AssociativeEmbedding((side, side), [])
    (scene,) = find_people(
        model,
        [batch],
        codec,
        factors,
        device=torch.device("cpu"),
        flip_indices=flip_indices,
        project=project,
    )
    assert scene.image_id == image["image_id"]
    if run["people_count_stable"] and "preds" in expected:
        check_people(scene, expected)


def check_maps(maps: torch.Tensor, kind: str, run: Case, expected: dict[str, NDArray[Any]]) -> None:
    bound = 1e-5 * run[kind]["absmax"]
    if kind in expected:
        strided = maps[:, :: run["stride"], :: run["stride"]].numpy()
        np.testing.assert_allclose(strided, expected[kind], rtol=0, atol=max(1e-4, bound))
    if f"{kind}_chan_mean_std" in expected:
        flat = maps.double()
        ours = [flat.mean(dim=(1, 2)).numpy(), flat.std(dim=(1, 2), correction=0).numpy()]
        np.testing.assert_allclose(ours, expected[f"{kind}_chan_mean_std"], rtol=0, atol=1e-4)


def check_people(scene: Scene, expected: dict[str, NDArray[Any]]) -> None:
    preds, stable = expected["preds"], expected["stable"]
    assert scene.keypoints.shape[:2] == preds.shape[:2]
    np.testing.assert_allclose(scene.keypoints[stable], preds[..., :2][stable], rtol=0, atol=1e-2)
    np.testing.assert_allclose(scene.scores[stable], preds[..., 2][stable], rtol=0, atol=1e-3)
    np.testing.assert_allclose(scene.person_scores, expected["scores"], rtol=0, atol=1e-3)


def stored_scenes(arrays: dict[str, NDArray[Any]]) -> list[Scene]:
    ends = np.cumsum(arrays["counts"])
    scenes = []
    for i, (image_id, end, count) in enumerate(
        zip(arrays["image_ids"], ends, arrays["counts"], strict=True)
    ):
        preds = arrays["preds"][end - count : end]
        scores = arrays["scores"][end - count : end]
        scenes.append(Scene(i, int(image_id), preds[..., :2], preds[..., 2], scores))
    return scenes


def test_rows(parity_dir: Path, subtests: pytest.Subtests) -> None:
    folder = parity_dir / "bottomup"
    arrays = read_arrays(folder / "evaluation.npz")
    rows = scene_rows(stored_scenes(arrays))
    expected = read_json(folder / "result_keypoints.json")
    assert len(rows) == len(expected)
    for ours, theirs in zip(rows, expected, strict=True):
        assert (ours["image_id"], ours["category_id"]) == (theirs["image_id"], 1)
        for key in ("keypoints", "bbox", "score"):
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6, atol=1e-6)


def test_stats(parity_dir: Path, subtests: pytest.Subtests) -> None:
    folder = parity_dir / "bottomup"
    about, arrays = read_json(folder / "evaluation.json"), read_arrays(folder / "evaluation.npz")
    if "POSE_DATA_DIR" not in os.environ:
        pytest.skip("POSE_DATA_DIR is not set: the annotations are not here")
    gt = Path(os.environ["POSE_DATA_DIR"]) / about["ann_file"]
    names = {"AP .5": "AP50", "AP .75": "AP75", "AP (M)": "APM", "AP (L)": "APL"}
    names |= {"AR .5": "AR50", "AR .75": "AR75", "AR (M)": "ARM", "AR (L)": "ARL"}
    for name, variant in about["variants"].items():
        with subtests.test(name):
            scenes = stored_scenes(arrays)
            settings = {**about["defaults"], **variant["settings"]}
            if settings["use_nms"]:
                scenes = [suppressed(scene, settings) for scene in scenes]
            rows = scene_rows(scenes)
            assert len(rows) == variant["n_results"]
            if "kept_image_id_and_score" in variant:
                kept = [[row["image_id"], row["score"]] for row in rows]
                np.testing.assert_allclose(kept, variant["kept_image_id_and_score"], rtol=1e-6)
            stats = evaluate(rows, gt).stats
            ours = {key: stats[names.get(key, key)] for key in variant["stats"]}
            assert ours == pytest.approx(variant["stats"], abs=1e-6)


def suppressed(scene: Scene, settings: Case) -> Scene:
    """Apply MMPose 0.29's NMS, which takes the area of the box of the keypoints."""
    spread = scene.keypoints.max(axis=1) - scene.keypoints.min(axis=1) if len(scene.scores) else 0
    area = np.prod(spread, axis=1) if len(scene.scores) else np.zeros(0)
    points = np.concatenate([scene.keypoints, scene.scores[..., None]], axis=2)
    suppress = soft_oks_nms if settings["soft_nms"] else oks_nms
    kept = suppress(points, scene.person_scores, area, settings["oks_thr"], sigmas=COCO.sigmas)
    return scene._replace(
        keypoints=scene.keypoints[kept],
        scores=scene.scores[kept],
        person_scores=scene.person_scores[kept],
    )
