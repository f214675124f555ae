"""Associative embedding, step 3: adjust the keypoints found and fill in those missing.

The reference (MMPose 0.29) computes, for every person and keypoint, a score in every pixel. Here
the ranges of heat and tags in blocks of pixels bound that score, and only blocks that can hold the
maximum are computed. The bounds take the same float32 operations, which are monotonic, so the
pixel found is the same.
"""

from typing import Any

import numpy as np

from pose_codecs._jit import F32, I64, Bools, jit_later, jit_part
from pose_codecs.blocks import BLOCK, at_least_a_block, block_maxima, tag_ranges
from pose_codecs.candidates import check_maps

STEP = 64  # blocks that are bounded at a time


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
    whole, whole_tags = at_least_a_block(maps[..., None])[..., 0], at_least_a_block(tag_maps)
    size = maxima.shape[1]
    # Blocks of one channel, copied when they are first needed: heat, then each tag.
    blocks = np.empty((size, 1 + tag_maps.shape[3], BLOCK * BLOCK), np.float32)
    work = blocks, np.empty(size, np.bool_), np.empty(size, np.float32)
    values = np.empty(blocks[0].size, np.float32)
    for k, heatmap in enumerate(whole):
        part = slice(ends[k], ends[k + 1])
        if part.start == part.stop:
            continue
        tag_map, order = whole_tags[k if len(tag_maps) > 1 else 0], np.argsort(-maxima[k])
        low, high = np.take(tag_ranges(tag_map), order, axis=2)
        bounded = order, maxima[k][order], low, high, means[people[part]]
        rows = tag_map.reshape(len(heatmap), -1)  # (H, W * L)
        _best_pixels(heatmap, rows, *bounded, *work, values, pixels[part])
    y, x = np.divmod(pixels, whole.shape[2])
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


