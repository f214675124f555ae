"""Stacked Hourglass, HRNet, CPM and HigherHRNet as plain PyTorch modules that load checkpoints."""

from pose_backbones.checkpoint import LoadReport, load_checkpoint
from pose_backbones.checkpoint_files import Checkpoint, read_checkpoint
from pose_backbones.convert import convert
from pose_backbones.cpm import CPM, cpm
from pose_backbones.fusion import fuse
from pose_backbones.higherhrnet import HigherHRNet, higherhrnet, higherhrnet_w32, higherhrnet_w48
from pose_backbones.hourglass import Hourglass, hourglass, hourglass52
from pose_backbones.hourglass_ae import HourglassAE, hourglass_ae
from pose_backbones.hrnet import (
    HRNet,
    hrnet,
    hrnet_ae,
    hrnet_w32,
    hrnet_w32_ae,
    hrnet_w48,
    hrnet_w48_ae,
)
from pose_backbones.models import Identity, create_model, identify, list_models
from pose_backbones.net import Feature, HeatmapHead, MapsHead, PoseNet, PoseOutput, StagesHead
from pose_backbones.pickles import CheckpointError
from pose_backbones.weights import find_weights, local_weights, weights_folders
from pose_backbones.zoo import ZOO, Weights

__version__ = "0.1.0"

__all__ = [
    "CPM",
    "ZOO",
    "Checkpoint",
    "CheckpointError",
    "Feature",
    "HRNet",
    "HeatmapHead",
    "HigherHRNet",
    "Hourglass",
    "HourglassAE",
    "Identity",
    "LoadReport",
    "MapsHead",
    "PoseNet",
    "PoseOutput",
    "StagesHead",
    "Weights",
    "convert",
    "cpm",
    "create_model",
    "find_weights",
    "fuse",
    "higherhrnet",
    "higherhrnet_w32",
    "higherhrnet_w48",
    "hourglass",
    "hourglass52",
    "hourglass_ae",
    "hrnet",
    "hrnet_ae",
    "hrnet_w32",
    "hrnet_w32_ae",
    "hrnet_w48",
    "hrnet_w48_ae",
    "identify",
    "list_models",
    "load_checkpoint",
    "local_weights",
    "read_checkpoint",
    "weights_folders",
]
