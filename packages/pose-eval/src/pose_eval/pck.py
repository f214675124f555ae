"""PCK, AUC, EPE and NME of poses whose person is known: the measures of MPII, LSP, faces and hands.

In all functions pred, gt: (N, K, 2 or more), of which x and y are read; mask: (N, K), True where a
keypoint is labelled; norm: what a distance is divided by, a number, (N,), or (N, 2) to divide x and
y by different lengths (MMPose passes width and height of the box). A person whose norm is 0 is left
out. Source of all numbers: the behaviour of MMPose's `keypoint_pck_accuracy` and its neighbours.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def distances(pred: ArrayLike, gt: ArrayLike, mask: ArrayLike, norm: ArrayLike = 1.0) -> Floats:
    """Return the normalised distance of each keypoint, (N, K); NaN where it is not measured."""
    xy, wanted = np.asarray(pred)[..., :2], np.asarray(gt)[..., :2]  # (N, K, 2)
    labelled = np.asarray(mask, bool)  # (N, K)
    if xy.ndim != 3 or xy.shape != wanted.shape or labelled.shape != xy.shape[:2]:
        raise ValueError(
            f"pred {np.shape(pred)}, gt {np.shape(gt)} and mask {np.shape(mask)} do not agree; "
            "they are (N, K, 2), (N, K, 2) and (N, K)"
        )
    length = np.asarray(norm)
    if length.shape not in ((), (len(xy),), (len(xy), 2)):
        raise ValueError(f"norm has shape {length.shape}; give a number, (N,) or (N, 2)")
    length = np.broadcast_to(length if length.ndim == 2 else length[..., None], (len(xy), 2))
    usable = (length != 0).all(axis=1)
    # A negative length counts as a huge one, so that nothing is missed: MMPose's rule.
    divisor = np.where(length <= 0, np.asarray(1e6, length.dtype), length)
    offset = (xy - wanted) / divisor[:, None]  # (N, K, 2)
    out = np.sqrt((offset**2).sum(axis=-1))  # (N, K)
    return np.where(labelled & usable[:, None], out, np.nan)


def pck(
    pred: ArrayLike, gt: ArrayLike, mask: ArrayLike, thr: float, norm: ArrayLike
) -> tuple[NDArray[np.float64], float]:
    """Return the share nearer than `thr`: of each keypoint (K,), and the mean over keypoints.

    A keypoint that no person has is NaN and not in the mean; without any the mean is 0. With the
    length of the head (MPII: 0.6 times the diagonal of its box) as norm this is PCKh.
    """
    return _share_below(distances(pred, gt, mask, norm), thr)


def auc(
    pred: ArrayLike, gt: ArrayLike, mask: ArrayLike, norm: ArrayLike = 30.0, steps: int = 20
) -> float:
    """Return the area under the PCK curve: the mean of the PCK at 0, 1/steps, 2/steps, ... < 1."""
    found = distances(pred, gt, mask, norm)
    return sum(_share_below(found, step / steps)[1] for step in range(steps)) / steps


def epe(pred: ArrayLike, gt: ArrayLike, mask: ArrayLike) -> float:
    """Return the end point error, the mean distance in pixels; 0 without labelled keypoints."""
    return nme(pred, gt, mask, 1.0)


def nme(pred: ArrayLike, gt: ArrayLike, mask: ArrayLike, norm: ArrayLike) -> float:
    """Return the normalised mean error over all labelled keypoints; 0 without any."""
    found = distances(pred, gt, mask, norm)
    # Summed keypoint by keypoint, as MMPose does in the precision of the input.
    measured = found.T[~np.isnan(found.T)]
    return float(measured.sum() / max(1, len(measured)))


def heatmap_pck(
    output: ArrayLike, target: ArrayLike, mask: ArrayLike, thr: float = 0.05
) -> tuple[NDArray[np.float64], float]:
    """Return the PCK of the maxima of heatmaps (N, K, H, W), MMPose's `pose_pck_accuracy`.

    Quirk kept: x is divided by the height and y by the width. A map without a positive value has
    its maximum at (-1, -1).
    """
    height, width = np.shape(output)[2:]
    norm = np.tile([height, width], (len(np.asarray(output)), 1))  # (N, 2)
    return pck(_maxima(output), _maxima(target), mask, thr, norm)


def _share_below(found: Floats, thr: float) -> tuple[NDArray[np.float64], float]:
    measured = (~np.isnan(found)).sum(axis=0)  # (K,)
    near = (found < thr).sum(axis=0)
    share = np.where(measured > 0, near / np.maximum(measured, 1), np.nan)
    return share, float(np.mean(share[measured > 0])) if measured.any() else 0.0


def _maxima(heatmaps: ArrayLike) -> NDArray[np.float32]:
    maps = np.asarray(heatmaps)
    flat = maps.reshape(*maps.shape[:2], -1)  # (N, K, H * W)
    y, x = np.divmod(flat.argmax(axis=-1), maps.shape[3])
    xy = np.stack([x, y], axis=-1).astype(np.float32)  # (N, K, 2)
    xy[flat.max(axis=-1) <= 0] = -1
    return xy
