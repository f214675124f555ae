"""The OKS between poses, compiled. Imported at the first call: numba is slow to load."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval._loops import jit

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

EPS = float(np.spacing(1.0))  # keeps an area of 0 from dividing by 0
CAREFUL = 1e-6  # far above the rounding of a float32 OKS: below it the sum is completed


@jit
def _oks(
    x: Floats,
    y: Floats,
    seen: Bools,
    area: Floats,
    variances: NDArray[np.float64],
    i: int,
    j: int,
    enough: float,
) -> float:
    """Return the OKS of poses i and j, or some number below `enough` once it cannot be reached."""
    count = 0
    for k in range(x.shape[1]):
        count += seen[i, k] and seen[j, k]
    if count == 0:
        return 0.0
    scale = (area[i] + area[j]) / 2 + EPS
    total = 0.0
    left = count
    for k in range(x.shape[1]):
        if seen[i, k] and seen[j, k]:
            dx = x[i, k] - x[j, k]
            dy = y[i, k] - y[j, k]
            total += math.exp(-((dx * dx + dy * dy) / variances[k] / scale / 2))
            left -= 1
            if total + left < enough * count:
                return (total + left) / count
    return total / count


@jit
def similarity(
    x: Floats,
    y: Floats,
    seen: Bools,
    area: Floats,
    variances: NDArray[np.float64],
    pose: int,
    others: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return the OKS of one pose with others, in float32."""
    out = np.empty(len(others), np.float32)
    for n in range(len(others)):
        out[n] = _oks(x, y, seen, area, variances, pose, others[n], 0.0)
    return out


@jit
def greedy(
    x: Floats,
    y: Floats,
    seen: Bools,
    area: Floats,
    variances: NDArray[np.float64],
    order: NDArray[np.intp],
    thr: np.float32,
) -> Bools:
    """Walk through `order` and drop what is above `thr` with a pose kept before."""
    kept = np.ones(len(order), np.bool_)
    enough = float(thr) - CAREFUL
    for a in range(len(order)):
        if not kept[a]:
            continue
        for b in range(a + 1, len(order)):
            if kept[b]:
                oks = _oks(x, y, seen, area, variances, order[a], order[b], enough)
                kept[b] = np.float32(oks) <= thr
    return kept
