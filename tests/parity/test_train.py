"""pose-train's losses and learning rates against those of MMPose 1.3.2 and, bottom-up, 0.29."""

from typing import Any

import numpy as np
import pytest
import torch
from reference import Numbers, read

from pose_train.recipes.bottomup import bottomup_loss, heatmap_mse, tag_losses
from pose_train.recipes.topdown import keypoint_mse
from pose_train.training.optim import learning_rate


def read_tensors(name: str) -> dict[str, torch.Tensor]:
    tensors = {key: torch.from_numpy(np.asarray(array)) for key, array in read(name).items()}
    return Numbers(tensors, name)


def test_keypoint_mse(subtests: pytest.Subtests) -> None:
    case = read_tensors("topdown/loss/mse_cases.npz")
    arrays: dict[str, dict[str, str]] = {
        "loss_plain": {},
        "loss_kpt_weights": {"weights": "weights_nk"},
        "loss_pixel_weights": {"weights": "weights_pixel"},
        "loss_mask": {"mask": "mask"},
        "loss_weights_and_mask": {"weights": "weights_nk", "mask": "mask"},
        "loss_skip_empty": {"weights": "weights_nk"},
        "loss_loss_weight_2_5": {"weights": "weights_nk"},
    }
    for name in [name for name in case if name.startswith("loss_")]:
        with subtests.test(name):
            options: dict[str, Any] = {key: case[array] for key, array in arrays[name].items()}
            options["skip_empty"] = name == "loss_skip_empty"
            loss = keypoint_mse(case["output"], case["target"], **options)
            if name.startswith("loss_loss_weight_"):  # the factor is in the name
                loss = loss * float(name.removeprefix("loss_loss_weight_").replace("_", "."))
            torch.testing.assert_close(loss, case[name], rtol=1e-5, atol=0.0)


def test_learning_rate() -> None:
    golden = read("topdown/loss/lr_schedule.json")
    warmup, steps = golden["param_scheduler"]
    plan = {"warmup_steps": warmup["end"], "lr_steps": steps["milestones"]}
    for step, expected in golden["lr_at_iteration"].items():
        got = learning_rate(golden["base_lr"], epoch=1, step=int(step), **plan)
        assert got == pytest.approx(expected, rel=1e-9)
    for epoch, expected in golden["lr_at_epoch"].items():  # their epochs count from 0
        step = 0 if epoch == "0" else warmup["end"]
        got = learning_rate(golden["base_lr"], epoch=int(epoch) + 1, step=step, **plan)
        assert got == pytest.approx(expected, rel=1e-9)


def bottomup_stages(
    config: dict[str, Any], case: dict[str, torch.Tensor], outputs: list[torch.Tensor]
) -> dict[str, list[torch.Tensor]]:
    """Return the arguments of bottomup_loss for the maps of a configuration."""
    keypoints = config["num_joints"]
    # Stages of one size have one target, as in the stacked hourglass.
    scales = [0 if out.shape == outputs[0].shape else i for i, out in enumerate(outputs)]
    return {
        "heatmaps": [out[:, :keypoints] for out in outputs],
        "tags": [
            out[:, keypoints:]
            for out, on in zip(outputs, config["with_ae_loss"], strict=True)
            if on
        ],
        "targets": [case[f"target{q}"] for q in scales],
        "masks": [case[f"mask{q}"] for q in scales],
        "indices": [case[f"joints{q}"] for q in scales],
    }


def assert_parts(ours: torch.Tensor, expected: torch.Tensor, factor: float) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6 * factor)


def check_bottomup_values(
    name: str, config: dict[str, Any], case: dict[str, torch.Tensor], stages: dict[str, Any]
) -> None:
    """Compare the losses of every picture and stage."""
    supervise_empty = config.get("supervise_empty", True)
    for i, maps in enumerate(
        zip(stages["heatmaps"], stages["targets"], stages["masks"], strict=True)
    ):
        if f"{name}/heatmap{i}" in case:
            loss = heatmap_mse(*maps, supervise_empty=supervise_empty)
            factor = config["heatmaps_loss_factor"][i]
            assert_parts(factor * loss, case[f"{name}/heatmap{i}"], factor)
    for i, tags in enumerate(stages["tags"]):
        losses = tag_losses(tags, stages["indices"][i], config["ae_loss_type"])
        for kind, loss in zip(("push", "pull"), losses, strict=True):
            factor = config[f"{kind}_loss_factor"][i]
            if f"{name}/{kind}{i}" in case:
                assert_parts(factor * loss, case[f"{name}/{kind}{i}"], factor)


