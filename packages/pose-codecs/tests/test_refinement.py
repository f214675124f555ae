"""Adjust and refine against whole-map numpy."""

import numpy as np
import pytest

from pose_codecs import adjust, refine


def reference_shift(heatmap, x, y):
    """Move a pixel a quarter towards its higher neighbours, then half a pixel."""
    height, width = heatmap.shape
    dx = 0.25 if heatmap[y, min(width - 1, x + 1)] > heatmap[y, max(0, x - 1)] else -0.25
    dy = 0.25 if heatmap[min(height - 1, y + 1), x] > heatmap[max(0, y - 1), x] else -0.25
    return x + 0.5 + dx, y + 0.5 + dy


def test_adjust_matches_the_reference():
    rng = np.random.default_rng(0)
    heatmaps = rng.integers(0, 4, (5, 9, 7)).astype(np.float32)
    keypoints = rng.integers(0, 7, (20, 5, 2)).astype(np.float32)
    scores = rng.integers(0, 2, (20, 5)).astype(np.float32)
    adjusted = adjust(keypoints, scores, heatmaps)
    for p, k in np.ndindex(20, 5):
        x, y = keypoints[p, k].astype(int)
        expected = reference_shift(heatmaps[k], x, y) if scores[p, k] else (x, y)
        assert tuple(adjusted[p, k]) == expected


def reference_refine(keypoints, scores, heatmaps, tags):
    keypoints, scores = keypoints.copy(), scores.copy()
    for p in range(len(keypoints)):
        found = np.flatnonzero(scores[p] > 0)
        x, y = keypoints[p, found].astype(int).T
        mean = np.mean(tags[found, y, x], axis=0)
        for k in np.flatnonzero(scores[p] == 0):
            with np.errstate(over="ignore"):
                distance = np.sqrt(((tags[k] - mean) ** 2).sum(axis=-1))
            y, x = np.unravel_index((heatmaps[k] - np.round(distance)).argmax(), distance.shape)
            if heatmaps[k, y, x] > 0:
                keypoints[p, k] = reference_shift(heatmaps[k], x, y)
                scores[p, k] = heatmaps[k, y, x]
    return keypoints, scores


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kind", ["noise", "smooth", "ties", "negative", "far"])
def test_refine_matches_the_reference(length, kind):
    rng = np.random.default_rng(length)
    heatmaps = rng.random((6, 37, 45)).astype(np.float32)
    tags = rng.normal(0, 2, (6, 37, 45, length)).astype(np.float32)
    if kind == "smooth":
        tags = np.cumsum(np.cumsum(tags, axis=1), axis=2) / 100
    elif kind == "ties":
        heatmaps, tags = heatmaps.round(1), tags.round()
    elif kind == "negative":
        heatmaps, tags = heatmaps - 1, tags * 1000
        heatmaps[:3] *= -1
    elif kind == "far":
        tags *= np.float32(1e25)  # distances are inf, and no pixel is better than another
    keypoints = rng.integers(0, 37, (8, 6, 2)).astype(np.float32) + np.float32(0.25)
    scores = (rng.random((8, 6)) < 0.5).astype(np.float32)
    scores[:, 0] = 1
    keypoints[scores == 0] = 0
    before = [part.copy() for part in (keypoints, scores, heatmaps, tags)]
    refined = refine(keypoints, scores, heatmaps, tags)
    expected = reference_refine(keypoints, scores, heatmaps, tags)
    np.testing.assert_array_equal(refined[0], expected[0])
    np.testing.assert_array_equal(refined[1], expected[1])
    for part, copy in zip((keypoints, scores, heatmaps, tags), before, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_mistakes_are_named():
    heatmaps, tags = np.ones((2, 8, 8), np.float32), np.zeros((2, 8, 8, 1), np.float32)
    one = np.float32([[1, 0]])
    with pytest.raises(ValueError, match="scores must have a value > 0"):
        refine(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), np.float32), heatmaps, tags)
    with pytest.raises(ValueError, match="inside of the 8 x 8 heatmaps"):
        adjust(np.full((1, 2, 2), 8, np.float32), one, heatmaps)
    tags[1, 5, 5] = np.nan
    with pytest.raises(ValueError, match="tags must be finite"):
        refine(np.ones((1, 2, 2), np.float32), one, heatmaps, tags)
