"""Associative embedding, step 3: adjust the keypoints found and fill in those missing.

The reference (MMPose 0.29) computes, for every person and keypoint, a score in every pixel. Here
the ranges of heat and tags in blocks of pixels bound that score, and only blocks that can hold the
maximum are computed. The bounds take the same float32 operations, which are monotonic, so the
pixel found is the same.
"""

from typing import Any

import numpy as np

from pose_codecs._jit import F32, I64, jit
from pose_codecs.blocks import BLOCK, block_maxima, block_ranges
from pose_codecs.candidates import check_maps


def adjust(keypoints: F32, scores: F32, heatmaps: F32) -> F32:
    """Move the keypoints (P, K, 2) with a score > 0 within their pixels of heatmaps (K, H, W).

    A quarter pixel to the higher neighbour (to the left or top if equal), then half a pixel to the
    right and down: pixel centres are at 0.5 from here on, as published.
    """
    _, height, width = heatmaps.shape
    found = scores > 0
    check_inside(keypoints[found], width, height)
    pixels = np.where(found[..., None], keypoints, 0).astype(np.int64)  # (P, K, 2)
    channels = np.arange(len(heatmaps))
    moved = keypoints + _quarter_shifts(heatmaps, channels, pixels[..., 0], pixels[..., 1])
    return np.where(found[..., None], moved, keypoints).astype(np.float32)


def refine(
    keypoints: F32, scores: F32, heatmaps: Any, tags: Any, maxima: F32 | None = None
) -> tuple[F32, F32]:
    """Fill in the keypoints (P, K, 2) whose scores (P, K) are 0; return new keypoints and scores.

    A person's tag is the mean of the tags at the keypoints found. A missing keypoint goes to the
    pixel with the highest heat - round(distance of its tag to the person's), if its heat is > 0:
    at its centre (+0.5) plus the quarter shifts of adjust. `heatmaps` (K, H, W) and `tags` as in
    find_candidates. Raises ValueError for a person without keypoints, NaN and inf.
    """
    maps, tag_maps = check_maps(heatmaps, tags)
    means = person_tags(keypoints, scores, tag_maps)  # (P, L)
    if maxima is None:
        maxima = block_maxima(maps)
    channels, people = np.nonzero(scores.T == 0)  # (M,) each, by channel
    pixels = np.empty(len(people), np.int64)
    ends = np.searchsorted(channels, np.arange(len(maps) + 1))
    # Blocks of one channel, rearranged when they are first needed: heat, then each tag.
    blocks = np.empty((maxima.shape[1], 1 + tag_maps.shape[3], BLOCK * BLOCK), np.float32)
    for k, heatmap in enumerate(maps):
        missing = slice(ends[k], ends[k + 1])
        if missing.start == missing.stop:
            continue
        tag_map = tag_maps[k if len(tag_maps) > 1 else 0]
        ranges = block_ranges("tags", tag_map)
        order = np.argsort(-maxima[k])
        pixels[missing] = _best_pixels(
            heatmap, tag_map, order, maxima[k], *ranges, means[people[missing]], blocks
        )
    y, x = np.divmod(pixels, maps.shape[2])
    heat = maps[channels, y, x]
    points = np.stack([x, y], axis=1) + _quarter_shifts(maps, channels, x, y)  # (M, 2)
    new_keypoints, new_scores = keypoints.astype(np.float32), scores.astype(np.float32)
    positive = heat > 0
    new_keypoints[people[positive], channels[positive]] = points[positive]
    new_scores[people[positive], channels[positive]] = heat[positive]
    return new_keypoints, new_scores


def person_tags(keypoints: F32, scores: F32, tags: F32) -> F32:
    """Return each person's mean tag (P, L), at the keypoints (P, K, 2) with a score > 0."""
    found = scores > 0  # (P, K)
    if not found.any(axis=1).all():
        raise ValueError("scores must have a value > 0 for every person")
    check_inside(keypoints[found], tags.shape[2], tags.shape[1])
    pixels = np.where(found[..., None], keypoints, 0).astype(np.int64)  # (P, K, 2), truncated
    channels = np.arange(scores.shape[1]) if len(tags) > 1 else 0
    at_keypoints = tags[channels, pixels[..., 1], pixels[..., 0]]  # (P, K, L)
    sums = np.where(found[..., None], at_keypoints, 0).sum(axis=1, dtype=np.float32)  # (P, L)
    return sums / found.sum(axis=1, dtype=np.float32)[:, None]


