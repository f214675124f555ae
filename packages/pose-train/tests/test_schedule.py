"""The learning rate."""

import pytest

from pose_train.training.optim import learning_rate, scaled_learning_rate


def test_warm_up_then_steps() -> None:
    def rate(epoch: int, step: int) -> float:
        return learning_rate(1.0, epoch=epoch, step=step, warmup_steps=10, lr_steps=(5, 8))

    assert rate(1, 0) == pytest.approx(0.001)
    assert rate(1, 9) == pytest.approx(1.0)
    assert rate(5, 50) == pytest.approx(1.0)  # falls after epoch 5, not before
    assert rate(6, 60) == pytest.approx(0.1)
    assert rate(9, 90) == pytest.approx(0.01)


def test_cosine_falls_to_zero_after_the_warm_up() -> None:
    def rate(step: int) -> float:
        return learning_rate(
            2.0, epoch=1, step=step, warmup_steps=10, schedule="cosine", total_steps=110
        )

    assert rate(0) == pytest.approx(0.002)
    assert rate(10) == pytest.approx(2.0)
    assert rate(60) == pytest.approx(1.0)
    assert 0 < rate(109) < 0.001
    assert rate(110) == pytest.approx(0.0)
    rates = [rate(step) for step in range(10, 110)]
    assert rates == sorted(rates, reverse=True)


def test_a_cosine_without_room_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"more steps .* warmup_steps=10, got total_steps=10"):
        learning_rate(1.0, epoch=1, step=0, warmup_steps=10, schedule="cosine", total_steps=10)


def test_the_rate_follows_the_batch_size() -> None:
    assert scaled_learning_rate(5e-4, 64, 512) == pytest.approx(6.25e-5)
    assert scaled_learning_rate(5e-4, 64, None) == 5e-4
