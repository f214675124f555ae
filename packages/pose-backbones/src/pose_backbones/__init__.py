"""Stacked Hourglass, HRNet, CPM and HigherHRNet as plain PyTorch modules that load checkpoints."""

from functools import partial
from typing import Any

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
from pose_backbones.models import Identity, create_model, identify, list_models, model_options
from pose_backbones.net import Feature, HeatmapHead, MapsHead, PoseNet, PoseOutput, StagesHead
from pose_backbones.pickles import CheckpointError
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

# Functions of the models' names, which create_model replaces; they go with version 0.2.
cpm = partial(create_model, "cpm")
higherhrnet = partial(create_model, "higherhrnet")
higherhrnet_w32 = partial(create_model, "higherhrnet_w32")
higherhrnet_w48 = partial(create_model, "higherhrnet_w48")
hourglass = partial(create_model, "hourglass")
hourglass52 = partial(create_model, "hourglass52")
hourglass_ae = partial(create_model, "hourglass_ae")
hrnet = partial(create_model, "hrnet")
hrnet_ae = partial(create_model, "hrnet_ae")
hrnet_w32 = partial(create_model, "hrnet_w32")
hrnet_w32_ae = partial(create_model, "hrnet_w32_ae")
hrnet_w48 = partial(create_model, "hrnet_w48")
hrnet_w48_ae = partial(create_model, "hrnet_w48_ae")


def HigherHRNet(width: int = 32, num_keypoints: int = 17, **options: Any) -> PoseNet:
    """Build `create_model("higherhrnet", num_keypoints, width=width, ...)`."""
    return create_model("higherhrnet", num_keypoints, width=width, **options)
