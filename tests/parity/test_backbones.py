"""The models against the reference: names, shapes, parameter counts, forward outputs.

Weights are drawn by rule, see rule_weights.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference import FOLDER, read
from rule_weights import (
    Entries,
    bottomup_rule,
    draw,
    load,
    model_for,
    topdown_rule,
)

from pose_backbones import PoseOutput
from pose_backbones.checkpoint import to_our_names
from pose_train.training.parity import TOLERANCES, difference, read_cases

TOLERANCE = 1e-4  # of the largest absolute value; the reference's own noise is 2.4e-5


def assert_same_state(a: torch.nn.Module, b: torch.nn.Module) -> None:
    others = b.state_dict()
    assert all(torch.equal(tensor, others[name]) for name, tensor in a.state_dict().items())


def forward(model: torch.nn.Module, seed: int, shape: list[int]) -> PoseOutput:
    images = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    with torch.no_grad():
        return model(torch.from_numpy(images))


def assert_close(ours: torch.Tensor, theirs: NDArray[Any], largest: float) -> None:
    assert tuple(ours.shape) == theirs.shape
    assert np.abs(ours.numpy() - theirs).max() <= TOLERANCE * largest


def assert_statistics(ours: torch.Tensor, theirs: dict[str, Any]) -> None:
    assert list(ours.shape) == theirs["shape"]
    bound = TOLERANCE * theirs["absmax"]
    assert abs(ours.abs().max().item() - theirs["absmax"]) <= bound
    assert abs(ours.double().mean().item() - theirs["mean"]) <= bound
    assert abs(ours.double().std(correction=0).item() - theirs["std"]) <= bound


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((FOLDER / "topdown" / "manifests").glob("*.json")):
        yield path.stem, read(path)


def assert_manifest(entries: Entries, parameters: int, *, tags: bool) -> None:
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in entries}
        model = model_for(state, tags=tags)
    assert sum(p.numel() for p in model.parameters()) == parameters
    theirs = {name: tensor.shape for name, tensor in to_our_names(state, {})[1].items()}
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == theirs


def test_topdown_names_shapes_and_counts(subtests: pytest.Subtests) -> None:
    for name, manifest in manifests():
        with subtests.test(name):
            assert_manifest(manifest["state_dict"], manifest["total_parameters"], tags=False)


def test_bottomup_names_shapes_and_counts(subtests: pytest.Subtests) -> None:
    for name, manifest in read("bottomup/manifests.json")["models"].items():
        with subtests.test(name):
            assert_manifest(manifest["state_dict"], manifest["total_params"], tags=True)


def test_topdown_forward(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases = read("topdown/forward/forward.json")["models"]
    entries = {name: m["state_dict"] for name, m in manifests() if "state_dict" in m}
    for name in [name for name in cases if name in entries]:
        with subtests.test(name):
            case = cases[name]
            state = draw(entries[name], topdown_rule)
            model = load(state, tmp_path, tags=False)
            stages, tags = forward(model, case["input"]["seed"], case["input"]["shape"])
            assert tags == ()
            check_topdown_arrays(stages, FOLDER / "topdown" / "forward" / f"{name}.npz")
            for ours, theirs in zip(stages, case["head_outputs"], strict=True):
                assert_statistics(ours, theirs)
            if f"v0_{name}" in entries:  # the same weights under the names of MMPose 0.x
                old = {
                    key: state[key.replace("keypoint_head.", "head.")]
                    for key, _ in entries[f"v0_{name}"]
                }
                assert_same_state(load(old, tmp_path, tags=False), model)


def check_topdown_arrays(stages: tuple[torch.Tensor, ...], path: Path) -> None:
    arrays = read(path) if path.is_file() else {}
    if "heatmaps" in arrays:
        heatmaps = arrays["heatmaps"]
        assert_close(stages[-1], heatmaps, np.abs(heatmaps).max())
    for i, stage in enumerate(stages):
        if f"stage{i}_strided4" in arrays:
            strided = arrays[f"stage{i}_strided4"]
            assert_close(stage[..., ::4, ::4], strided, stage.abs().max().item())


def test_bottomup_forward(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases, npz = read("bottomup/forward.json")["cases"], FOLDER / "bottomup" / "forward.npz"
    arrays = read(npz) if npz.is_file() else {}
    models = read("bottomup/manifests.json")["models"]
    loaded: dict[tuple[str, float], torch.nn.Module] = {}
    for name in [name for name, case in cases.items() if case.get("model") in models]:
        with subtests.test(name):
            case = cases[name]
            key = (case["model"], case["gain"])
            if key not in loaded:
                state = draw(models[case["model"]]["state_dict"], bottomup_rule(case["gain"]))
                loaded = {key: load(state, tmp_path, tags=True)}  # one at a time, for the memory
            output = forward(loaded[key], case["seed"], case["input_shape"])
            for i, theirs in enumerate(case["outputs"]):
                maps = [output.heatmaps[i], *output.tags[i : i + 1]]
                ours = torch.cat(maps, dim=1)  # (B, K + T, h, w)
                assert_statistics(ours, theirs)
                if f"{name}/out{i}" in arrays:
                    strided = ours[:, :, :: case["stride"], :: case["stride"]]
                    assert_close(strided, arrays[f"{name}/out{i}"], theirs["absmax"])


def test_the_gpu_suite_compares_the_same_numbers() -> None:
    """`pose-train bench --suite gpu --parity DIR`, with the cases that it takes on a CPU."""
    arrays = np.load(FOLDER / "bottomup" / "forward.npz").files
    cases = read_cases(FOLDER)
    by_kind = {case.kind: case for case in reversed(cases)}
    assert {case.name for case in cases if case.kind == "bottomup"} == {
        name.partition("/")[0] for name in arrays
    }
    for kind, case in by_kind.items():
        assert difference(case, torch.device("cpu")) <= TOLERANCES[kind]
        other = case._replace(seed=case.seed + 1)
        assert difference(other, torch.device("cpu")) > 100 * TOLERANCES[kind]


def test_official_files_load(tmp_path: Path, subtests: pytest.Subtests) -> None:
    maps = read("bottomup/official_key_map.json")["models"]
    for name, key_map in maps.items():
        with subtests.test(name):
            mapping = key_map["mapping_official_to_mmpose"]
            if isinstance(mapping, str):  # "identical to" another entry
                pytest.skip(f"mapping: {mapping}")
            state = draw([(theirs, shape) for _, theirs, shape in mapping], bottomup_rule(0.5))
            expected = load(state, tmp_path, tags=True)
            for prefix in ("", "module.", "1."):  # bare, from DDP, from the FP16 wrapper
                official = {prefix + ours: state[theirs] for ours, theirs, _ in mapping}
                assert_same_state(load(official, tmp_path, tags=True), expected)
