"""Draw people onto pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data.skeleton import Skeleton

# BGR. Left is orange, right is blue, the middle is green: as in most figures of the field.
_LEFT, _RIGHT, _MIDDLE = (0, 128, 255), (255, 153, 51), (0, 220, 0)


def draw_people(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    scores: NDArray[np.float32],
    skeleton: Skeleton,
    *,
    min_score: float = 0.2,
) -> NDArray[np.uint8]:
    """Return a copy of image (H, W, 3) BGR with the people's links and joints drawn over it.

    keypoints (N, K, 2) in pixels, scores (N, K); joints below `min_score` are left out.
    """
    canvas = image.copy()
    left = {pair[0] for pair in skeleton.flip_pairs}
    right = {pair[1] for pair in skeleton.flip_pairs}
    radius = max(2, round(max(canvas.shape[:2]) / 200))
    for points, point_scores in zip(np.rint(keypoints).astype(int), scores, strict=True):
        for a, b in skeleton.links:
            if min(point_scores[a], point_scores[b]) >= min_score:
                color = _LEFT if {a, b} <= left else _RIGHT if {a, b} <= right else _MIDDLE
                cv2.line(canvas, points[a].tolist(), points[b].tolist(), color, radius, cv2.LINE_AA)
        for k, point in enumerate(points):
            if point_scores[k] >= min_score:
                color = _LEFT if k in left else _RIGHT if k in right else _MIDDLE
                cv2.circle(canvas, point.tolist(), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
                cv2.circle(canvas, point.tolist(), radius, color, -1, cv2.LINE_AA)
    return canvas
