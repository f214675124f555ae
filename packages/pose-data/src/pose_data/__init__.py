"""COCO-format and AI Challenger keypoint data: annotations, transforms, training samples, synthetic people."""

__version__ = "0.1.0"
