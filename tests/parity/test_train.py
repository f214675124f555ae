"""pose-train against stored losses and learning rates of MMPose 1.3.2."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pose_train.losses import keypoint_mse
from pose_train.schedule import learning_rate


def test_keypoint_mse(parity_dir: Path) -> None:
    path = parity_dir / "topdown" / "loss" / "mse_cases.npz"
    if not path.is_file():
        pytest.skip("no mse_cases.npz among these reference numbers")
    with np.load(path) as arrays:
        case = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    ones = torch.ones_like(case["weights_nk"])
    for name, weights in (("loss_plain", ones), ("loss_kpt_weights", case["weights_nk"])):
        if name in case:
            loss = keypoint_mse(case["output"], case["target"], weights)
            torch.testing.assert_close(loss, case[name], rtol=1e-5, atol=0.0)


def test_learning_rate(parity_dir: Path) -> None:
    path = parity_dir / "topdown" / "loss" / "lr_schedule.json"
    if not path.is_file():
        pytest.skip("no lr_schedule.json among these reference numbers")
    golden = json.loads(path.read_text())
    warmup, steps = golden["param_scheduler"]
    plan = {"warmup_steps": warmup["end"], "lr_steps": steps["milestones"]}
    for step, expected in golden["lr_at_iteration"].items():
        got = learning_rate(golden["base_lr"], epoch=1, step=int(step), **plan)
        assert got == pytest.approx(expected, rel=1e-9)
    for epoch, expected in golden["lr_at_epoch"].items():  # their epochs count from 0
        step = 0 if epoch == "0" else warmup["end"]
        got = learning_rate(golden["base_lr"], epoch=int(epoch) + 1, step=step, **plan)
        assert got == pytest.approx(expected, rel=1e-9)
