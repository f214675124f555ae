"""MSRA heatmaps against a plain-numpy reference, and their edge cases."""

import numpy as np
import pytest

from pose_codecs import MSRAHeatmap

CODEC = MSRAHeatmap(input_size=(96, 128), heatmap_size=(24, 32), sigma=2.0)


def reference_heatmap(point, width, height, sigma):
    """Draw one Gaussian pixel by pixel: rounded centre, cut at 3 sigma."""
    heatmap = np.zeros((height, width), np.float32)
    x0, y0 = np.trunc(np.float32(point) / np.float32(4) + np.float32(0.5))
    radius = int(3 * sigma)
    for y in range(height):
        for x in range(width):
            if abs(x - x0) <= radius and abs(y - y0) <= radius:
                heatmap[y, x] = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
    return heatmap


def reference_quarter(heatmap):
    """Decode one heatmap with its quarter-pixel shifts."""
    height, width = heatmap.shape
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    if heatmap[y, x] <= 0:
        return np.array([-1.0, -1.0]), heatmap.max()
    shift = np.zeros(2)
    if 1 < x < width - 1 and y > 0:
        shift[0] = 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
    if 1 < y < height - 1 and x > 0:
        shift[1] = 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return np.array([x, y]) + shift, heatmap[y, x]


def test_encode_matches_the_reference():
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 130, (5, 17, 2)).astype(np.float32)
    heatmaps, weights = CODEC.encode(points, np.ones((5, 17)))
    assert heatmaps.shape == (5, 17, 32, 24)
    assert heatmaps.dtype == weights.dtype == np.float32
    for n, k in np.ndindex(5, 17):
        expected = reference_heatmap(points[n, k], 24, 32, 2.0)
        np.testing.assert_allclose(heatmaps[n, k], expected, atol=1e-6)


def test_encode_of_one_sample_equals_its_row_of_the_batch():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 96, (3, 9, 2)).astype(np.float32)
    visible = rng.integers(0, 3, (3, 9))
    batch, batch_weights = CODEC.encode(points, visible)
    for n in range(3):
        heatmaps, weights = CODEC.encode(points[n], visible[n])
        np.testing.assert_array_equal(heatmaps, batch[n])
        np.testing.assert_array_equal(weights, batch_weights[n])


@pytest.mark.parametrize(
    ("x", "weight", "filled"),
    [
        (-6.0, 1, True),  # -1.5 + 0.5 truncates to column -1
        (-29.0, 1, True),  # column -6: its last column is 0
        (-30.0, 1, False),  # column -7 ends just before column 0 and keeps its weight
        (-34.0, 0, False),
        (117.0, 1, True),  # column 29: its first column is the last one
        (118.0, 0, False),
        (1e30, 0, False),
    ],
)
def test_weight_at_the_border(x, weight, filled):
    heatmaps, weights = CODEC.encode([[x, 64.0]], [1])
    assert weights.tolist() == [weight]
    assert heatmaps.any() == filled


def test_weight_of_visibilities():
    heatmaps, weights = CODEC.encode(np.full((5, 2), 50.0), [0, 0.3, 0.6, 1, 2])
    np.testing.assert_array_equal(weights, np.float32([0, 0.3, 0.6, 1, 1]))
    assert heatmaps.any(axis=(1, 2)).tolist() == [False, False, True, True, True]


def test_unbiased_target_peaks_between_pixels():
    codec = MSRAHeatmap((96, 128), (24, 32), unbiased=True)
    heatmap = codec.encode([[42.0, 50.0]], [1])[0][0]
    x, y = np.meshgrid(np.arange(24), np.arange(32))
    expected = np.exp(-((x - 10.5) ** 2 + (y - 12.5) ** 2) / 8)
    np.testing.assert_allclose(heatmap, expected, atol=1e-6)