def check_inside(points: F32, width: int, height: int) -> None:
    """Raise ValueError unless all points (M, 2) are in a map."""
    if not ((points > -1) & (points < (width, height))).all():
        raise ValueError(f"keypoints must be inside of the {width} x {height} heatmaps")


def _quarter_shifts(heatmaps: F32, k: I64, x: I64, y: I64) -> F32:
    """Return 0.5 + 0.25 towards the higher neighbour, else 0.5 - 0.25, for x and y: (..., 2)."""
    _, height, width = heatmaps.shape
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    left, above = np.maximum(x - 1, 0), np.maximum(y - 1, 0)
    to_right = heatmaps[k, y, right] > heatmaps[k, y, left]
    to_below = heatmaps[k, below, x] > heatmaps[k, above, x]
    return np.where(np.stack([to_right, to_below], axis=-1), np.float32(0.75), np.float32(0.25))


@jit
def _best_pixels(
    heatmap: F32,
    tags: F32,
    order: I64,
    maxima: F32,
    lowest: F32,
    highest: F32,
    means: F32,
    blocks: F32,
) -> I64:
    """Return, for each of means (M, L), the first pixel of the highest heat - round(tag distance).

    The blocks (heat in maxima, tag ranges (L, blocks)) come from the hottest on, in `order`: after
    one that is below the best value so far nothing better can come. `blocks` is memory to work in.
    """
    width = heatmap.shape[1]
    across = -(-width // BLOCK)
    copied = np.zeros(len(order), np.bool_)
    bounds, values = np.empty(len(order), np.float32), np.empty(BLOCK * BLOCK, np.float32)
    pixels = np.zeros(len(means), np.int64)
    for p in range(len(means)):
        _bound(maxima, lowest, highest, means[p], bounds)
        best = np.float32(-np.inf)
        for number in order:
            if maxima[number] < best:
                break
            if bounds[number] < best:
                continue
            top, left = number // across * BLOCK, number % across * BLOCK
            if not copied[number]:
                _copy_block(heatmap, tags, top, left, blocks[number])
                copied[number] = True
            if not _fill_values(blocks[number], means[p], best, values):
                continue
            columns, i = min(BLOCK, width - left), values.argmax()
            pixel = (top + i // columns) * width + left + i % columns
            if values[i] > best or pixel < pixels[p]:
                best, pixels[p] = values[i], pixel
    return pixels


@jit
def _bound(maxima: F32, lowest: F32, highest: F32, mean: F32, bounds: F32) -> None:
    """Fill bounds with what heat - round(tag distance) cannot exceed in each block.

    LLVM vectorises these loops. The operations and their order are those of the pixels.
    """
    bounds[:] = 0
    for t in range(len(mean)):
        middle = mean[t]
        low, high = lowest[t], highest[t]
        for i in range(len(bounds)):
            below, above = low[i] - middle, middle - high[i]
            gap = below if below > above else above
            gap = gap if gap > 0 else np.float32(0)
            bounds[i] += gap * gap
    for i in range(len(bounds)):
        bounds[i] = maxima[i] - np.rint(np.sqrt(bounds[i]))


@jit
def _copy_block(heatmap: F32, tags: F32, top: int, left: int, block: F32) -> None:
    """Fill block (1 + L, pixels) with the heat and the tags of its pixels, row by row."""
    height, width, length = tags.shape
    i = 0
    for y in range(top, min(height, top + BLOCK)):
        for x in range(left, min(width, left + BLOCK)):
            block[0, i] = heatmap[y, x]
            for t in range(length):
                block[1 + t, i] = tags[y, x, t]
            i += 1
    block[0, i:] = -np.inf  # a smaller block at the border
    block[1:, i:] = 0


@jit
def _fill_values(block: F32, mean: F32, best: np.float32, values: F32) -> bool:
    """Fill values with those of a block's pixels; return whether one reaches the best so far.

    LLVM vectorises these loops and sums of whole numbers.
    """
    values[:] = 0
    for t in range(len(mean)):
        middle, row = mean[t], block[1 + t]
        for i in range(len(values)):
            difference = row[i] - middle
            values[i] += difference * difference
    heat = block[0]
    for i in range(len(values)):
        values[i] = heat[i] - np.rint(np.sqrt(values[i]))
    reached = 0
    for i in range(len(values)):
        reached += values[i] >= best
    return reached > 0
