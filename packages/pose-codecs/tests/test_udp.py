"""UDP heatmaps: formula, round trip, borders."""

import numpy as np
import pytest

from pose_codecs import UDPHeatmap

CODEC = UDPHeatmap(input_size=(97, 129), heatmap_size=(25, 33), sigma=2.0)  # stride 4


def test_encode_draws_the_gaussian_at_the_sub_pixel_position():
    heatmaps, weights = CODEC.encode([[42.0, 62.0], [-40.0, 0.0]], [1, 1])
    x, y = np.meshgrid(np.arange(25), np.arange(33))
    expected = np.exp(-((x - 10.5) ** 2 + (y - 15.5) ** 2) / 8)
    expected *= (abs(x - 11) <= 6) & (abs(y - 16) <= 6)  # the window is around the rounded centre
    np.testing.assert_allclose(heatmaps[0], expected, atol=1e-6)
    assert weights.tolist() == [1, 0]
    assert not heatmaps[1].any()


def test_round_trip():
    points = np.random.default_rng(0).uniform(28, 68, (3, 17, 2)).astype(np.float32)
    decoded, scores = CODEC.decode(CODEC.encode(points, np.ones((3, 17)))[0])
    in_pixels = decoded * (np.array([96, 128]) / np.array([97, 129]))
    assert abs(in_pixels - points).max() < 0.05
    assert (scores > 0.9).all()


def reference_step(log, x, y):
    """Newton step at a pixel of a log-heatmap whose borders repeat."""
    f = np.pad(log, 1, mode="edge")[y : y + 3, x : x + 3]
    gradient = np.array([f[1, 2] - f[1, 0], f[2, 1] - f[0, 1]]) / 2
    dxy = (f[2, 2] - f[1, 2] - f[2, 1] + 2 * f[1, 1] - f[1, 0] - f[0, 1] + f[0, 0]) / 2
    hessian = [
        [f[1, 2] - 2 * f[1, 1] + f[1, 0], dxy],
        [dxy, f[2, 1] - 2 * f[1, 1] + f[0, 1]],
    ]
    return np.linalg.solve(hessian + np.eye(2) * np.finfo(np.float32).eps, gradient)


def test_decode_matches_the_reference_also_at_the_border():
    x, y = np.meshgrid(np.arange(25), np.arange(33))
    centres = [(0.3, 0.2), (24.4, 15), (12.3, 32.2), (23.8, 31.6), (11.4, 14.7)]
    heatmaps = np.stack([np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8) for u, v in centres])
    heatmaps[4] *= 1e-2  # below the floor of 1e-3 unless rescaled
    heatmaps = heatmaps.astype(np.float32)
    weights = np.exp(-(np.arange(-5, 6.0) ** 2) / 8)
    weights /= weights.sum()
    points, _ = CODEC.decode(heatmaps)
    for k, heatmap in enumerate(heatmaps):
        blurred = np.apply_along_axis(np.convolve, 0, heatmap, weights, "same")
        blurred = np.apply_along_axis(np.convolve, 1, blurred, weights, "same")
        log = np.log(np.clip(blurred * heatmap.max() / blurred.max(), 1e-3, 50))
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        expected = np.array([column, row]) - reference_step(log, column, row)
        np.testing.assert_allclose(points[k], expected * [97 / 24, 129 / 32], atol=1e-3)


def test_a_heatmap_without_positive_values_stays_finite():
    points, scores = CODEC.decode(np.zeros((2, 3, 33, 25)))
    np.testing.assert_allclose(points, np.full((2, 3, 2), -1) * [97 / 24, 129 / 32], rtol=1e-6)
    assert not scores.any()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"heatmap_size must be at least \(2, 2\)"):
        UDPHeatmap((97, 129), (1, 33))
    with pytest.raises(ValueError, match=r"heatmaps must be \(K, 33, 25\)"):
        CODEC.decode(np.zeros((17, 25, 33)))
