"""What rows in wrong coordinates fit better; pose-eval tests the same file with more cases."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data.check.hypotheses import explain

Floats = NDArray[np.float64]
SIZE = np.array([320.0, 240.0])


def perfect_rows() -> dict[str, Any]:
    """Return arguments of `explain`: one animal in each of 12 images, found where it is."""
    rng = np.random.default_rng(0)
    wh = rng.uniform(0.2, 0.6, (12, 2)) * SIZE
    boxes = np.hstack([rng.uniform(0, 1, wh.shape) * (SIZE - wh), wh])
    points = np.full((12, 4, 3), 2.0)
    points[..., :2] = boxes[:, None, :2] + rng.uniform(0, 1, (12, 4, 2)) * wh[:, None]
    return {
        "points": points.copy(),
        "row_boxes": boxes,
        "row_image": np.arange(12),
        "gt_points": points,
        "gt_boxes": boxes,
        "gt_image": np.arange(12),
        "image_sizes": np.tile(SIZE, (12, 1)),
        "sigmas": np.full(4, 0.05),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda xy, box: xy / SIZE, "fractions of the image"),
        (lambda xy, box: xy * 2, "pixels of images 2 times as large"),
        (lambda xy, box: xy[..., ::-1], "(y, x, score)"),
        (lambda xy, box: SIZE * (1, 0) - xy * (1, -1), "the mirrored image"),
        (lambda xy, box: xy - box[:, :, :2], "the crop, counted from the corner of the bbox"),
        (lambda xy, box: (xy - box[..., :2]) / box[..., 2:] * (48, 64), "scaled to about 48x64"),
        (lambda xy, box: xy[:, [2, 3, 0, 1]], "the rows' joints 2, 3, 0, 1"),
        (lambda xy, box: np.roll(xy, 1, axis=0), "rows of the previous image"),
    ],
)
def test_what_the_rows_fit_is_named(change: Callable[..., Floats], words: str) -> None:
    found = perfect_rows()
    assert explain(**found) is None
    found["points"][..., :2] = change(found["points"][..., :2], found["row_boxes"][:, None])
    assert words in (explain(**found) or "")


def test_rows_that_fit_nothing() -> None:
    found = perfect_rows()
    found["points"][..., :2] = np.random.default_rng(1).uniform(0, 240, (12, 4, 2))
    assert explain(**found) is None
