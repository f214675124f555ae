"""Keypoints to heatmaps and tags and back: MSRA, DARK, UDP and associative embedding, exact and fast."""

__version__ = "0.1.0"
