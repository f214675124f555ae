"""COCO-format keypoint data: annotations to samples, transforms, synthetic people."""

from pose_data.aic import convert_aic, load_aic
from pose_data.bottomup import BottomUp
from pose_data.cartoons import EASY, HARD, Scene, synthesize_image
from pose_data.check import check
from pose_data.coco import Persons, Source, load_coco
from pose_data.detections import load_detections, whole_image_boxes
from pose_data.draw import draw_people
from pose_data.errors import DatasetError
from pose_data.findings import Finding
from pose_data.infer import infer_skeleton
from pose_data.mixture import combine, epoch_rows, merge
from pose_data.pictures import read_image, start_worker
from pose_data.regions import Regions
from pose_data.sampler import GroupedBatches
from pose_data.scene import SceneAugmentation
from pose_data.skeleton import AIC, COCO, COCO_AIC, CROWDPOSE, MPII, Skeleton
from pose_data.synthesize import custom_skeleton, synthesize
from pose_data.topdown import TopDown
from pose_data.transforms import Augmentation, inverse, keypoints_to_image
from pose_data.warp import warp_affine

__version__ = "0.1.0"

__all__ = [
    "AIC",
    "COCO",
    "COCO_AIC",
    "CROWDPOSE",
    "EASY",
    "HARD",
    "MPII",
    "Augmentation",
    "BottomUp",
    "DatasetError",
    "Finding",
    "GroupedBatches",
    "Persons",
    "Regions",
    "Scene",
    "SceneAugmentation",
    "Skeleton",
    "Source",
    "TopDown",
    "check",
    "combine",
    "convert_aic",
    "custom_skeleton",
    "draw_people",
    "epoch_rows",
    "infer_skeleton",
    "inverse",
    "keypoints_to_image",
    "load_aic",
    "load_coco",
    "load_detections",
    "merge",
    "read_image",
    "start_worker",
    "synthesize",
    "synthesize_image",
    "warp_affine",
    "whole_image_boxes",
]
