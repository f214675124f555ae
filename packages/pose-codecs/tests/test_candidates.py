"""Local maxima against pooling over the whole map."""

import numpy as np
import pytest

from pose_codecs import find_candidates
from pose_codecs.blocks import at_least_a_block, block_maxima, tag_ranges


def reference_maxima(heatmap, radius):
    """Keep a value that no value in its window exceeds, else 0."""
    height, width = heatmap.shape
    padded = np.pad(heatmap, radius, constant_values=-np.inf)
    windows = [
        padded[i : i + height, j : j + width]
        for i in range(2 * radius + 1)
        for j in range(2 * radius + 1)
    ]
    return np.where(heatmap >= np.max(windows, axis=0), heatmap, 0)


@pytest.mark.parametrize(("size", "nms_kernel"), [((40, 33), 5), ((7, 90), 3), ((5, 3), 1)])
def test_candidates_match_the_reference(size, nms_kernel):
    rng = np.random.default_rng(0)
    heatmaps = rng.normal(size=(3, size[1], size[0])).astype(np.float32)
    heatmaps[1] -= 9  # nothing positive
    tags = rng.normal(size=(*heatmaps.shape, 2)).astype(np.float32)
    for floor in (None, 0.5):
        found = find_candidates(heatmaps, tags, 15, nms_kernel, floor)
        for k in range(3):
            kept = reference_maxima(heatmaps[k], nms_kernel // 2)
            expected = np.sort(kept.ravel())[::-1][:15]
            above = expected > (-np.inf if floor is None else floor)
            np.testing.assert_array_equal(found.scores[k, : len(expected)][above], expected[above])
            x, y = found.locations[k, : len(expected)][above].T
            np.testing.assert_array_equal(kept[y, x], expected[above])
            np.testing.assert_array_equal(found.tags[k, : len(expected)][above], tags[k, y, x])


def test_equal_values_come_in_the_order_of_torch_topk():
    torch = pytest.importorskip("torch", reason="the order is that of torch.topk")
    rng = np.random.default_rng(1)
    for _ in range(20):
        heatmaps = (rng.integers(0, 9, (2, 64, 48)) * (rng.random((2, 64, 48)) < 0.1)) / 8
        tags = np.zeros((2, 64, 48))
        expected = torch.from_numpy(heatmaps.astype(np.float32)).flatten(1).topk(30)
        for floor in (None, 0.5):
            found = find_candidates(heatmaps, tags, 30, 1, floor)
            above = expected.values.numpy() > 0.5
            pixels = found.locations[..., 1] * 48 + found.locations[..., 0]
            np.testing.assert_array_equal(pixels[above], expected.indices.numpy()[above])


@pytest.mark.parametrize("shape", [(16, 24, 1), (19, 11, 2), (3, 30, 2), (5, 4, 3)])
def test_block_ranges_contain_their_pixels(shape):
    values = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    lowest, highest = tag_ranges(at_least_a_block(values[None])[0])
    across = -(-shape[1] // 8)
    assert lowest.shape == (shape[2], -(-shape[0] // 8) * across)
    np.testing.assert_array_equal(block_maxima(values[None, ..., 0])[0], highest[0])
    for y, x in np.ndindex(shape[:2]):
        block = y // 8 * across + x // 8
        assert (lowest[:, block] <= values[y, x]).all()
        assert (values[y, x] <= highest[:, block]).all()
    assert lowest[:, 0] == pytest.approx(values[:8, :8].min(axis=(0, 1)))
    assert highest[:, 0] == pytest.approx(values[:8, :8].max(axis=(0, 1)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_named(bad):
    heatmaps, tags = np.zeros((2, 20, 20), np.float32), np.zeros((2, 20, 20), np.float32)
    heatmaps[1, 19, 3] = bad
    with pytest.raises(ValueError, match="heatmaps must be finite"):
        block_maxima(heatmaps)
    with pytest.raises(ValueError, match="heatmaps must be finite"):
        find_candidates(heatmaps, tags)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"heatmaps must be \(K, H, W\), got \(8, 8\)"):
        find_candidates(np.zeros((8, 8)), np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"tags must be .* got \(2, 8, 8\)"):
        find_candidates(np.zeros((3, 8, 8)), np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="nms_kernel must be an odd number"):
        find_candidates(np.zeros((3, 8, 8)), np.zeros((3, 8, 8)), nms_kernel=4)
