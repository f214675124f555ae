"""Compile every kernel ahead of time."""

import numpy as np

from pose_codecs.associative import AssociativeEmbedding
from pose_codecs.grouping import assign
from pose_codecs.msra import MSRAHeatmap
from pose_codecs.udp import UDPHeatmap


def warmup() -> None:
    """Compile all kernels, or load them from the cache.

    Without it a kernel is compiled at its first use, which takes seconds. Call it before workers
    are forked or a request is timed.
    """
    points, visible = np.full((2, 1, 2), 16.0), np.ones((2, 1))
    sizes = (32, 32), (16, 16)
    heatmaps, _ = MSRAHeatmap(*sizes).encode(points, visible)
    MSRAHeatmap(*sizes, unbiased=True).encode(points, visible)
    MSRAHeatmap(*sizes).decode(heatmaps)
    MSRAHeatmap(*sizes, refine="dark").decode(heatmaps)
    UDPHeatmap(*sizes).encode(points, visible)
    UDPHeatmap(*sizes).decode(heatmaps)
    people = AssociativeEmbedding(sizes[0], [sizes[1]])
    people.encode(points, visible)
    two = np.concatenate([heatmaps[0], 0 * heatmaps[0]])  # the second keypoint is missing
    people.decode(two, np.zeros((2, 16, 16, 2)))
    assign([[0.0]], "optimal")
