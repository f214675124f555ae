"""Stacked Hourglass, HRNet, CPM and HigherHRNet as plain PyTorch modules that load checkpoints."""

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pose_backbones.names import MODELS

if TYPE_CHECKING:
    from pose_backbones.checkpoint import LoadReport, load_checkpoint
    from pose_backbones.checkpoint_files import Checkpoint, read_checkpoint
    from pose_backbones.convert import convert
    from pose_backbones.cpm import CPM
    from pose_backbones.fusion import fuse
    from pose_backbones.grey import GREY_MEAN, GREY_STD, MEAN, STD
    from pose_backbones.higherhrnet import HigherHead
    from pose_backbones.hourglass import Hourglass
    from pose_backbones.hourglass_ae import HourglassAE
    from pose_backbones.hrnet import HRNet
    from pose_backbones.models import Identity, create_model, identify, model_options
    from pose_backbones.names import CheckpointError, list_models
    from pose_backbones.net import Feature, HeatmapHead, MapsHead, PoseNet, PoseOutput, StagesHead
    from pose_backbones.weights import find_detections, find_weights, local_weights, weights_folders
    from pose_backbones.zoo import ZOO, HubFile, Weights

__version__ = "0.1.0"

__all__ = [
    "CPM",
    "GREY_MEAN",
    "GREY_STD",
    "MEAN",
    "STD",
    "ZOO",
    "Checkpoint",
    "CheckpointError",
    "Feature",
    "HRNet",
    "HeatmapHead",
    "HigherHead",
    "Hourglass",
    "HourglassAE",
    "HubFile",
    "Identity",
    "LoadReport",
    "MapsHead",
    "PoseNet",
    "PoseOutput",
    "StagesHead",
    "Weights",
    "convert",
    "create_model",
    "find_detections",
    "find_weights",
    "fuse",
    "identify",
    "list_models",
    "load_checkpoint",
    "local_weights",
    "model_options",
    "read_checkpoint",
    "weights_folders",
]

# Imported at their first use: help and lists do not wait for torch.
_LATER = {
    "checkpoint": ("LoadReport", "load_checkpoint"),
    "checkpoint_files": ("Checkpoint", "read_checkpoint"),
    "convert": ("convert",),
    "cpm": ("CPM",),
    "fusion": ("fuse",),
    "grey": ("GREY_MEAN", "GREY_STD", "MEAN", "STD"),
    "higherhrnet": ("HigherHead",),
    "hourglass": ("Hourglass",),
    "hourglass_ae": ("HourglassAE",),
    "hrnet": ("HRNet",),
    "models": ("Identity", "create_model", "identify", "model_options"),
    "names": ("CheckpointError", "list_models"),
    "net": ("Feature", "HeatmapHead", "MapsHead", "PoseNet", "PoseOutput", "StagesHead"),
    "weights": ("find_detections", "find_weights", "local_weights", "weights_folders"),
    "zoo": ("ZOO", "HubFile", "Weights"),
}
_PUBLIC = {*MODELS, *(name for names in _LATER.values() for name in names)}


def HigherHRNet(width: int = 32, num_keypoints: int = 17, **options: Any) -> "PoseNet":
    """Build `create_model("higherhrnet", num_keypoints, width=width, ...)`."""
    from pose_backbones.models import create_model

    return create_model("higherhrnet", num_keypoints, width=width, **options)


def __getattr__(name: str) -> Any:
    if name in MODELS:  # create_model replaces these functions; they go with version 0.2
        from pose_backbones.models import create_model

        return partial(create_model, name)
    for module, names in _LATER.items():
        if name in names:
            globals()[name] = getattr(import_module(f"pose_backbones.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module 'pose_backbones' has no attribute {name!r}")


class _Package(ModuleType):
    """The package: a function such as `convert` is not replaced by the file of its name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _PUBLIC):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
