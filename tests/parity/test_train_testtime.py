"""The whole bottom-up test against MMPose 0.29, as it is typed: pictures in, people and AP out.

`pose-train test` resizes pictures, looks at each size twice (flip test), merges the maps, groups
people, maps them back, writes rows and evaluates them. The merged maps are caught on their way.
"""

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from reference import FOLDER, data_file, read, ten_numbers
from rule_weights import bottomup_rule, draw, name_of
from typed_commands import as_published, evaluated, lay_out, run_test, save_published

from pose_eval.__main__ import main as pose_eval
from pose_train.config.load import load_config, shipped_configs
from pose_train.inference import bottomup
from pose_train.inference.bottomup import Decoding, Scene, scene_rows
from pose_train.recipes import bottomup as recipe

Case = dict[str, Any]
Arrays = dict[str, NDArray[Any]]
Maps = tuple[torch.Tensor, torch.Tensor]  # heatmaps (K, h, w), tags (K, h, w, L)

# Read before any test, so that they can be tests of their own.
ABOUT = FOLDER / "bottomup" / "testtime.json"
RUNS: dict[str, Case] = read(ABOUT).get("runs", {}) if ABOUT.is_file() else {}
PICTURES: dict[int, Case] = dict(enumerate(read(ABOUT).get("images", []))) if RUNS else {}
NEEDED = {"model", "image", "image_size", "test_scale_factor", "test_cfg_overrides"}


def groups() -> list[Any]:
    """Return the runs that one command can do, those of one model one after the other."""
    grouped: dict[str, list[str]] = {}
    for name, run in RUNS.items():
        picture = PICTURES.get(run.get("image", -1), {})
        if run.keys() >= NEEDED and picture.keys() >= {"split", "image_id"}:
            kind = [run["model"], picture["split"], run["image_size"]]
            kind += [sorted(run["test_scale_factor"]), run["test_cfg_overrides"]]
            grouped.setdefault(json.dumps(kind, sort_keys=True), []).append(name)
    params = [pytest.param(grouped[kind], id="+".join(grouped[kind])) for kind in sorted(grouped)]
    left_out = [name for name in RUNS if not any(name in names for names in grouped.values())]
    reason = "bottomup/testtime.json has nothing here that the command can run"
    skip = pytest.mark.skip(reason=reason)
    none = left_out or ([] if RUNS else ["none"])
    return params + [pytest.param([name], id=name, marks=skip) for name in none]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[str, Path]]]:
    """Return what writes a model of the numbers: see write_model; each is written once."""
    folder = tmp_path_factory.mktemp("models")
    yield functools.cache(lambda name: write_model(name, folder))
    shutil.rmtree(folder)  # some 100 MB each


