"""PCK and related measures of a results file: pairing, and what a distance is divided by."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pose_eval.coco.report import Report
from pose_eval.coco.tables import Floats, Ints, SettingsError, one_line
from pose_eval.pck import auc, epe, nme, pck
from pose_eval.settings import category_index, parse_joints

NORMS = ("bbox", "bbox-wh", "area")


@dataclass(frozen=True)
class PckReport:
    """PCK of each keypoint and the mean at each threshold; AUC, EPE, NME; None: not measured.

    persons: that count. unpaired: those without a detection, whose keypoints are wrong in pck and
    auc and not measured in epe and nme. unmeasured: those left out for want of a norm.
    """

    norm: str
    joint_names: tuple[str, ...]
    pck: dict[float, tuple[tuple[float | None, ...], float | None]]
    auc: float | None
    epe: float | None
    nme: float | None
    persons: int
    unpaired: int
    unmeasured: int
    __repr__ = one_line

    def section(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        found = asdict(self)
        found["unpaired_persons"] = found.pop("unpaired")
        found["persons_without_norm"] = found.pop("unmeasured")
        names = found.pop("joint_names")
        found["pck"] = {
            f"{thr:g}": {"mean": mean, "per_joint": dict(zip(names, joints, strict=True))}
            for thr, (joints, mean) in self.pck.items()
        }
        return found


def pck_report(
    report: Report,
    *,
    norm: str = "bbox",
    thresholds: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5),
    auc_pixels: float = 30.0,
    category: int | str = 0,
) -> PckReport:
    """Measure a report's detections keypoint by keypoint.

    Each person that counts gets one detection of its image, pairs of the highest OKS first, however
    low. norm: bbox, the longer side; bbox-wh, x by width and y by height, as MMPose does; area, its
    square root; or two keypoints "left_shoulder,right_hip", their annotated distance, where a
    person who lacks one is left out. auc_pixels: the mean of the PCK at 0, 1/20, ... of so many
    pixels. category: an index, or a name or id as text.
    """
    category = category_index(report.gt, category)
    gt, matches = report.gt, report.matches[category]
    total = len(report.settings.sigmas[category])
    names = gt.categories[category].joint_names[:total]
    paired = pair_by_oks(report, category)
    persons, rows = matches.persons[matches.counts()], paired[matches.counts()]
    placed = gt.keypoints[persons, :total]  # (N, K, 3)
    mask = placed[..., 2] > 0
    found = np.full((len(persons), total, 2), np.inf)
    found[rows >= 0] = report.results.keypoints[rows[rows >= 0], :total, :2]
    length = _norm(report, persons, norm, names)
    usable = (length != 0).all(axis=1)
    measured = mask & (rows >= 0)[:, None]
    known = (mask & usable[:, None]).any()  # else pck gives 0 for nothing, as MMPose's does
    near = np.where(np.isinf(found), 0, found)  # for means, from which these are left out
    table = {}
    for thr in thresholds:
        per_joint, mean = pck(found, placed, mask, thr, length)
        joints = tuple(None if np.isnan(v) else float(v) for v in per_joint)
        table[thr] = (joints, mean if known else None)
    return PckReport(
        norm=norm,
        joint_names=names,
        pck=table,
        auc=auc(found, placed, mask, auc_pixels) if mask.any() else None,
        epe=epe(near, placed, measured) if measured.any() else None,
        nme=nme(near, placed, measured, length) if measured[usable].any() else None,
        persons=len(persons),
        unpaired=int((rows < 0).sum()),
        unmeasured=int((~usable).sum()),
    )


def pair_by_oks(report: Report, category: int = 0) -> Ints:
    """Return the row of the results of each person of matches.persons, -1 for none, (G,)."""
    matches = report.matches[category]
    out = np.full(len(matches.persons), -1)
    for image in np.flatnonzero(np.diff(matches.pair_start)).tolist():
        dets, gts, values = matches.of_image(image)
        oks = np.where(matches.counts()[gts], values, -1)
        for _ in range(min(oks.shape)):
            d, g = np.unravel_index(int(oks.argmax()), oks.shape)
            if oks[d, g] < 0:
                break
            out[gts.start + g] = matches.detections[dets.start + d]
            oks[d] = oks[:, g] = -1
    return out


def _norm(report: Report, persons: Ints, norm: str, names: tuple[str, ...]) -> Floats:
    """Return what x and y are divided by, (N, 2); 0 where a person has no such length."""
    gt = report.gt
    size = np.nan_to_num(gt.bbox[persons, 2:])  # (N, 2)
    if norm == "bbox-wh":
        return size
    if norm == "bbox":
        length = size.max(axis=1, initial=0)
    elif norm == "area":
        length = np.sqrt(gt.area[persons])
    else:
        if norm.count(",") != 1:
            raise SettingsError(
                f"norm {norm!r} is not known; give {', '.join(NORMS)} or two keypoints with a comma"
            )
        a, b = parse_joints(norm, names)
        ends = gt.keypoints[persons][:, [a, b]]  # (N, 2, 3)
        length = np.hypot(*(ends[:, 0, :2] - ends[:, 1, :2]).T)
        length = np.where((ends[..., 2] > 0).all(axis=1), length, 0)
    return np.repeat(length[:, None], 2, axis=1)
