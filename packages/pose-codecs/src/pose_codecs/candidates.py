"""Associative embedding, step 1: the highest local maxima of each heatmap, with their tags.

The reference (MMPose 0.29) max-pools every map and takes torch.topk. Here one pass over the map
takes the maxima of blocks of pixels; only blocks above the current 30th candidate are searched.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_codecs._jit import F32, I64, jit_later, jit_part
from pose_codecs.blocks import BLOCK, block_maxima


class Candidates(NamedTuple):
    """Up to M peaks per keypoint, highest first."""

    locations: NDArray[np.int32]  # (K, M, 2) xy in heatmap pixels
    scores: F32  # (K, M)
    tags: F32  # (K, M, L)

    def __repr__(self) -> str:
        keypoints, candidates = self.scores.shape
        return f"Candidates({candidates} for each of {keypoints} keypoints)"


def find_candidates(
    heatmaps: Any,
    tags: Any,
    max_instances: int = 30,
    nms_kernel: int = 5,
    floor: float | None = None,
    maxima: F32 | None = None,
) -> Candidates:
    """Find the M = max_instances highest local maxima of heatmaps (K, H, W) and read their tags.

    A pixel is a local maximum if no pixel of the nms_kernel x nms_kernel window around it is
    higher; other pixels count as 0 and fill up the list. Equal values come in the order of
    torch.topk on a CPU (in maps of at least 64 pixels per candidate). With a `floor` >= 0 only
    maxima above it are found, which is faster; zeros fill up the list.
    `tags` is (K, H, W), (K, H, W, L), or (1, H, W, L) shared by the keypoints. `maxima`, if given,
    is block_maxima(heatmaps) and saves a pass. Raises ValueError for wrong shapes, NaN and inf.
    """
    maps, tag_maps = check_maps(heatmaps, tags)
    if max_instances < 1:
        raise ValueError(f"max_instances must be at least 1, got {max_instances}")
    if nms_kernel < 1 or nms_kernel % 2 == 0:
        raise ValueError(f"nms_kernel must be an odd number of pixels, got {nms_kernel}")
    if maxima is None:
        maxima = block_maxima(maps)
    keypoints, _, width = maps.shape
    # One more than asked for: it tells a tie between the last one in and the first one out.
    shape = keypoints, max_instances + 1
    scores, pixels = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    unsure = np.arange(keypoints)
    if floor is not None and floor >= 0:
        _top_maxima(maps, maxima, nms_kernel // 2, float(floor), scores, pixels)
        equal = (scores[:, 1:] > 0) & (scores[:, 1:] == scores[:, :-1])
        unsure = np.flatnonzero(equal.any(axis=1))  # without equal values there is only one order
    for k in unsure:
        _push_in_order(maps[k], maxima[k], nms_kernel // 2, scores[k, :-1], pixels[k, :-1])
    scores, pixels = np.ascontiguousarray(scores[:, :-1]), pixels[:, :-1]
    y, x = np.divmod(pixels, width)  # (K, M)
    channels = np.arange(keypoints)[:, None] if len(tag_maps) > 1 else 0
    found = tag_maps[channels, y, x]  # (K, M, L)
    if not np.isfinite(found).all():
        raise ValueError("tags must be finite, got NaN or inf at a maximum of the heatmaps")
    return Candidates(np.stack([x, y], axis=2).astype(np.int32), scores, found)


def check_maps(heatmaps: Any, tags: Any) -> tuple[F32, F32]:
    """Return heatmaps (K, H, W) and tags (K or 1, H, W, L) as contiguous float32 arrays."""
    maps = np.ascontiguousarray(heatmaps, np.float32)
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(f"heatmaps must be (K, H, W), got {maps.shape}")
    tag_maps = np.ascontiguousarray(tags, np.float32)
    if tag_maps.ndim == 3:
        tag_maps = tag_maps[..., None]  # (K, H, W, 1)
    if (
        tag_maps.ndim != 4
        or tag_maps.shape[1:3] != maps.shape[1:]
        or tag_maps.shape[0] not in (1, maps.shape[0])
        or tag_maps.shape[3] == 0
    ):
        raise ValueError(
            "tags must be (K, H, W), (K, H, W, L) or (1, H, W, L) "
            f"for heatmaps {maps.shape}, got {np.shape(tags)}"
        )
    return maps, tag_maps


def _plain_top_maxima(
    heatmaps: F32, maxima: F32, radius: int, floor: float, scores: F32, pixels: I64
) -> None:
    """Do what _top_maxima does, but for the order of equal values."""
    limit = np.float32(floor)
    if float(limit) > floor:  # the highest float32 that is not above the floor
        limit = np.nextafter(limit, np.float32(-1))
    _, height, width = heatmaps.shape
    around = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1).T
    for k, heatmap in enumerate(heatmaps):
        y, x = np.nonzero(heatmap > limit)
        for dy, dx in around:  # each neighbour leaves fewer
            near = heatmap[(y + dy).clip(0, height - 1), (x + dx).clip(0, width - 1)]
            kept = near <= heatmap[y, x]
            y, x = y[kept], x[kept]
        best = np.argsort(-heatmap[y, x], kind="stable")[: scores.shape[1]]
        y, x = y[best], x[best]
        scores[k, : len(best)], pixels[k, : len(best)] = heatmap[y, x], y * width + x


@jit_later(_plain_top_maxima)
def _top_maxima(
    heatmaps: F32, maxima: F32, radius: int, floor: float, scores: F32, pixels: I64
) -> None:
    """Put the highest local maxima above floor >= 0 of heatmaps (K, H, W) before zeros (K, M)."""
    keypoints, height, width = heatmaps.shape
    across, last = -(-width // BLOCK), scores.shape[1] - 1
    for k in range(keypoints):
        for number in range(maxima.shape[1]):
            if maxima[k, number] <= floor or maxima[k, number] <= scores[k, last]:
                continue
            top, left = number // across * BLOCK, number % across * BLOCK
            for y in range(top, min(height, top + BLOCK)):
                for x in range(left, min(width, left + BLOCK)):
                    value = heatmaps[k, y, x]
                    if value <= floor or value <= scores[k, last]:
                        continue
                    if _suppressed(heatmaps[k], x, y, radius) == 0:
                        continue
                    i = last
                    while i > 0 and scores[k, i - 1] < value:
                        scores[k, i], pixels[k, i] = scores[k, i - 1], pixels[k, i - 1]
                        i -= 1
                    scores[k, i], pixels[k, i] = value, y * width + x


@jit_later()
def _push_in_order(heatmap: F32, maxima: F32, radius: int, heap: F32, indices: I64) -> None:
    """Fill heap (M,) with the highest local maxima, equal ones in the order of torch.topk on a CPU.

    That is C++'s partial_sort: a heap of the first values whose root, the lowest, is replaced by
    every later value above it, sorted at the end. The same algorithm gives the same order, on which
    the grouping depends.
    """
    height, width = heatmap.shape
    across, size = -(-width // BLOCK), min(len(heap), heatmap.size)
    for i in range(size):
        heap[i], indices[i] = _suppressed(heatmap, i % width, i // width, radius), i
    for parent in range((size - 2) // 2, -1, -1):
        _sift(heap, indices, size, parent, heap[parent], indices[parent])
    for y in range(size // width, height):
        for block in range(across):
            # Suppressed pixels count as 0: they matter only while the lowest is negative.
            if heap[0] >= 0 and maxima[y // BLOCK * across + block] <= heap[0]:
                continue
            left = max(block * BLOCK, size - y * width)
            for x in range(left, min(width, (block + 1) * BLOCK)):
                value = _suppressed(heatmap, x, y, radius)
                if value > heap[0]:
                    _sift(heap, indices, size, 0, value, y * width + x)
    _sort(heap, indices, size)


@jit_part
def _sort(heap: F32, indices: I64, size: int) -> None:
    """Sort a heap with the lowest value at its root from the highest value to the lowest."""
    for end in range(size - 1, 0, -1):
        value, index = heap[end], indices[end]
        heap[end], indices[end] = heap[0], indices[0]
        _sift(heap, indices, end, 0, value, index)


@jit_part
def _suppressed(heatmap: F32, x: int, y: int, radius: int) -> np.float32:
    """Return the value of a local maximum, and 0 for any other pixel."""
    height, width = heatmap.shape
    value = heatmap[y, x]
    left, right = max(0, x - radius), min(width, x + radius + 1)
    for column in range(left, right):  # its own row first: most pixels are outdone there
        if heatmap[y, column] > value:
            return np.float32(0)
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        for column in range(left, right):
            if heatmap[row, column] > value:
                return np.float32(0)
    return value


@jit_part
def _sift(heap: F32, indices: I64, size: int, hole: int, value: np.float32, index: int) -> None:
    """Put a value into a heap of `size` with the lowest at its root, from a hole downwards.

    The hole sinks to a leaf along the lower children (the right one of two equal ones), then the
    value rises from there: the steps of libstdc++, which decide the order of equal values.
    """
    top = hole
    child = 2 * hole + 2
    while child < size:
        if heap[child] > heap[child - 1]:
            child -= 1
        heap[hole], indices[hole] = heap[child], indices[child]
        hole, child = child, 2 * child + 2
    if child == size:  # a last left child without a right one
        heap[hole], indices[hole] = heap[child - 1], indices[child - 1]
        hole = child - 1
    parent = (hole - 1) // 2
    while hole > top and heap[parent] > value:
        heap[hole], indices[hole] = heap[parent], indices[parent]
        hole, parent = parent, (parent - 1) // 2
    heap[hole], indices[hole] = value, index
