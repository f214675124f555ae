"""Whole training steps against MMPose: losses, gradients, batch statistics, the step of Adam.

Top-down: 1.3.2 in float32. Bottom-up: 0.29, judged in float64, where the reference is reproducible;
in float32 only the first step, since later ones of such deep networks differ between machines.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference import Numbers, read
from rule_weights import Entries, bottomup_rule, draw, load, their_names, topdown_rule
from torch import nn

from pose_train.recipes.bottomup import BottomUpLoss, bottomup_loss
from pose_train.recipes.topdown import keypoint_mse
from pose_train.training.optim import create_optimizer

Arrays = dict[str, NDArray[Any]]


class Named:
    """A model with rule weights; what it holds is read under the reference's names."""

    def __init__(self, entries: Entries, rule: Any, folder: Path, *, tags: bool) -> None:
        state = draw(entries, rule)
        self.model = load(state, folder, tags=tags)
        self.names = their_names(state)

    def parameters(self) -> dict[str, nn.Parameter]:
        return {self.names[ours]: p for ours, p in self.model.named_parameters()}

    def buffers(self) -> dict[str, torch.Tensor]:
        return {self.names[ours]: buffer for ours, buffer in self.model.named_buffers()}

    def gradients(self) -> dict[str, torch.Tensor]:
        return {n: p.grad for n, p in self.parameters().items() if p.grad is not None}


def norm(tensors: Any) -> float:
    return float(np.sqrt(sum(tensor.double().square().sum().item() for tensor in tensors)))


def assert_near(ours: torch.Tensor, theirs: NDArray[Any], relative: float) -> None:
    """Compare arrays; the bound is relative to the largest value."""
    bound = relative * np.abs(theirs).max() if theirs.size else 0.0
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=bound)


# Top-down


