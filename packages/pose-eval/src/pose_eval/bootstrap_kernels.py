"""AP of many resampled sets of images: compiled, and in numpy for where there is no numba."""

import numpy as np
from numpy.typing import NDArray

from pose_eval._loops import jit

EPS = float(np.spacing(1.0))


@jit
def resampled(
    image: NDArray[np.int32],
    right: NDArray[np.bool_],
    persons: NDArray[np.int64],
    weights: NDArray[np.int32],
    recalls: NDArray[np.float64],
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> None:
    """Write mean precision and highest recall of each replicate, (R,), for one threshold.

    image, right (E,): the detections that count, by falling score. persons (I,): of each image.
    weights (R, I): how often an image was drawn. Drawing an image twice is the same as putting a
    copy of it beside it, so precision and recall are those of pycocotools on that larger set.
    """
    found = np.empty(len(image))
    pure = np.empty(len(image))
    for r in range(len(weights)):
        total = 0
        for i in range(len(persons)):
            total += weights[r, i] * persons[i]
        if total == 0:
            precision[r] = recall[r] = np.nan
            continue
        tp = fp = steps = 0
        for e in range(len(image)):
            weight = weights[r, image[e]]
            if not right[e]:
                fp += weight
            elif weight:
                tp += weight
                found[steps] = tp / total
                pure[steps] = tp / (fp + tp + EPS)
                steps += 1
        recall[r] = found[steps - 1] if steps else 0.0
        best = summed = 0.0
        step = steps - 1
        for wanted in recalls[::-1]:  # from the right, where precision becomes non-increasing
            while step >= 0 and found[step] >= wanted:
                best = max(best, pure[step])
                step -= 1
            summed += best if steps and found[steps - 1] >= wanted else 0.0
        precision[r] = summed / len(recalls)


def resampled_numpy(
    image: NDArray[np.int32],
    right: NDArray[np.bool_],
    persons: NDArray[np.int64],
    weights: NDArray[np.int32],
    recalls: NDArray[np.float64],
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> None:
    """Do the same as `resampled`, several times slower."""
    for r, drawn in enumerate(weights):
        total = int(drawn @ persons)
        if total == 0:
            precision[r] = recall[r] = np.nan
            continue
        weight = drawn[image]
        tp = np.cumsum(weight * right)
        fp = np.cumsum(weight * ~right)
        best = np.maximum.accumulate((tp / (fp + tp + EPS))[::-1])[::-1]
        at = np.searchsorted(tp / total, recalls, side="left")
        precision[r] = np.append(best, 0.0)[np.minimum(at, len(tp))].mean()
        recall[r] = tp[-1] / total if len(tp) else 0.0
