"""bench --suite gpu --parity DIR: forward beside stored numbers of the reference implementations.

Weights are not stored but drawn by the two rules that the numbers come with, from the names of
MMPose 1.3.2 (top-down) and 0.29 (bottom-up), and so are the inputs. A folder may hold any part of
the numbers: what is there is compared.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose_backbones import PoseOutput, create_model, identify
from pose_backbones.checkpoint import to_our_names

# Of the largest value of a map, in float32 without TF32; as the numbers' own READMEs have it.
TOLERANCES = {"topdown": 1e-4, "bottomup": 1e-5}

Entries = list[tuple[str, list[int]]]  # of a state dict: name and shape
Rule = Callable[[str, list[int]], NDArray[np.float64]]


class Stored(NamedTuple):
    """What is stored of a stage: maps[..., ::stride, ::stride], and the largest of all values."""

    maps: NDArray[np.float32]
    stride: int
    largest: float


class Case(NamedTuple):
    """A network with drawn weights, its input, drawn from a seed, and what is stored by stage."""

    kind: str  # a key of TOLERANCES
    name: str
    entries: Entries
    rule: Rule
    seed: int
    shape: list[int]  # (B, C, H, W)
    stages: dict[int, Stored]


def topdown_rule(name: str, shape: list[int]) -> NDArray[np.float64]:
    """Return the weights of an entry of a top-down network."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith(".running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith((".running_mean", ".bias")):
        return 0.1 * rng.standard_normal(shape)
    if len(shape) == 1:
        damped = name.endswith((".bn2.weight", ".bn3.weight"))
        return rng.uniform(0.5, 1.5, shape) * (0.25 if damped else 1.0)
    weight = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return weight - weight.mean(axis=tuple(range(1, len(shape))), keepdims=True)


def bottomup_rule(gain: float) -> Rule:
    """Return what topdown_rule is, for a bottom-up network."""

    def rule(name: str, shape: list[int]) -> NDArray[np.float64]:
        rng = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith("running_var"):
            return rng.uniform(0.5, 1.5, shape)
        if name.endswith(("running_mean", "bias")):
            return 0.1 * rng.standard_normal(shape)
        if len(shape) == 1:
            return rng.uniform(0.5, 1.5, shape)
        return rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))

    return rule


def draw(entries: Entries, rule: Rule) -> dict[str, Tensor]:
    """Return the state dict of the entries, under their names."""
    state = {}
    for name, shape in entries:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
        else:
            state[name] = torch.from_numpy(rule(name, shape).astype(np.float32))
    return state


def read_cases(folder: Path) -> list[Case]:
    """Return the cases of forward below a folder, those of the smallest inputs first."""
    cases = [*_topdown_cases(folder / "topdown"), *_bottomup_cases(folder / "bottomup")]
    return sorted(cases, key=lambda case: int(np.prod(case.shape)))


def _topdown_cases(folder: Path) -> Iterator[Case]:
    about = _read(folder / "forward" / "forward.json").get("models", {})
    for name, case in about.items():
        file = folder / "forward" / f"{name}.npz"
        entries = _read(folder / "manifests" / f"{name}.json").get("state_dict")
        if entries is None or not file.is_file():
            continue
        stages, outputs = {}, case["head_outputs"]
        with np.load(file) as arrays:
            for i, output in enumerate(outputs):
                if f"stage{i}_strided4" in arrays:
                    stages[i] = Stored(arrays[f"stage{i}_strided4"], 4, output["absmax"])
            if "heatmaps" in arrays:  # of the last stage
                stages[len(outputs) - 1] = Stored(arrays["heatmaps"], 1, outputs[-1]["absmax"])
        if stages:
            given = case["input"]["seed"], case["input"]["shape"]
            yield Case("topdown", name, entries, topdown_rule, *given, stages)


def _bottomup_cases(folder: Path) -> Iterator[Case]:
    about, models = _read(folder / "forward.json"), _read(folder / "manifests.json")
    if not about or not (folder / "forward.npz").is_file():
        return
    with np.load(folder / "forward.npz") as arrays:
        for name, case in about["cases"].items():
            stages = {
                i: Stored(arrays[f"{name}/out{i}"], case["stride"], output["absmax"])
                for i, output in enumerate(case["outputs"])
                if f"{name}/out{i}" in arrays
            }
            model, rule = models["models"].get(case["model"]), bottomup_rule(case["gain"])
            if stages and model is not None:
                given = case["seed"], case["input_shape"]
                yield Case("bottomup", name, model["state_dict"], rule, *given, stages)


def _read(file: Path) -> dict[str, Any]:
    """Return what a file of JSON holds; nothing where it is not there."""
    content: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return content


def difference(case: Case, device: torch.device) -> float:
    """Return the largest difference of the maps of a device, over their largest value."""
    state = draw(case.entries, case.rule)
    net = _model(state, tags=case.kind == "bottomup").to(device)
    images = np.random.RandomState(case.seed).standard_normal(case.shape).astype(np.float32)
    with torch.inference_mode():
        output: PoseOutput = net(torch.from_numpy(images).to(device))
    worst = 0.0
    for i, stored in case.stages.items():
        maps = torch.cat([output.heatmaps[i], *output.tags[i : i + 1]], dim=1)  # (B, K + T, h, w)
        ours = maps[..., :: stored.stride, :: stored.stride].cpu().numpy()
        if ours.shape != stored.maps.shape:
            raise ValueError(f"stage {i} is {ours.shape}, and stored {stored.maps.shape}")
        worst = max(worst, float(np.abs(ours - stored.maps).max()) / stored.largest)
    return worst


def _model(state: Mapping[str, Tensor], *, tags: bool) -> torch.nn.Module:
    """Return the network of a state dict; `tags` settles what its shapes cannot tell."""
    ours = to_our_names(state, {})[1]
    (found,) = [
        each
        for each in identify(ours)
        if ("_ae" in each.model or each.model.startswith("higher")) == tags
    ]
    net = create_model(found.model, num_keypoints=found.num_keypoints, **found.options)
    net.load_state_dict(ours, strict=False)  # names and shapes are the same but for counters
    return net.eval()
