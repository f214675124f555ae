"""Undoing the mirror of the flip test."""

import numpy as np
import pytest

from pose_codecs import flip_heatmaps


def test_flip_without_shift_mirrors_and_reorders():
    heatmaps = np.arange(2 * 3 * 2 * 4, dtype=np.float32).reshape(2, 3, 2, 4)
    flipped = flip_heatmaps(heatmaps, [0, 2, 1], shift=False)
    np.testing.assert_array_equal(flipped, heatmaps[:, [0, 2, 1], :, ::-1])


def test_shift_moves_columns_right_and_keeps_the_first():
    heatmaps = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    assert flip_heatmaps(heatmaps, [0]).tolist() == [[[3, 3, 2, 1]]]
    assert heatmaps.tolist() == [[[0, 1, 2, 3]]]


def test_wrong_flip_indices_are_named():
    with pytest.raises(ValueError, match=r"flip_indices must order the 3 keypoints .* \[0, 1\]"):
        flip_heatmaps(np.zeros((3, 4, 4)), [0, 1])


@pytest.mark.parametrize("shift", [True, False])
def test_torch_flips_the_same(shift):
    torch = pytest.importorskip("torch", reason="pose_codecs.torch needs torch")
    import pose_codecs.torch as on_torch

    heatmaps = np.random.default_rng(0).random((2, 3, 5, 6)).astype(np.float32)
    tensor = torch.from_numpy(heatmaps)
    flipped = on_torch.flip_heatmaps(tensor, [0, 2, 1], shift)
    np.testing.assert_array_equal(flipped.numpy(), flip_heatmaps(heatmaps, [0, 2, 1], shift))
    np.testing.assert_array_equal(tensor.numpy(), heatmaps)