def test_bottomup_losses(subtests: pytest.Subtests) -> None:
    about = read("bottomup/losses.json")
    case = read_tensors("bottomup/losses.npz")
    for name, config in about["configs"].items():
        with subtests.test(name):
            needed = config["num_stages"] if config["num_stages"] <= 2 else 1
            stored = [case[f"out{i}"] for i in range(2) if i < needed or f"out{i}" in case]
            leaves = [out.clone().requires_grad_() for out in stored]
            outputs: list[torch.Tensor] = leaves[: config["num_stages"]]
            if config["num_stages"] > len(leaves):
                outputs = [leaves[0] * factor for factor in (1.0, 0.5, 2.0, -1.0)]
            stages = bottomup_stages(config, case, outputs)
            check_bottomup_values(name, config, case, stages)
            factors = [config[f"{part}_loss_factor"][0] for part in ("heatmaps", "push", "pull")]
            loss = bottomup_loss(
                **stages,
                distance=config["ae_loss_type"],
                supervise_empty=config.get("supervise_empty", True),
                heatmap_factor=factors[0],
                push_factor=factors[1],
                pull_factor=factors[2],
            )
            check_bottomup_totals(name, case, loss._asdict() | {"total": loss.total}, factors)
            check_bottomup_gradients(name, case, loss, leaves)
            check_bottomup_float64(name, config, case, about.get("float64", {}))


def check_bottomup_totals(
    name: str, case: dict[str, torch.Tensor], ours: dict[str, torch.Tensor], factors: list[float]
) -> None:
    keys = {"heatmap": "heatmap_loss", "push": "push_loss", "pull": "pull_loss", "total": "total"}
    for (part, key), factor in zip(keys.items(), [*factors, max(factors)], strict=True):
        if f"{name}/{key}" in case:
            assert_parts(ours[part], case[f"{name}/{key}"], factor)


def check_bottomup_gradients(
    name: str, case: dict[str, torch.Tensor], loss: Any, leaves: list[torch.Tensor]
) -> None:
    def compare(ours: torch.Tensor, key: str) -> None:
        if key in case:
            bound = 1e-5 * case[key].abs().max().item()
            torch.testing.assert_close(ours, case[key], rtol=0.0, atol=bound)

    for part, value in (("push", loss.push), ("pull", loss.pull)):
        gradient = torch.autograd.grad(value, leaves[0], retain_graph=True)[0]
        keypoints = case["target0"].shape[1]
        compare(gradient[:, keypoints:], f"{name}/grad_{part}_loss_out0_tags")
        assert (gradient[:, :keypoints] == 0).all()
    gradients = torch.autograd.grad(loss.total, leaves, allow_unused=True)
    for i, gradient in enumerate(gradients):
        if gradient is not None:
            compare(gradient, f"{name}/grad_total_out{i}")
        else:
            assert f"{name}/grad_total_out{i}" not in case


def check_bottomup_float64(
    name: str,
    config: dict[str, Any],
    case: dict[str, torch.Tensor],
    stored: dict[str, Any],
) -> None:
    """Compare with the reference run in double precision, which leaves no room."""
    double = Numbers(
        {k: v.double() if v.is_floating_point() else v for k, v in case.items()}, "in float64"
    )
    expected = {
        key: torch.tensor(value, dtype=torch.float64)
        for key, value in stored.items()
        if key.startswith(f"{name}/")
    }
    if not expected:
        return
    outputs = [double[f"out{i}"] for i in range(config["num_stages"])]
    stages = bottomup_stages(config, double, outputs)
    for i, maps in enumerate(
        zip(stages["heatmaps"], stages["targets"], stages["masks"], strict=True)
    ):
        key = f"{name}/heatmap{i}"
        if key in expected:
            torch.testing.assert_close(heatmap_mse(*maps), expected[key], rtol=1e-9, atol=1e-12)
    for i, tags in enumerate(stages["tags"]):
        losses = tag_losses(tags, stages["indices"][i], config["ae_loss_type"])
        for kind, loss in zip(("push", "pull"), losses, strict=True):
            if f"{name}/{kind}{i}" in expected:
                factor = config[f"{kind}_loss_factor"][i]
                torch.testing.assert_close(
                    factor * loss, expected[f"{name}/{kind}{i}"], rtol=1e-9, atol=1e-12
                )