@pytest.mark.parametrize("names", groups())
def test_the_command(
    names: list[str],
    models: Callable[[str], tuple[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    first, arrays = RUNS[names[0]], read("bottomup/testtime.npz")
    source, weights = models(first["model"])
    pictures = [PICTURES[RUNS[name]["image"]] for name in names]
    lay_out_pictures(tmp_path, pictures)
    if not first["test_cfg_overrides"].get("project2image", True):
        # In no published protocol, so in no config.
        monkeypatch.setattr(recipe, "Decoding", functools.partial(Decoding, project=False))
    seen = catch_maps(monkeypatch)
    rows = run_test(capsys, source, weights, tmp_path, *settings(source, first)).rows
    assert len(seen) == len({picture["image_id"] for picture in pictures})
    for name, picture in zip(names, pictures, strict=True):
        with subtests.test(name):
            expected = arrays.below(f"{name}/")
            check_maps(seen, RUNS[name], expected)
            own = [row for row in rows if row["image_id"] == picture["image_id"]]
            check_rows(own, RUNS[name], expected)


def catch_maps(monkeypatch: pytest.MonkeyPatch) -> list[Maps]:
    """Return a list to which the merged maps of each picture are added from now on."""
    merge = bottomup.merge_maps
    seen: list[Maps] = []

    def caught(*args: Any) -> Maps:
        maps = merge(*args)
        seen.append(maps)
        return maps

    monkeypatch.setattr(bottomup, "merge_maps", caught)
    return seen


def write_model(name: str, folder: Path) -> tuple[str, Path]:
    """Write the weights of a model; return what tests it, a preset or a YAML file, and their file.

    The weights are those of the rule, but for the last layers, which the numbers hold.
    """
    about, arrays = read("bottomup/manifests.json")["models"][name], read("bottomup/testtime.npz")
    state = draw(about["state_dict"], bottomup_rule(0.5))
    last = arrays.below(f"calibrated/{name}/")
    assert last.keys() <= state.keys()
    for key in state if last else ():
        assert "final_layer" not in key or last[key].shape == state[key].shape
    state |= {key: torch.from_numpy(array) for key, array in last.items()}
    weights = folder / f"{name}.pth"
    save_published(state, weights, "0.29.0")
    preset = Path(about["config"]).stem
    if preset in shipped_configs():
        return preset, weights
    own = {
        "recipe": "bottomup",
        "data": {"root": "", "warp": "opencv4"},
        "model": {"name": name_of(state, tags=True)[0], "input_size": [512, 512]},
        "train": {"epochs": 1, "batch_size": 1, "lr": 1e-3},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(own))
    return str(file), weights


def settings(source: str, run: Case) -> list[str]:
    """Return what the command needs besides preset and weights to test as the reference did."""
    options, side, words = run["test_cfg_overrides"], run["image_size"], []
    assert options.keys() <= {"flip_test", "project2image"}
    if load_config(source).model.input_size != (side, side):
        words += [f"model.input_size=[{side}, {side}]", "model.heatmap_sizes=[]"]
    if sorted(run["test_scale_factor"]) == [0.5, 1, 2]:
        words += ["--multi-scale"]
    elif run["test_scale_factor"] != [1]:
        words += [f"eval.multi_scale={run['test_scale_factor']}"]
    return words if options.get("flip_test", True) else [*words, "eval.flip_test=false"]


def lay_out_pictures(root: Path, pictures: list[Case]) -> None:
    """Lay out a folder of some pictures of one split alone."""
    ids, split = {picture["image_id"] for picture in pictures}, pictures[0]["split"]
    annotations = data_file(f"coco-mini/annotations/person_keypoints_{split}.json")
    content = json.loads(annotations.read_text())
    for key, name in (("images", "id"), ("annotations", "image_id")):
        content[key] = [each for each in content[key] if each[name] in ids]
    for image in content["images"]:
        data_file(f"coco-mini/{split}/{image['file_name']}")
    lay_out(root, content, data_file(f"coco-mini/{split}"))


def check_maps(seen: list[Maps], run: Case, expected: Arrays) -> None:
    """Compare the maps of a picture: the nearest of those seen, which come as they are done."""
    if "heatmaps" not in expected:
        return
    stride = run["stride"]
    near = [maps for maps in seen if list(maps[0].shape) == run["heatmaps"]["shape"][1:]]
    assert near, f"no maps of {run['heatmaps']['shape']}"

    def distance(maps: Maps) -> float:
        strided = maps[0][:, ::stride, ::stride].numpy()
        return float(np.abs(strided - expected["heatmaps"]).max())

    for kind, maps in zip(("heatmaps", "tags"), min(near, key=distance), strict=True):
        bound = max(1e-4, 1e-5 * run[kind]["absmax"])
        if kind in expected:
            strided = maps[:, ::stride, ::stride].numpy()
            np.testing.assert_allclose(strided, expected[kind], rtol=0, atol=bound)
        if f"{kind}_chan_mean_std" in expected:
            flat = maps.double()
            ours = [flat.mean(dim=(1, 2)).numpy(), flat.std(dim=(1, 2), correction=0).numpy()]
            np.testing.assert_allclose(ours, expected[f"{kind}_chan_mean_std"], rtol=0, atol=1e-4)


def check_rows(rows: list[Case], run: Case, expected: Arrays) -> None:
    """Compare the rows of a picture with its people, in their order, where noise moves nothing."""
    if not run["people_count_stable"]:
        return
    preds, stable = expected["preds"], expected["stable"]  # (P, K, 3 + L), (P, K)
    points = np.reshape([row["keypoints"] for row in rows], (len(rows), -1, 3))
    assert points.shape[:2] == preds.shape[:2]
    np.testing.assert_allclose(points[..., :2][stable], preds[..., :2][stable], rtol=0, atol=1e-2)
    np.testing.assert_allclose(points[..., 2][stable], preds[..., 2][stable], rtol=0, atol=1e-3)
    scores = [row["score"] for row in rows]
    np.testing.assert_allclose(scores, expected["scores"], rtol=0, atol=1e-3)
    for row, person, certain in zip(rows, preds, stable.all(axis=1), strict=True):
        assert row["category_id"] == 1
        if certain:
            corner, other = person[:, :2].min(axis=0), person[:, :2].max(axis=0)
            np.testing.assert_allclose(row["bbox"], [*corner, *(other - corner)], rtol=0, atol=2e-2)


def test_rows() -> None:
    """From the reference's people its rows: what it stores of whole sets begins there."""
    arrays, expected = read("bottomup/evaluation.npz"), read("bottomup/result_keypoints.json")
    scenes, start = [], 0
    for i, (image_id, count) in enumerate(zip(arrays["image_ids"], arrays["counts"], strict=True)):
        preds, scores = (arrays[key][start : start + count] for key in ("preds", "scores"))
        scenes.append(Scene(i, int(image_id), preds[..., :2], preds[..., 2], scores))
        start += count
    for ours, theirs in zip(scene_rows(scenes), expected, strict=True):
        assert (ours["image_id"], ours["category_id"]) == (theirs["image_id"], 1)
        for key in ("keypoints", "bbox", "score"):
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6, atol=1e-6)


def test_stats(
    tmp_path: Path,
    subtests: pytest.Subtests,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the reference's rows its ten numbers: `pose-eval nms`, whose area is 0.29's too."""
    about, rows = read("bottomup/evaluation.json"), read("bottomup/result_keypoints.json")
    gt = data_file(about["ann_file"])
    for name, variant in about["variants"].items():
        with subtests.test(name):
            file = FOLDER / "bottomup" / "result_keypoints.json"
            how, kept = {**about["defaults"], **variant["settings"]}, rows
            if how["use_nms"]:
                words = ["--nms", f"{'soft' if how['soft_nms'] else 'oks'}:{how['oks_thr']}"]
                out = tmp_path / f"{name}.json"
                assert pose_eval(["nms", str(file), *words, "--out", str(out)]) == 0
                file, kept = out, json.loads(out.read_text())
            assert len(kept) == variant["n_results"]
            if "kept_image_id_and_score" in variant:
                ours = [[row["image_id"], row["score"]] for row in kept]
                np.testing.assert_allclose(ours, variant["kept_image_id_and_score"], rtol=1e-6)
            wanted = ten_numbers(variant["stats"])
            stats = as_published(evaluated(capsys, file, gt))
            assert stats == pytest.approx(wanted, abs=1e-6)
