"""The learning rate."""

import pytest

from pose_train.schedule import learning_rate


def test_warm_up_then_steps() -> None:
    def rate(epoch: int, step: int) -> float:
        return learning_rate(1.0, epoch=epoch, step=step, warmup_steps=10, lr_steps=(5, 8))

    assert rate(1, 0) == pytest.approx(0.001)
    assert rate(1, 9) == pytest.approx(1.0)
    assert rate(5, 50) == pytest.approx(1.0)  # falls after epoch 5, not before
    assert rate(6, 60) == pytest.approx(0.1)
    assert rate(9, 90) == pytest.approx(0.01)