@np.errstate(over="ignore")
def _plain_best_pixels(
    heatmap: F32,
    tags: F32,
    order: I64,
    maxima: F32,
    lowest: F32,
    highest: F32,
    means: F32,
    blocks: F32,
    copied: Bools,
    bounds: F32,
    values: F32,
    pixels: I64,
) -> None:
    """Do what _best_pixels does."""
    height, width = heatmap.shape
    across, inside = -(-width // BLOCK), np.arange(BLOCK)
    y = np.minimum(order // across * BLOCK, height - BLOCK)[:, None, None] + inside[:, None]
    x = np.minimum(order % across * BLOCK, width - BLOCK)[:, None, None] + inside
    numbers = y * width + x  # (blocks, BLOCK, BLOCK)
    heat, tag_rows = heatmap.reshape(-1), tags.reshape(height * width, -1)
    for p, mean in enumerate(means):
        gaps = np.maximum(lowest - mean[:, None], mean[:, None] - highest)  # (L, blocks)
        limits = _less_distance(maxima, np.maximum(gaps, 0))
        best, start = (-np.inf, -heatmap.size), 0  # value, - pixel: of equal values the first
        while start < len(order) and maxima[start] >= best[0]:
            part = slice(start, 2 * start + STEP)
            near = numbers[part][limits[part] >= best[0]].reshape(-1)
            if len(near):
                found = _less_distance(heat[near], (tag_rows[near] - mean).T)
                best = max(best, (found.max(), -near[found == found.max()].min()))
            start = part.stop
        pixels[p] = -best[1]


def _less_distance(heat: F32, differences: F32) -> F32:
    """Return heat (...) - round(distance) for the differences (L, ...) of tags, as _fill_values."""
    squares = sum(difference * difference for difference in differences)
    return heat - np.rint(np.sqrt(squares))


@jit_later(_plain_best_pixels)
def _best_pixels(
    heatmap: F32,
    tags: F32,
    order: I64,
    maxima: F32,
    lowest: F32,
    highest: F32,
    means: F32,
    blocks: F32,
    copied: Bools,
    bounds: F32,
    values: F32,
    pixels: I64,
) -> None:
    """Fill pixels (M,) with the best ones for persons with tags `means` (M, L).

    Blocks (with their maxima, and tag ranges (L, blocks)) come from the hottest on, `order` has
    their numbers: after one that is below the best value so far nothing better can come. `blocks`,
    `bounds` and `values` are memory to work in.
    """
    height, width = heatmap.shape
    across = -(-width // BLOCK)
    for i in range(len(order)):
        copied[i] = False
    for p in range(len(means)):
        best, pixels[p] = np.float32(-np.inf), heatmap.size
        for start in range(0, len(order), STEP):
            if maxima[start] < best:
                break
            if not _bound(maxima, lowest, highest, means[p], best, start, bounds):
                continue
            for i in range(start, min(len(order), start + STEP)):
                if bounds[i] < best:
                    continue
                top = min(order[i] // across * BLOCK, height - BLOCK)
                left = min(order[i] % across * BLOCK, width - BLOCK)
                if not copied[i]:
                    copied[i] = True
                    _copy_block(heatmap, tags, top, left, blocks[i], values)
                if not _fill_values(blocks[i], means[p], best, values):
                    continue
                most, at = values[0], 0
                for j in range(1, BLOCK * BLOCK):
                    if values[j] > most:
                        most, at = values[j], j
                pixel = (top + at // BLOCK) * width + left + at % BLOCK
                if most > best or pixel < pixels[p]:
                    best, pixels[p] = most, pixel


@jit_part
def _bound(
    maxima: F32,
    lowest: F32,
    highest: F32,
    mean: F32,
    best: np.float32,
    start: int,
    bounds: F32,
) -> bool:
    """Fill bounds from start on with what heat - round(tag distance) cannot exceed in each block.

    Returns whether one reaches the best so far. LLVM vectorises these loops. The operations and
    their order are those of the pixels.
    """
    stop = min(len(bounds), start + STEP)
    for i in range(start, stop):
        bounds[i] = 0
    for t in range(len(mean)):
        middle = mean[t]
        low, high = lowest[t], highest[t]
        for i in range(start, stop):
            below, above = low[i] - middle, middle - high[i]
            gap = below if below > above else above
            gap = gap if gap > 0 else np.float32(0)
            bounds[i] += gap * gap
    reached = 0
    for i in range(start, stop):
        bounds[i] = maxima[i] - np.rint(np.sqrt(bounds[i]))
        reached += bounds[i] >= best
    return reached > 0


@jit_part
def _copy_block(heatmap: F32, tags: F32, top: int, left: int, block: F32, rows: F32) -> None:
    """Fill block (1 + L, pixels) with the heat and the tags of its pixels, row by row."""
    length = len(block) - 1
    size = BLOCK * length
    for row in range(BLOCK):  # LLVM copies several at a time: memory is what this waits for
        for i in range(BLOCK):
            block[0, row * BLOCK + i] = heatmap[top + row, left + i]
        for i in range(size):
            rows[row * size + i] = tags[top + row, left * length + i]
    for t in range(length):
        for i in range(BLOCK * BLOCK):
            block[1 + t, i] = rows[i * length + t]


@jit_part
def _fill_values(block: F32, mean: F32, best: np.float32, values: F32) -> bool:
    """Fill values with those of a block's pixels; return whether one reaches the best so far.

    LLVM vectorises these loops and sums of whole numbers.
    """
    for i in range(BLOCK * BLOCK):
        values[i] = 0
    for t in range(len(mean)):
        middle, row = mean[t], block[1 + t]
        for i in range(BLOCK * BLOCK):
            difference = row[i] - middle
            values[i] += difference * difference
    heat, reached = block[0], 0
    for i in range(BLOCK * BLOCK):
        values[i] = heat[i] - np.rint(np.sqrt(values[i]))
        reached += values[i] >= best
    return reached > 0
