"""The loss and the learning rate."""

import pytest
import torch

from pose_train.losses import keypoint_mse
from pose_train.schedule import learning_rate


def test_weights_count_once_and_masked_joints_stay_in_the_divisor() -> None:
    heatmaps, targets = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    weights = torch.tensor([[0.5, 0.0]])
    assert keypoint_mse(heatmaps, targets, weights).item() == pytest.approx(0.5 * 4 / 8)


def test_warm_up_then_steps() -> None:
    def rate(epoch: int, step: int) -> float:
        return learning_rate(1.0, epoch=epoch, step=step, warmup_steps=10, lr_steps=(5, 8))

    assert rate(1, 0) == pytest.approx(0.001)
    assert rate(1, 9) == pytest.approx(1.0)
    assert rate(5, 50) == pytest.approx(1.0)  # falls after epoch 5, not before
    assert rate(6, 60) == pytest.approx(0.1)
    assert rate(9, 90) == pytest.approx(0.01)
