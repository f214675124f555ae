"""Stacked Hourglass, HRNet, CPM and HigherHRNet as plain PyTorch modules that load checkpoints."""

from pose_backbones.hrnet import HRNet, hrnet, hrnet_w32, hrnet_w48
from pose_backbones.models import create_model, list_models
from pose_backbones.net import Feature, HeatmapHead, PoseNet, PoseOutput

__version__ = "0.1.0"

__all__ = [
    "Feature",
    "HRNet",
    "HeatmapHead",
    "PoseNet",
    "PoseOutput",
    "create_model",
    "hrnet",
    "hrnet_w32",
    "hrnet_w48",
    "list_models",
]
