"""The order of samples."""

import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import GroupedBatches


def crowd(pictures: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the picture of each person; about as many in each as in COCO: mean 2.6, up to 20."""
    counts = np.minimum(np.random.default_rng(seed).geometric(0.38, pictures), 20)
    return np.repeat(np.arange(pictures), counts)


def keys(sampler: GroupedBatches) -> list[tuple[int, int, int]]:
    return [key for batch in sampler for key in batch]


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("world_size", [1, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("pictures", [3, 40, 200])
def test_ranks_share_every_sample_exactly(
    lanes: int, world_size: int, batch_size: int, pictures: int
) -> None:
    image_index = np.concatenate([crowd(pictures), np.full(6, pictures)])
    samplers = [
        GroupedBatches(
            image_index, batch_size, rank=rank, world_size=world_size, lanes=lanes, epoch=4
        )
        for rank in range(world_size)
    ]
    ranks = [list(sampler) for sampler in samplers]
    smallest = min(len(batch) for batches in ranks for batch in batches)
    assert [sampler.smallest for sampler in samplers] == [smallest] * world_size
    drawn = sorted(key for batches in ranks for batch in batches for key in batch)
    assert drawn == [(4, index, 0) for index in range(len(image_index))]
    assert len({len(batches) for batches in ranks}) == 1
    totals = [sum(map(len, batches)) for batches in ranks]
    assert max(totals) - min(totals) <= 1
    for step in zip(*ranks, strict=True):
        assert min(map(len, step)) >= 1
        assert max(map(len, step)) - min(map(len, step)) <= 1
        assert max(map(len, step)) <= max(batch_size, 2 if world_size > 1 else 1)
    full = {len(batch) for batches in ranks for batch in batches[:-1]}
    assert full <= {batch_size, batch_size - 1 * (world_size > 1)}


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    image_index = crowd(100)
    first = keys(GroupedBatches(image_index, 16, seed=1, epoch=2))
    assert first == keys(GroupedBatches(image_index, 16, seed=1, epoch=2))
    indices = [index for _, index, _ in first]
    assert indices != [i for _, i, _ in keys(GroupedBatches(image_index, 16, seed=1, epoch=3))]
    assert indices != [i for _, i, _ in keys(GroupedBatches(image_index, 16, seed=2, epoch=2))]


def test_a_pass_can_start_anywhere() -> None:
    image_index = crowd(100)
    whole = list(GroupedBatches(image_index, 16, lanes=2))
    for start in (0, 1, 7, len(whole)):
        rest = GroupedBatches(image_index, 16, lanes=2, start=start)
        assert list(rest) == whole[start:]
        assert len(rest) == len(whole) - start


def collisions(batches: list[NDArray[np.int64]], image_index: NDArray[np.int64]) -> float:
    """Return the share of samples whose picture came before in the same batch."""
    repeated = sum(len(b) - len(set(image_index[b].tolist())) for b in batches)
    return repeated / sum(map(len, batches))


def test_batches_are_mixed_as_well_as_by_a_plain_shuffle() -> None:
    """A sample shares its picture with one before it in its batch in less than 0.5 % of cases."""
    image_index = crowd(10_000)
    batches = [batch[:, 0] for batch in GroupedBatches(image_index, 64, lanes=2).batches()]
    shuffled = np.random.default_rng(0).permutation(len(image_index))
    by_chance = collisions(np.array_split(shuffled, len(batches)), image_index)
    neighbours = collisions(np.array_split(np.arange(len(image_index)), len(batches)), image_index)
    found = collisions(batches, image_index)
    assert found < 0.005
    assert found < 1.2 * by_chance
    assert neighbours > 0.55  # what decoding once would cost without dealing


@pytest.mark.parametrize("per_batch", [1, 3])
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_picture_comes_no_more_often_in_a_batch_but_at_the_end(
    lanes: int, per_batch: int
) -> None:
    image_index = crowd(1500, seed=1)
    longest = np.bincount(image_index).max() // per_batch + 1
    batches = GroupedBatches(image_index, 32, lanes=lanes, per_batch=per_batch).batches()
    most = [max(Counter(image_index[batch[:, 0]].tolist()).values()) for batch in batches]
    assert max(most[: -longest * lanes]) == per_batch


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_picture_stays_with_one_worker_and_is_used_again_soon(lanes: int) -> None:
    """With as many workers as lanes and a cache of one batch's pictures, few are decoded twice."""
    image_index, batch_size = crowd(3000), 64
    batches = GroupedBatches(image_index, batch_size, lanes=lanes).batches()
    decoded = 0
    for lane in range(lanes):
        cache: list[int] = []
        for picture in itertools.chain(*(image_index[b[:, 0]] for b in batches[lane::lanes])):
            decoded += picture not in cache
            cache = [*(held for held in cache if held != picture), picture][-batch_size:]
    assert 3000 <= decoded <= 3000 + lanes - 1
    assert len(image_index) > 2.5 * 3000  # what decoding for each person costs


def test_samples_drawn_again_are_numbered() -> None:
    def rows(rng: np.random.Generator) -> NDArray[np.int64]:
        return np.array([0, 0, 0, 1, 1, 2, int(rng.integers(3, 5))])

    sampler = GroupedBatches(np.array([0, 0, 1, 1, 2]), 3, rows=rows)
    drawn = Counter((index, repeat) for _, index, repeat in keys(sampler))
    assert {key for key in drawn if key[0] < 3} == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)}
    assert set(drawn.values()) == {1}
    assert len(sampler) == 3


@pytest.mark.parametrize("world_size", [1, 2])
def test_what_is_drawn_very_often_is_spread_over_the_epoch(world_size: int) -> None:
    """Persons 0 to 3, of one picture, come 100 times each, among 1600 others of 800 pictures."""
    image_index = np.repeat(np.arange(801), [4, *[2] * 800])
    drawn = np.sort(np.concatenate([np.repeat(np.arange(4), 100), np.arange(4, 1604)]))
    by_halves = {}
    for spread in (False, True):
        ranks = [
            GroupedBatches(
                image_index, 10, 0, rank, world_size, rows=lambda _: drawn, spread=spread
            )
            for rank in range(world_size)
        ]
        taken = [key for sampler in ranks for key in keys(sampler)]
        assert sorted(index for _, index, _ in taken) == drawn.tolist()
        assert len(set(taken)) == len(taken), "each repeat once"
        often = [[i for _, i, _ in batch if i < 4] for sampler in ranks for batch in sampler]
        by_halves[spread] = max(map(len, often))
        empty = sum(not each for each in often) / len(often)
        assert (empty < 0.3) == spread
    assert by_halves[True] < 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"per_batch": 0}, "per_batch must be at least 1"),
        ({"lanes": 0}, "lanes must be at least 1"),
        ({"rank": 2, "world_size": 2}, "rank must be below world_size 2, got 2"),
        ({"world_size": 9}, "5 samples are too few for world_size 9"),
    ],
)
def test_numbers_that_make_no_sense(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupedBatches(np.arange(5), **({"batch_size": 2} | options))  # type: ignore[arg-type]
