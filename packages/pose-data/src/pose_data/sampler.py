"""The order of samples: persons of one image are near enough to share its decoding.

They go to successive batches of one worker, which has the image in its cache, and no two of them
into one batch: a batch has as many different images as after a plain shuffle.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


@dataclass
class GroupedBatches:
    """A batch sampler for torch's DataLoader, without torch: yields lists of dataset keys.

    image_index (N,): the image of each sample. The order is a function of the fields below and of
    `epoch` alone; a key is (epoch, index, repeat) because workers keep their copies of a dataset
    from epoch to epoch. Set `epoch` before each pass, and `start` to skip as many batches: the rest
    is that of an uninterrupted pass.

    batch_size: samples per rank; the last batch holds what remains. Of `world_size` ranks each gets
    its own part: together every sample once, the same number of batches on each, and sizes that
    differ by one sample at most (batch_size 1 may become 2 for that).
    lanes: the number of worker processes. Batch i is made by worker i modulo lanes, and an image's
    persons belong to batches of one lane. With another number of workers more is decoded, and the
    samples are the same.
    per_batch: how often an image may come in a batch; it does more often only where the batches
    left in an epoch are fewer than its persons. A worker that keeps the images of one batch
    decodes each once, but for the few at the seams of lanes and ranks. Where they are too large to
    be kept, a larger per_batch needs fewer to be.
    rows: draws the samples of an epoch, for example `lambda rng: epoch_rows(persons, rng)`; None
    takes each once. A sample drawn again has the next `repeat`, so that its augmentation differs.
    spread: what is drawn again comes anywhere in the epoch; else it follows closely, as the persons
    of an image do, to be decoded once, which is too close where some are drawn very often.
    smallest: how many samples the smallest batch has, of all ranks.

    Raises ValueError for numbers that make no sense.
    """

    image_index: I64 = field(repr=False)
    batch_size: int
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    lanes: int = 1
    per_batch: int = 1
    rows: Callable[[np.random.Generator], I64] | None = None
    epoch: int = 0
    start: int = 0
    spread: bool = False
    smallest: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("batch_size", "world_size", "lanes", "per_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must be below world_size {self.world_size}, got {self.rank}")
        count = len(self._drawn(np.random.default_rng(0)))
        if count < self.world_size:
            raise ValueError(f"{count} samples are too few for world_size {self.world_size}")
        # On no rank more batches than samples.
        self._batches = min(
            -(-count // (self.batch_size * self.world_size)), count // self.world_size
        )
        last = max(1, count // self.world_size - self.batch_size * (self._batches - 1))
        self.smallest = last if self._batches == 1 else min(last, self.batch_size)

    def __len__(self) -> int:
        return max(0, self._batches - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for batch in self.batches()[self.start :]:
            yield [(self.epoch, index, repeat) for index, repeat in batch.tolist()]

    def batches(self) -> list[I64]:
        """Return all batches of this rank and epoch: (index, repeat) of each sample (B, 2)."""
        rng = np.random.default_rng((self.seed, self.epoch))
        rows = self._drawn(rng)
        repeats = _count_repeats(rows)
        images = self.image_index[rows]
        if self.spread:  # an image that is drawn again counts as another one
            apart = images + repeats * (int(images.max(initial=-1)) + 1)
            images = np.unique(apart, return_inverse=True)[1]
        # The images shuffled, and the samples within each: in this order images are whole.
        turn = rng.permutation(int(images.max(initial=-1)) + 1)
        order = np.lexsort((rng.random(len(images)), turn[images]))
        samples = np.stack([rows, repeats], axis=1)[order]  # (M, 2)
        first, last = len(rows) * np.array([self.rank, self.rank + 1]) // self.world_size
        samples, images = samples[first:last], images[order][first:last]

        sizes = np.full(self._batches, self.batch_size)  # all full but the last, none empty
        sizes[-1] = len(samples) - self.batch_size * (self._batches - 1)
        if sizes[-1] == 0:  # another rank has a sample more, and needs as many batches
            sizes[-2:] += (-1, 1)
        batches: list[I64] = [samples] * len(sizes)  # each to be replaced
        used = 0
        for lane in range(min(self.lanes, len(sizes))):
            lane_sizes = sizes[lane :: self.lanes]
            part = samples[used : used + lane_sizes.sum()]
            in_lane = images[used : used + len(part)].tolist()
            used += len(part)
            dealt = _deal(in_lane, lane_sizes.tolist(), self.per_batch)
            in_batches = part[np.argsort(dealt, kind="stable")]
            batches[lane :: self.lanes] = np.split(in_batches, np.cumsum(lane_sizes)[:-1])
        return batches

    def _drawn(self, rng: np.random.Generator) -> I64:
        return np.arange(len(self.image_index)) if self.rows is None else self.rows(rng)


def _count_repeats(rows: I64) -> I64:
    """Return how often each row occurred before (M,)."""
    order = np.argsort(rows, kind="stable")
    repeats = np.empty(len(rows), np.int64)
    repeats[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
    return repeats


def _deal(images: list[int], sizes: list[int], per_batch: int) -> list[int]:
    """Deal samples, grouped by image, to batches of the given sizes; return each one's batch."""
    # An image starts in the first batch that has room and goes on to the batches behind. Those are
    # never fuller, so that there is room in them, but for the last ones.
    room, first, place, times, previous = list(sizes), 0, 0, 0, -1
    dealt = []
    for image in images:
        while not room[first]:
            first += 1
        if image != previous:
            place, times = first, 0
        elif times == per_batch:
            place, times = place + 1, 0
        while place < len(room) and not room[place]:
            place, times = place + 1, 0
        if place == len(room):
            place, times = first, 0
        room[place] -= 1
        times += 1
        dealt.append(place)
        previous = image
    return dealt