def test_decode_matches_the_reference():
    rng = np.random.default_rng(2)
    heatmaps = rng.normal(size=(4, 17, 32, 24)).astype(np.float32).round(1)  # with ties
    heatmaps[0, :3] = -abs(heatmaps[0, :3])
    heatmaps[1, 0] = 0
    for edge in ([0, 0], [0, 12], [31, 23], [1, 1], [30, 1], [15, 0], [15, 23], [30, 22]):
        heatmaps[2, 3 + edge[0] % 8, edge[0], edge[1]] = 9
    points, scores = CODEC.decode(heatmaps)
    for n, k in np.ndindex(4, 17):
        point, score = reference_quarter(heatmaps[n, k])
        np.testing.assert_array_equal(points[n, k], np.float32(4) * np.float32(point))
        assert scores[n, k] == score


@pytest.mark.parametrize("refine", ["none", "quarter", "dark"])
def test_round_trip(refine):
    codec = MSRAHeatmap((96, 128), (24, 32), refine=refine, unbiased=True)
    points = np.random.default_rng(3).uniform(30, 66, (2, 133, 2)).astype(np.float32)
    decoded, scores = codec.decode(codec.encode(points, np.ones((2, 133)))[0])
    within = {"none": 2.01, "quarter": 1.01, "dark": 0.05}[refine]  # input pixels, stride 4
    assert abs(decoded - points).max() < within
    assert (scores > 0.9).all()


def test_decode_takes_other_layouts_and_types_and_changes_nothing():
    heatmaps = np.random.default_rng(4).random((3, 5, 32, 24)).astype(np.float16)
    before = heatmaps.copy()
    expected = CODEC.decode(heatmaps.astype(np.float32))
    strided = np.asfortranarray(heatmaps.astype(np.float64))
    for value in (heatmaps, strided, np.repeat(heatmaps, 2, axis=3)[..., ::2]):
        points, scores = CODEC.decode(value)
        np.testing.assert_array_equal(points, expected[0])
        np.testing.assert_array_equal(scores, expected[1])
    np.testing.assert_array_equal(heatmaps, before)


@pytest.mark.parametrize("refine", ["quarter", "dark"])
def test_a_batch_may_be_empty(refine):
    codec = MSRAHeatmap((96, 128), (24, 32), refine=refine)
    heatmaps, weights = codec.encode(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert heatmaps.shape == (0, 17, 32, 24)
    assert weights.shape == (0, 17)
    points, scores = codec.decode(heatmaps)
    assert points.shape == (0, 17, 2)
    assert scores.shape == (0, 17)


def test_encode_changes_nothing():
    points, visible = np.full((3, 2), 500, np.float32), np.ones(3, np.float32)
    CODEC.encode(points, visible)
    assert (points == 500).all()
    assert (visible == 1).all()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"keypoints and visible .* got \(5, 3\) and \(5,\)"):
        CODEC.encode(np.zeros((5, 3)), np.ones(5))
    with pytest.raises(ValueError, match="keypoints must be numbers where visible > 0, got NaN"):
        CODEC.encode([[np.nan, 0]], [1])
    for bad in (np.nan, -np.inf):
        with pytest.raises(ValueError, match="visible must be finite numbers, got NaN or infinity"):
            CODEC.encode([[1, 2]], [bad])
    with pytest.raises(ValueError, match=r"heatmaps must be \(K, 32, 24\).* got \(17, 24, 32\)"):
        CODEC.decode(np.zeros((17, 24, 32)))
    with pytest.raises(ValueError, match="heatmaps must be finite, got nan"):
        CODEC.decode(np.full((1, 32, 24), np.nan))
    with pytest.raises(ValueError, match="refine must be"):
        MSRAHeatmap((96, 128), (24, 32), refine="half")
    with pytest.raises(ValueError, match="heatmap_size must be"):
        MSRAHeatmap((96, 128), (24.5, 32))
    with pytest.raises(ValueError, match="sigma must be"):
        MSRAHeatmap((96, 128), (24, 32), sigma=0)
    with pytest.raises(ValueError, match="blur_size must be"):
        MSRAHeatmap((96, 128), (24, 32), blur_size=10)
