"""COCO-format keypoint data: annotations to samples, transforms, synthetic people."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pose_data.check.run import check
    from pose_data.combine import combine, epoch_rows, merge
    from pose_data.errors import DatasetError
    from pose_data.findings import Finding
    from pose_data.formats.aic import convert_aic, load_aic
    from pose_data.formats.coco import load_coco
    from pose_data.formats.detections import load_detections, whole_image_boxes
    from pose_data.formats.values import with_shares
    from pose_data.images.decode import start_worker
    from pose_data.images.warp import warp_affine
    from pose_data.infer import infer_skeleton
    from pose_data.packing.read import Pack, open_pack
    from pose_data.packing.write import pack
    from pose_data.persons import Persons, Source, read_image
    from pose_data.regions import Regions
    from pose_data.sampler import GroupedBatches
    from pose_data.samples.bottomup import BottomUp
    from pose_data.samples.crop import Augmentation, inverse, keypoints_to_image
    from pose_data.samples.pixels import Blur, Colour, Erase, Noise
    from pose_data.samples.scene import SceneAugmentation
    from pose_data.samples.topdown import TopDown
    from pose_data.skeleton import (
        AIC,
        COCO,
        COCO_AIC,
        CROWDPOSE,
        MPII,
        Skeleton,
        with_flip_pairs,
        with_sigmas,
    )
    from pose_data.synthetic.cartoons import EASY, HARD, Scene, synthesize_image
    from pose_data.synthetic.synthesize import custom_skeleton, synthesize
    from pose_data.view.draw import draw_people

__version__ = "0.1.0"

__all__ = ["Finding", "GroupedBatches", "Persons", "Regions", "Source", "start_worker"]
__all__ += ["load_aic", "load_coco", "load_detections", "read_image", "whole_image_boxes"]
__all__ += ["combine", "epoch_rows", "merge", "with_shares"]
__all__ += ["AIC", "COCO", "COCO_AIC", "CROWDPOSE", "MPII", "Skeleton"]
__all__ += ["infer_skeleton", "with_flip_pairs", "with_sigmas"]
__all__ += ["Augmentation", "BottomUp", "SceneAugmentation", "TopDown"]
__all__ += ["Blur", "Colour", "Erase", "Noise"]
__all__ += ["Pack", "open_pack", "pack"]
__all__ += ["inverse", "keypoints_to_image", "warp_affine"]
__all__ += ["EASY", "HARD", "Scene", "custom_skeleton", "synthesize", "synthesize_image"]
__all__ += ["DatasetError", "check", "convert_aic", "draw_people"]

# Imported at their first use: help does not wait for OpenCV.
_LATER = {
    "check.run": ("check",),
    "combine": ("combine", "epoch_rows", "merge"),
    "errors": ("DatasetError",),
    "findings": ("Finding",),
    "formats.aic": ("convert_aic", "load_aic"),
    "formats.coco": ("load_coco",),
    "formats.detections": ("load_detections", "whole_image_boxes"),
    "formats.values": ("with_shares",),
    "images.decode": ("start_worker",),
    "images.warp": ("warp_affine",),
    "infer": ("infer_skeleton",),
    "packing.read": ("Pack", "open_pack"),
    "packing.write": ("pack",),
    "persons": ("Persons", "Source", "read_image"),
    "regions": ("Regions",),
    "sampler": ("GroupedBatches",),
    "samples.bottomup": ("BottomUp",),
    "samples.crop": ("Augmentation", "inverse", "keypoints_to_image"),
    "samples.pixels": ("Blur", "Colour", "Erase", "Noise"),
    "samples.scene": ("SceneAugmentation",),
    "samples.topdown": ("TopDown",),
    "skeleton": (
        "AIC",
        "COCO",
        "COCO_AIC",
        "CROWDPOSE",
        "MPII",
        "Skeleton",
        "with_flip_pairs",
        "with_sigmas",
    ),
    "synthetic.cartoons": ("EASY", "HARD", "Scene", "synthesize_image"),
    "synthetic.synthesize": ("custom_skeleton", "synthesize"),
    "view.draw": ("draw_people",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            globals()[name] = getattr(import_module(f"pose_data.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module 'pose_data' has no attribute {name!r}")


class _Package(ModuleType):
    """The package: `check` and `combine` are functions, not the files of these names."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in ("check", "combine")):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
