"""COCO-format keypoint data: annotations to samples, transforms, synthetic people."""

from pose_data.coco import Persons, load_coco
from pose_data.draw import draw_people
from pose_data.errors import DatasetError
from pose_data.pictures import read_image, start_worker
from pose_data.skeleton import COCO, Skeleton
from pose_data.synthesize import synthesize, synthesize_image
from pose_data.topdown import TopDown
from pose_data.transforms import Augmentation, inverse, keypoints_to_image
from pose_data.warp import warp_affine

__version__ = "0.1.0"

__all__ = [
    "COCO",
    "Augmentation",
    "DatasetError",
    "Persons",
    "Skeleton",
    "TopDown",
    "draw_people",
    "inverse",
    "keypoints_to_image",
    "load_coco",
    "read_image",
    "start_worker",
    "synthesize",
    "synthesize_image",
    "warp_affine",
]
