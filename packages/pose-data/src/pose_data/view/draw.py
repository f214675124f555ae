"""Draw people onto images."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data.skeleton import Skeleton

# Left is orange, right is blue, the middle is green: as in most figures of the field.
SIDES = {"left": "#ff8000", "right": "#3399ff", "middle": "#00dc00"}
LETTER = 8  # pixels that a letter of write_text takes, about


def sides(skeleton: Skeleton) -> list[str]:
    """Return left, right or middle for each keypoint."""
    left, right = ({pair[i] for pair in skeleton.flip_pairs} for i in (0, 1))
    count = range(skeleton.num_keypoints)
    return ["left" if k in left else "right" if k in right else "middle" for k in count]


def legend(skeleton: Skeleton) -> list[tuple[str, str]]:
    """Return the colours that draw_people uses for a skeleton, and what they mean."""
    if not skeleton.flip_pairs:
        return [(SIDES["middle"], "all keypoints: their names do not say left and right")]
    words = {"left": "the person's left (of one facing you, on your right)", "right": "right"}
    used = set(sides(skeleton))
    return [(colour, words.get(s, s)) for s, colour in SIDES.items() if s in used]


def bgr(colour: str) -> tuple[int, int, int]:
    """Return #rrggbb as OpenCV takes it."""
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


def draw_people(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    scores: NDArray[np.float32],
    skeleton: Skeleton,
    *,
    min_score: float = 0.2,
    names: bool = False,
) -> NDArray[np.uint8]:
    """Return a copy of image (H, W, 3) BGR with the people's links and keypoints drawn over it.

    keypoints (N, K, 2) in pixels, scores (N, K); keypoints below `min_score` are left out.
    names: write each keypoint's beside it; its number, from 1, where OpenCV lacks the letters.
    """
    canvas = image.copy()
    side = sides(skeleton)
    labels = [name if name.isascii() else str(k) for k, name in enumerate(skeleton.keypoints, 1)]
    radius = max(2, round(max(canvas.shape[:2]) / 200))
    for points, point_scores in zip(np.rint(keypoints).astype(int), scores, strict=True):
        for a, b in skeleton.links:
            if min(point_scores[a], point_scores[b]) >= min_score:
                color = bgr(SIDES[side[a] if side[a] == side[b] else "middle"])
                cv2.line(canvas, points[a].tolist(), points[b].tolist(), color, radius, cv2.LINE_AA)
        shown = np.flatnonzero(point_scores >= min_score).tolist()
        for k in shown:
            place = points[k].tolist()
            cv2.circle(canvas, place, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(canvas, place, radius, bgr(SIDES[side[k]]), -1, cv2.LINE_AA)
        if names:
            beside = [(points[k] + radius + 2).tolist() for k in shown]
            _label(canvas, beside, [labels[k] for k in shown])
    return canvas


def write_text(canvas: NDArray[Any], text: str, x: int, y: int) -> None:
    """Write onto an image from x on, with the foot at y: white in black, legible on any ground."""
    around = [(i, j, 0) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    for i, j, grey in [*around, (0, 0, 255)]:
        place, colour = (x + i, y + j), (grey, grey, grey)
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


def _label(canvas: NDArray[Any], places: Sequence[list[int]], texts: Sequence[str]) -> None:
    """Write texts beside their points, each below those that it would cover."""
    taken: list[tuple[int, int, int]] = []  # left, right, foot
    for (x, y), text in sorted(zip(places, texts, strict=True), key=lambda each: each[0][1]):
        width = 4 + LETTER * len(text)
        x = min(x, canvas.shape[1] - width)
        while hidden := [t for t in taken if t[0] < x + width and x < t[1] and abs(y - t[2]) < 12]:
            y = max(t[2] for t in hidden) + 12
        taken.append((x, x + width, y))
        write_text(canvas, text, x, y)
