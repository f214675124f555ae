"""Batches: each sample once, in an order that depends on seed and epoch alone."""

from pose_train.data import ShuffledBatches


def test_every_sample_once_per_epoch() -> None:
    batches = ShuffledBatches(count=10, batch_size=4, seed=0)
    batches.epoch = 3
    drawn = list(batches)
    assert [len(batch) for batch in drawn] == [4, 4, 2]
    assert len(batches) == 3
    assert sorted(key for batch in drawn for key in batch) == [(3, i) for i in range(10)]


def test_order_changes_with_the_epoch_and_repeats_with_the_seed() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = ShuffledBatches(count=50, batch_size=50, seed=seed)
        batches.epoch = epoch
        return [index for _, index in next(iter(batches))]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