def test_topdown_steps(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name, case in read("topdown/loss/loss.json")["models"].items():
        with subtests.test(name):
            arrays = read(f"topdown/loss/{name}.npz")
            entries = read(f"topdown/manifests/{name}.json")["state_dict"]
            named = Named(entries, topdown_rule, tmp_path, tags=False)
            check_topdown_case(named, case, arrays)


def check_topdown_case(named: Named, case: dict[str, Any], arrays: Arrays) -> None:
    source = case["input"]
    images = np.random.RandomState(source["seed"]).standard_normal(source["shape"])
    inputs = torch.from_numpy(images.astype(np.float32))
    targets = torch.from_numpy(arrays["heatmaps"])
    weights = torch.from_numpy(arrays["keypoint_weights"])

    def step(expected: dict[str, Any]) -> torch.Tensor:
        heatmaps = named.model(inputs).heatmaps
        losses = torch.stack([keypoint_mse(maps, targets, weights) for maps in heatmaps])
        if "per_stage" in expected:
            assert losses.tolist() == pytest.approx(expected["per_stage"], rel=1e-5)
        return losses.sum()

    if "eval_mode" in case:
        named.model.eval()
        with torch.no_grad():
            loss = step(case["eval_mode"])
        assert loss.item() == pytest.approx(case["eval_mode"]["loss_kpt"], rel=1e-5)

    named.model.train()
    loss = step(case["train_mode"])
    assert loss.item() == pytest.approx(case["train_mode"]["loss_kpt"], rel=1e-5)
    loss.backward()
    check_topdown_gradients(named, case, arrays)
    check_topdown_statistics(named, case, arrays)

    if "after_one_adam_step" in case:
        after = case["after_one_adam_step"]
        (rate,) = re.findall(r"Adam\(lr=([\d.e-]+)\)", after["optimizer"])
        create_optimizer("adam", named.model, float(rate)).step()
        # Each weight moves by about the rate, so that this norm tells a missed step from a taken.
        assert norm(named.parameters().values()) == pytest.approx(after["param_l2"], rel=1e-5)
        with torch.no_grad():
            loss = step({})
        assert loss.item() == pytest.approx(after["train_mode_loss_same_batch"], rel=2e-3)


def check_topdown_gradients(named: Named, case: dict[str, Any], arrays: Arrays) -> None:
    expected, gradients = case["train_mode"], named.gradients()
    if "params_without_grad" in expected:
        without = [name for name in named.parameters() if name not in gradients]
        assert sorted(without) == sorted(expected["params_without_grad"])
    total = norm(gradients.values())
    if "total_grad_norm" in expected:
        assert total == pytest.approx(expected["total_grad_norm"], rel=1e-3)
    for name, theirs in case.get("grad_norms", {}).items():
        # What is zero but for rounding, such as a bias before a batch norm, is not compared.
        assert norm([gradients[name]]) == pytest.approx(theirs, rel=1e-2, abs=1e-6 * total), name
    for key in [key for key in arrays if key.startswith("grad|")]:
        ours, theirs = gradients[key.removeprefix("grad|")], arrays[key]
        # Stem convolutions add up large numbers that nearly cancel: in float64, CPM's gradient is
        # 1.35e-2 of the largest element away from the stored float32 one, HRNet's 1.2e-3.
        assert_near(ours, theirs, 2e-2)
        assert norm([ours - torch.from_numpy(theirs)]) <= 2e-2 * norm([torch.from_numpy(theirs)])


def check_topdown_statistics(named: Named, case: dict[str, Any], arrays: Arrays) -> None:
    buffers = named.buffers()
    for name, theirs in case.get("running_stat_l2_after_one_train_forward", {}).items():
        assert norm([buffers[name]]) == pytest.approx(theirs, rel=1e-4), name
    for key in [key for key in arrays if key.startswith("buffer_after|")]:
        assert_near(buffers[key.removeprefix("buffer_after|")], arrays[key], 1e-4)


# Bottom-up


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_bottomup_steps(dtype: torch.dtype, tmp_path: Path) -> None:
    kind = str(dtype).removeprefix("torch.")
    about, arrays = read("bottomup/trainstep.json"), read("bottomup/trainstep.npz")
    steps = [step for step in about["steps"] if step["dtype"] == kind]
    if dtype == torch.float32:
        steps = steps[:1]
    if not steps:
        pytest.skip(f"no steps in {kind} among the numbers")
    entries = read("bottomup/manifests.json")["models"][about["model"]]
    named = Named(entries["state_dict"], bottomup_rule(about["gain"]), tmp_path, tags=True)
    named.model.to(dtype).train()
    (rate,) = re.findall(r"Adam lr=([\d.e-]+)", about["optimizer"])
    optimizer = create_optimizer("adam", named.model, float(rate))
    exact = dtype == torch.float64
    for step in steps:
        optimizer.zero_grad()
        loss = bottomup_step(named.model, arrays, dtype)
        check_bottomup_statistics(named, arrays, step, 1e-9 if exact else 1e-4)
        for part, value in [*loss._asdict().items(), ("total", loss.total)]:
            theirs = step["losses"]["loss" if part == "total" else f"{part}_loss"]
            assert value.item() == pytest.approx(theirs, rel=1e-9 if exact else 1e-4), part
        loss.total.backward()
        check_bottomup_gradients(named, arrays, step, exact)
        optimizer.step()


def bottomup_step(model: nn.Module, arrays: Arrays, dtype: torch.dtype) -> BottomUpLoss:
    tensors = Numbers(
        {
            name: torch.from_numpy(array).to(dtype) if array.dtype == np.float32 else array
            for name, array in arrays.items()
            if "/" not in name
        },
        "bottomup/trainstep.npz",
    )
    heatmaps, tags = model(tensors["input"])

    def scales(name: str) -> list[Any]:
        return [torch.as_tensor(tensors[f"{name}{i}"]) for i in range(len(heatmaps))]

    return bottomup_loss(heatmaps, tags, scales("target"), scales("mask"), scales("joints"))


def check_bottomup_statistics(
    named: Named, arrays: Arrays, step: dict[str, Any], relative: float
) -> None:
    """Compare the batch statistics, if this is the forward after which they were stored.

    Their counters tell, and without one it is the first.
    """
    buffers, prefix = named.buffers(), f"{step['dtype']}/after_forward/"
    stored = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
    counts = [name for name in stored if name.endswith("num_batches_tracked")]
    if all(buffers[n].item() == stored[n].item() for n in counts) if counts else step["step"] == 0:
        for name, theirs in stored.items():
            assert_near(buffers[name], theirs, relative)


def check_bottomup_gradients(
    named: Named, arrays: Arrays, step: dict[str, Any], exact: bool
) -> None:
    gradients = named.gradients()
    last, deep = (1e-9, 1e-9) if exact else (1e-3, 2e-2)
    total = norm(gradients.values())
    if "total_grad_norm" in step:
        assert total == pytest.approx(step["total_grad_norm"], rel=deep)
    for name, theirs in step.get("grad_norms", {}).items():
        assert norm([gradients[name]]) == pytest.approx(theirs, rel=deep), name
    for prefix, theirs in step.get("grad_norm_by_prefix", {}).items():
        group = [g for name, g in gradients.items() if name.startswith(f"{prefix}.")]
        assert norm(group) == pytest.approx(theirs, rel=deep), prefix
    prefix = f"{step['dtype']}/grad/"
    if step["step"] == 0:
        for key in [key for key in arrays if key.startswith(prefix)]:
            gradient = gradients[key.removeprefix(prefix)].flatten()
            strided = gradient[:: max(1, gradient.numel() // 512)]
            assert_near(strided, arrays[key], last if "final_layers" in key else deep)
