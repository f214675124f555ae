"""COCO keypoint evaluation (OKS, AP, AR) of any results JSON, without torch."""

__version__ = "0.1.0"
