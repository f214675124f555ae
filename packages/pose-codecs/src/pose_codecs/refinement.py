"""Associative embedding, step 3: adjust the keypoints found and fill in those missing.

The reference (MMPose 0.29) computes, for every person and keypoint, a score in every pixel. Here
the ranges of heat and tags in blocks of pixels bound that score, and only blocks that can hold the
maximum are computed. The bounds take the same float32 operations, which are monotonic, so the
pixel found is the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_codecs._jit import jit
from pose_codecs.blocks import BLOCK, block_maxima, block_ranges
from pose_codecs.candidates import check_maps

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


def adjust(keypoints: F32, scores: F32, heatmaps: F32) -> F32:
    """Move the keypoints (P, K, 2) with a score > 0 within their pixels of heatmaps (K, H, W).

    A quarter pixel to the higher neighbour (to the left or top if equal), then half a pixel to the
    right and down: pixel centres are at 0.5 from here on, as published.
    """
    _, height, width = heatmaps.shape
    found = scores > 0
    check_inside(keypoints[found], width, height)
    pixels = np.where(found[..., None], keypoints, 0).astype(np.int64)  # (P, K, 2)
    channels = np.broadcast_to(np.arange(len(heatmaps)), scores.shape)
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
    width = maps.shape[2]
    means = person_tags(keypoints, scores, tag_maps)  # (P, L)
    if maxima is None:
        maxima = block_maxima(maps)
    new_keypoints, new_scores = keypoints.astype(np.float32), scores.astype(np.float32)
    for k, heatmap in enumerate(maps):
        people = np.flatnonzero(scores[:, k] == 0)  # (M,)
        if len(people) == 0:
            continue
        tag_map = tag_maps[k if len(tag_maps) > 1 else 0]
        order = np.argsort(-maxima[k])  # (blocks,)
        lowest, highest = (r[order].T.copy() for r in block_ranges("tags", tag_map))  # (L, blocks)
        pixels = np.zeros(len(people), np.int64)
        _best_pixels(
            heatmap, tag_map, order, maxima[k][order], lowest, highest, means[people], pixels
        )
        y, x = np.divmod(pixels, width)
        positive = heatmap[y, x] > 0
        points = np.stack([x, y], axis=1) + _quarter_shifts(maps, k, x, y)  # (M, 2)
        new_keypoints[people[positive], k] = points[positive]
        new_scores[people[positive], k] = heatmap[y, x][positive]
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


def _quarter_shifts(heatmaps: F32, k: I64 | int, x: I64, y: I64) -> F32:
    """Return 0.5 + 0.25 towards the higher neighbour, else 0.5 - 0.25, for x and y: (..., 2)."""
    _, height, width = heatmaps.shape
    right, left = heatmaps[k, y, np.minimum(x + 1, width - 1)], heatmaps[k, y, np.maximum(x - 1, 0)]
    below, above = (
        heatmaps[k, np.minimum(y + 1, height - 1), x],
        heatmaps[k, np.maximum(y - 1, 0), x],
    )
    higher = np.stack([right > left, below > above], axis=-1)
    return np.where(higher, np.float32(0.75), np.float32(0.25))


@jit
def _best_pixels(
    heatmap: F32,
    tags: F32,
    order: I64,
    maxima: F32,
    lowest: F32,
    highest: F32,
    means: F32,
    pixels: I64,
) -> None:
    """Fill pixels (M,) with the first pixel of the highest heat - round(tag distance to means).

    The blocks (numbers in order, heat in maxima, tag ranges (L, blocks)) come from the hottest on:
    after one that is below the best value so far nothing better can come.
    """
    across = -(-heatmap.shape[1] // BLOCK)
    bounds = np.empty(len(order), np.float32)
    for p in range(len(means)):
        _bound(maxima, lowest, highest, means[p], bounds)
        best, pixel = np.float32(-np.inf), np.int64(0)
        for i in range(len(order)):
            if maxima[i] < best:
                break
            if bounds[i] >= best:
                top, left = order[i] // across * BLOCK, order[i] % across * BLOCK
                limit = _distance_limit(np.float64(maxima[i]), np.float64(best))
                best, pixel = _scan_block(heatmap, tags, means[p], top, left, limit, best, pixel)
        pixels[p] = pixel


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
def _distance_limit(heat: float, best: float) -> np.float32:
    """Return the largest squared tag distance with which heat can reach the best value so far.

    heat - round(d) >= best needs d <= floor(heat - best) + 0.5; it spares most square roots. The
    margins, in float64, are wider than the rounding errors of float32.
    """
    distance = np.floor(heat - best + 2e-7 * abs(best)) + 0.5
    return np.float32(distance * distance * (1 + 1e-6))


@jit
def _scan_block(
    heatmap: F32,
    tags: F32,
    mean: F32,
    top: int,
    left: int,
    limit: np.float32,
    best: np.float32,
    pixel: np.int64,
) -> tuple[np.float32, np.int64]:
    """Return the best value and its pixel, after those of a block."""
    height, width = heatmap.shape
    columns, length = min(BLOCK, width - left), len(mean)
    for y in range(top, min(height, top + BLOCK)):
        heat_row = heatmap[y, left : left + columns]
        tag_row = tags[y, left : left + columns]
        for x in range(columns):
            if heat_row[x] < best:
                continue
            squared = np.float32(0)
            for t in range(length):
                difference = tag_row[x, t] - mean[t]
                squared += difference * difference
            if squared > limit:
                continue
            value = heat_row[x] - np.rint(np.sqrt(squared))
            at = np.int64(y * width + left + x)
            if value > best or (value == best and at < pixel):
                best, pixel = value, at
    return best, pixel
