"""Resizing and merging of maps."""

import numpy as np
import pytest

from pose_codecs import aggregate, aggregate_tags, resize


def reference_resize(row, new_size, align_corners):
    """Resize one row by linear interpolation between pixel centres."""
    size = len(row)
    if align_corners:
        at = np.linspace(0, size - 1, new_size)
    else:
        at = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    return np.interp(at, np.arange(size), row)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(12, 10), (5, 7), (3, 20), (1, 1)])
def test_resize_matches_the_reference(size, align_corners):
    maps = np.random.default_rng(0).random((2, 3, 6, 5)).astype(np.float32)
    expected = np.apply_along_axis(reference_resize, 2, maps, size[1], align_corners)
    expected = np.apply_along_axis(reference_resize, 3, expected, size[0], align_corners)
    resized = resize(maps, size, align_corners)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=1e-6)


def test_aggregate_averages_and_aggregate_tags_stacks():
    coarse, fine = np.full((2, 4, 4), 1.0), np.full((2, 8, 8), 3.0)
    np.testing.assert_array_equal(aggregate([coarse, fine], (8, 8)), np.full((2, 8, 8), 2))
    tags = aggregate_tags([coarse, fine], (6, 5))
    assert tags.shape == (2, 5, 6, 2)
    np.testing.assert_array_equal(tags[..., 0], np.ones((2, 5, 6)))
    np.testing.assert_array_equal(tags[..., 1], np.full((2, 5, 6), 3))


def test_nothing_to_merge_is_an_error():
    with pytest.raises(ValueError, match="maps must hold"):
        aggregate([], (4, 4))
    with pytest.raises(ValueError, match="tags must hold"):
        aggregate_tags([], (4, 4))


@pytest.mark.parametrize("align_corners", [True, False])
def test_torch_merges_the_same(align_corners):
    torch = pytest.importorskip("torch", reason="pose_codecs.torch needs torch")
    import pose_codecs.torch as on_torch

    maps = [np.random.default_rng(s).random((17, 8 * s, 6 * s)).astype(np.float32) for s in (2, 5)]
    tensors = [torch.from_numpy(m) for m in maps]
    for name in ("aggregate", "aggregate_tags"):
        expected = globals()[name](maps, (50, 41), align_corners)
        merged = getattr(on_torch, name)(tensors, (50, 41), align_corners)
        np.testing.assert_allclose(merged.numpy(), expected, atol=1e-5)
