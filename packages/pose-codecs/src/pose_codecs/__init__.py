"""Keypoints to heatmaps and tags and back: MSRA, DARK, UDP and associative embedding."""

from pose_codecs.flip import flip_heatmaps
from pose_codecs.msra import MSRAHeatmap
from pose_codecs.udp import UDPHeatmap

__version__ = "0.1.0"

__all__ = ["MSRAHeatmap", "UDPHeatmap", "flip_heatmaps"]
