"""Apply NMS and rescoring to a whole results file."""

from dataclasses import dataclass, replace

import numpy as np

from pose_eval.coco.tables import Results, ResultsError, SettingsError, take
from pose_eval.nms import SCORES, Indices, nearby_nms, oks_nms, per_image, rescore, soft_oks_nms
from pose_eval.settings import Settings

# Our names and MMPose's, with MMPose's thresholds.
METHODS = {
    "none": ("none", 0.0),
    "oks": ("oks", 0.9),
    "oks_nms": ("oks", 0.9),
    "soft": ("soft", 0.9),
    "soft_oks_nms": ("soft", 0.9),
    "nearby": ("nearby", 0.05),
    "nearby_joints_nms": ("nearby", 0.05),
}
MODES = {
    **{mode: mode for mode in SCORES},
    "bbox*keypoint": "bbox_keypoint",
    "box*keypoint": "bbox_keypoint",
    "box": "bbox",
    "rle": "bbox_rle",
}


@dataclass(frozen=True)
class Suppression:
    """What to do to the detections of an image, in MMPose's terms.

    nms: none, oks, soft or nearby. thr: its threshold. score: one of nms.SCORES, where `bbox` is
    the score of the row. score_thr: keypoints above it count in bbox_keypoint. padding: of the box
    whose area is used, None for the extent of the keypoints. max_dets: of soft and nearby NMS.
    """

    nms: str = "oks"
    thr: float = 0.9
    score: str = "bbox"
    score_thr: float = 0.2
    padding: float | None = None
    max_dets: int | None = None


def parse_suppression(
    nms: str | None, score: str | None, area: str | None, max_dets: int | None = None
) -> Suppression:
    """Read "oks:0.9", "bbox*keypoint:0.2" and "bbox:1.25"; raises SettingsError."""
    method, thr = _named("nms", nms or "none", METHODS)
    mode, score_thr = _named("score", score or "bbox", {k: (v, 0.2) for k, v in MODES.items()})
    kind, padding = _named("nms-area", area or "joints", {"joints": ("", 0), "bbox": ("bbox", 1)})
    if max_dets is not None and max_dets < (method != "nearby"):
        raise SettingsError(f"max-dets must be above 0 (nearby: 0 keeps all), got {max_dets}")
    return Suppression(method, thr, mode, score_thr, padding if kind else None, max_dets)


def suppress(results: Results, settings: Settings, how: Suppression) -> Results:
    """Return the rows that remain, image by image in MMPose's order, with their new scores.

    Detections of different categories do not suppress each other.
    """
    if how.padding is not None and results.bbox is None:
        raise ResultsError(
            f"{results.name} has no `bbox` in its rows; use the extent of the keypoints"
        )
    kept, scores = [], results.scores.copy()
    for category, sigmas in enumerate(settings.sigmas):
        rows = np.flatnonzero(results.category == category)
        joint_scores = results.keypoints[rows, : len(sigmas), 2]
        scores[rows] = rescore(scores[rows], joint_scores, how.score, how.score_thr)
        kept.append(rows[_kept(take(replace(results, scores=scores), rows), sigmas, how)])
    return take(replace(results, scores=scores), np.concatenate(kept))


def _kept(results: Results, sigmas: tuple[float, ...], how: Suppression) -> Indices:
    """Return the rows to keep of the results of one category."""
    keypoints, scores = results.keypoints[:, : len(sigmas)], results.scores
    if how.nms == "none":
        return np.arange(len(scores))
    if how.padding is None or results.bbox is None:
        area = np.prod(np.ptp(keypoints[..., :2], axis=1), axis=1)
    else:
        area = results.bbox[:, 2] * results.bbox[:, 3] * how.padding**2
    most = {"nearby": 30, "soft": 20}.get(how.nms, 0) if how.max_dets is None else how.max_dets

    def keep(rows: Indices) -> Indices:
        here = keypoints[rows], scores[rows]
        if how.nms == "nearby":
            return nearby_nms(*here, how.thr, max_dets=most)
        if how.nms == "soft":
            return soft_oks_nms(*here, area[rows], how.thr, sigmas=sigmas, max_dets=most)
        return oks_nms(*here, area[rows], how.thr, sigmas=sigmas)

    return per_image(results.image, keep)


def _named(option: str, text: str, known: dict[str, tuple[str, float]]) -> tuple[str, float]:
    """Read NAME or NAME:NUMBER; returns what the name stands for and the number."""
    name, colon, number = text.partition(":")
    if name not in known:
        raise SettingsError(f"{option} {text!r} is not known; there are {', '.join(known)}")
    stands_for, default = known[name]
    try:
        value = float(number) if colon else default
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{option} {text!r}: after the colon comes a number from 0 on")
    return stands_for, float(value)
