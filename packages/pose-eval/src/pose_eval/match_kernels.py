"""The loops of matching: compiled by numba where there is much to do, else run as they stand."""

from functools import cache
from typing import Any

import numpy as np

from pose_eval.tables import Bools, Floats, Ints

FEW_PAIRS = 20_000  # Python is done with these before numba is loaded


@cache
def compiled(kernel: Any) -> Any:
    """Return the compiled kernel, or None without numba (or one that fits this numpy)."""
    try:
        from pose_eval._jit import jit
    except ImportError:
        return None
    return jit(kernel)


def negative_exponents(
    det_keypoints: Floats,
    gt_keypoints: Floats,
    gt_bbox: Floats,
    gt_area: Floats,
    variances: Floats,
    det_start: Ints,
    gt_start: Ints,
    first: int,
    last: int,
    out: Floats,
    counts: Ints,
) -> None:
    """Write -e of OKS for the pairs of images first..last-1, joint after joint that counts.

    det_keypoints (D, K, 3), gt_keypoints (G, K, 3) lie in the order of det_start, gt_start. counts
    gets the number of joints of each pair. Joints that count are those with v > 0; for a person
    without any, all joints count, with their distance to the box enlarged by itself on each side.
    """
    num_joints = variances.shape[0]
    eps = 2.220446049250313e-16  # np.spacing(1)
    at = 0
    pair = 0
    for image in range(first, last):
        for d in range(det_start[image], det_start[image + 1]):
            for g in range(gt_start[image], gt_start[image + 1]):
                labelled = 0
                for k in range(num_joints):
                    if gt_keypoints[g, k, 2] > 0:
                        labelled += 1
                x0 = gt_bbox[g, 0] - gt_bbox[g, 2]
                x1 = gt_bbox[g, 0] + gt_bbox[g, 2] * 2
                y0 = gt_bbox[g, 1] - gt_bbox[g, 3]
                y1 = gt_bbox[g, 1] + gt_bbox[g, 3] * 2
                for k in range(num_joints):
                    x, y = det_keypoints[d, k, 0], det_keypoints[d, k, 1]
                    if labelled == 0:
                        dx = max(0.0, x0 - x) + max(0.0, x - x1)
                        dy = max(0.0, y0 - y) + max(0.0, y - y1)
                    elif gt_keypoints[g, k, 2] > 0:
                        dx, dy = x - gt_keypoints[g, k, 0], y - gt_keypoints[g, k, 1]
                    else:
                        continue
                    out[at] = -((dx * dx + dy * dy) / variances[k] / (gt_area[g] + eps) / 2)
                    at += 1
                counts[pair] = labelled if labelled > 0 else num_joints
                pair += 1


def extents(keypoints: Floats, out: Floats) -> None:
    """Write the area that the joints of each pose (D, K, 3) extend over."""
    for d in range(keypoints.shape[0]):
        x0, y0 = keypoints[d, 0, 0], keypoints[d, 0, 1]
        x1, y1 = x0, y0
        for k in range(1, keypoints.shape[1]):
            x0, x1 = min(x0, keypoints[d, k, 0]), max(x1, keypoints[d, k, 0])
            y0, y1 = min(y0, keypoints[d, k, 1]), max(y1, keypoints[d, k, 1])
        out[d] = (x1 - x0) * (y1 - y0)


def sums(values: Floats, counts: Ints, out: Floats) -> None:
    """Write the mean of each run of `counts` values, added up in the order of np.sum.

    np.sum adds fewer than 8 values one by one and up to 128 in eight columns; the order decides the
    last bits, and with them matches at equal OKS.
    """
    columns = np.zeros(8)
    at = 0
    for pair in range(counts.shape[0]):
        n = counts[pair]
        total = 0.0
        if n < 8:
            for i in range(at, at + n):
                total += values[i]
        else:
            whole = n - n % 8
            for c in range(8):
                columns[c] = values[at + c]
            for i in range(8, whole, 8):
                for c in range(8):
                    columns[c] += values[at + i + c]
            total = ((columns[0] + columns[1]) + (columns[2] + columns[3])) + (
                (columns[4] + columns[5]) + (columns[6] + columns[7])
            )
            for i in range(at + whole, at + n):
                total += values[i]
        out[pair] = total / n
        at += n


def match(
    oks: Floats,
    pair_start: Ints,
    det_start: Ints,
    gt_start: Ints,
    crowd: Bools,
    gt_ignored: Bools,
    det_outside: Bools,
    thresholds: Floats,
    det_match: Any,
    gt_match: Any,
    det_ignored: Bools,
) -> None:
    """Match the detections of each image in their order, as pycocotools does.

    Writes det_match, gt_match (both -1 before) and det_ignored; shapes as in Matches. A detection
    takes the person of highest OKS that is free (a crowd always is), the later one on equal OKS,
    and an ignored one only if no other reaches the threshold.
    """
    order = np.empty(max(1, gt_ignored.shape[1]), np.int64)
    for image in range(det_start.shape[0] - 1):
        d0, d1 = det_start[image], det_start[image + 1]
        g0, g1 = gt_start[image], gt_start[image + 1]
        for a in range(gt_ignored.shape[0]):
            n = 0
            for wanted in range(2):  # not ignored first, file order within
                for g in range(g0, g1):
                    if gt_ignored[a, g] == (wanted == 1):
                        order[n] = g
                        n += 1
            for t in range(thresholds.shape[0]):
                for d in range(d0, d1):
                    best = min(thresholds[t], 1 - 1e-10)
                    found = -1
                    row = pair_start[image] + (d - d0) * (g1 - g0) - g0
                    for i in range(n):
                        g = order[i]
                        if gt_match[a, t, g] >= 0 and not crowd[g]:
                            continue
                        if found >= 0 and not gt_ignored[a, found] and gt_ignored[a, g]:
                            break
                        if oks[row + g] < best:
                            continue
                        best = oks[row + g]
                        found = g
                    det_match[a, t, d] = found
                    if found >= 0:
                        gt_match[a, t, found] = d
                        det_ignored[a, t, d] = gt_ignored[a, found]
                    else:
                        det_ignored[a, t, d] = det_outside[a, d]
