"""Maps of people, as a network would put them out."""

import numpy as np
import pytest

from pose_codecs._jit import compile_from_now_on


@pytest.fixture(autouse=True, scope="session")
def compiled_kernels():
    """Test the kernels, not what stands in for them at first: test_jit.py compares the two."""
    compile_from_now_on()


@pytest.fixture
def draw_people():
    return _draw_people


def _draw_people(seed, people, size, length, keypoints=17, found=0.7):
    """Return heatmaps (K, H, W) with Gaussians and tags (K, H, W, L) that tell people apart."""
    rng = np.random.default_rng(seed)
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    heatmaps = rng.random((keypoints, height, width)) * 0.05
    tags = rng.normal(0, 2, (keypoints, height, width, length))
    for p in range(people):
        for k in np.flatnonzero(rng.random(keypoints) < found):
            squared = (x - rng.integers(width)) ** 2 + (y - rng.integers(height)) ** 2
            heatmaps[k] = np.maximum(heatmaps[k], rng.uniform(0.2, 1) * np.exp(-squared / 8))
            near = squared < 30
            tags[k][near] = 1.5 * p + rng.normal(0, 0.1, (near.sum(), length))
    return heatmaps.astype(np.float32), tags.astype(np.float32)
