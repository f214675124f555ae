"""What an evaluation is asked to do, as one frozen object."""

from dataclasses import dataclass

import numpy as np

from pose_eval.tables import Floats


@dataclass(frozen=True)
class Area:
    """A range of person areas in square pixels, both ends included."""

    name: str
    low: float
    high: float


ALL = Area("all", 0.0, 1e10)
COCO_AREAS = (ALL, Area("medium", 32.0**2, 96.0**2), Area("large", 96.0**2, 1e10))
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # not arange: the last bits differ


@dataclass(frozen=True)
class Settings:
    """All choices of an evaluation.

    protocol: coco, xtcoco or crowdpose. sigmas: one tuple for each category of the ground truth, as
    long as it has joints. thresholds: of OKS. areas: the first is "all". max_dets: detections of an
    image and category that take part. area_from: "ann" (the area of the annotation) or "bbox"
    (0.53 w h). joints: the joints of the file that are evaluated, None for all.
    """

    sigmas: tuple[tuple[float, ...], ...]
    protocol: str = "coco"
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    areas: tuple[Area, ...] = COCO_AREAS
    max_dets: int = 20
    area_from: str = "ann"
    joints: tuple[int, ...] | None = None

    def variances(self, category: int) -> Floats:
        """Return (2 sigma)^2 of each joint of a category, as pycocotools computes it."""
        return (np.asarray(self.sigmas[category], np.float64) * 2) ** 2
