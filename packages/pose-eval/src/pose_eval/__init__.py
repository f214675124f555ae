"""COCO keypoint evaluation (OKS, AP, AR) of any results JSON, without torch."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pose_eval.analysis.bootstrap import bootstrap, compare
    from pose_eval.analysis.breakdown import analyse
    from pose_eval.analysis.error_types import diagnose
    from pose_eval.coco.evaluate import Evaluator, evaluate
    from pose_eval.coco.report import Report
    from pose_eval.coco.tables import GroundTruth, Matches, Results, ResultsError, SettingsError
    from pose_eval.io.ground_truth import read_ground_truth
    from pose_eval.io.results import read_results
    from pose_eval.nms import nearby_nms, oks, oks_nms, rescore, soft_oks_nms
    from pose_eval.pck import auc, epe, nme, pck
    from pose_eval.render.html import cards, figures, page
    from pose_eval.render.parts import markdown
    from pose_eval.render.svg import line_chart
    from pose_eval.settings import Settings
    from pose_eval.sigmas import COCO_SIGMAS, SIGMAS

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
    "cards",
    "compare",
    "diagnose",
    "epe",
    "evaluate",
    "figures",
    "line_chart",
    "markdown",
    "nearby_nms",
    "nme",
    "oks",
    "oks_nms",
    "page",
    "pck",
    "read_ground_truth",
    "read_results",
    "rescore",
    "soft_oks_nms",
]

# Imported at their first use: help does not wait for numpy.
_LATER = {
    "analysis.bootstrap": ("bootstrap", "compare"),
    "analysis.breakdown": ("analyse",),
    "analysis.error_types": ("diagnose",),
    "coco.evaluate": ("Evaluator", "evaluate"),
    "coco.report": ("Report",),
    "coco.tables": ("GroundTruth", "Matches", "Results", "ResultsError", "SettingsError"),
    "io.ground_truth": ("read_ground_truth",),
    "io.results": ("read_results",),
    "nms": ("nearby_nms", "oks", "oks_nms", "rescore", "soft_oks_nms"),
    "pck": ("auc", "epe", "nme", "pck"),
    "render.html": ("cards", "figures", "page"),
    "render.parts": ("markdown",),
    "render.svg": ("line_chart",),
    "settings": ("Settings",),
    "sigmas": ("COCO_SIGMAS", "SIGMAS"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            globals()[name] = getattr(import_module(f"pose_eval.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module 'pose_eval' has no attribute {name!r}")


class _Package(ModuleType):
    """The package: `pck` is a function, not the file of this name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name == "pck"):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
