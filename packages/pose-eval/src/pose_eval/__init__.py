"""COCO keypoint evaluation (OKS, AP, AR) of any results JSON, without torch."""

from pose_eval.analysis import analyse
from pose_eval.bootstrap import bootstrap
from pose_eval.compare import compare
from pose_eval.errors import diagnose
from pose_eval.evaluate import evaluate
from pose_eval.evaluator import Evaluator
from pose_eval.ground_truth import read_ground_truth
from pose_eval.nms import nearby_nms, oks, oks_nms, rescore, soft_oks_nms
from pose_eval.pck import auc, epe, nme, pck
from pose_eval.report import Report
from pose_eval.results import read_results
from pose_eval.settings import Settings
from pose_eval.sigmas import COCO_SIGMAS, SIGMAS
from pose_eval.tables import GroundTruth, Matches, Results, ResultsError, SettingsError

__version__ = "0.1.0"

__all__ = [
    "COCO_SIGMAS",
    "SIGMAS",
    "Evaluator",
    "GroundTruth",
    "Matches",
    "Report",
    "Results",
    "ResultsError",
    "Settings",
    "SettingsError",
    "analyse",
    "auc",
    "bootstrap",
    "compare",
    "diagnose",
    "epe",
    "evaluate",
    "nearby_nms",
    "nme",
    "oks",
    "oks_nms",
    "pck",
    "read_ground_truth",
    "read_results",
    "rescore",
    "soft_oks_nms",
]
