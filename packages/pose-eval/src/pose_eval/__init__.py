"""COCO keypoint evaluation (OKS, AP, AR) of any results JSON, without torch."""

from pose_eval.evaluate import COCO_SIGMAS, Report, evaluate
from pose_eval.inputs import ResultsError

__version__ = "0.1.0"

__all__ = ["COCO_SIGMAS", "Report", "ResultsError", "evaluate"]
