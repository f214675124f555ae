"""Draw people onto images."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2
from pose_data.skeleton import Skeleton

Colours = Literal["side", "identity"]

# Left is orange, right is blue, the middle is green: as in most figures of the field.
SIDES = {"left": "#ff8000", "right": "#3399ff", "middle": "#00dc00"}
# Okabe and Ito's, which the colour-blind tell apart, too, with white for their black.
IDENTITIES = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"]
IDENTITIES += ["#ffffff"]
LETTER = 8  # pixels that a letter of write_text takes, about
_DARK = (20, 20, 20)  # around the bright colours: one of the two is seen on any ground
_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel


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
    colours: Colours = "side",
    ids: Sequence[int] | None = None,
    boxes: NDArray[np.float32] | None = None,
    labels: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """Return a copy of image (H, W, 3) BGR with the people's links and keypoints drawn over it.

    keypoints (N, K, 2) in pixels, scores (N, K); keypoints below `min_score` are left out. Limbs
    are the wider the larger a person is in the image.
    names: write each keypoint's beside it; its number, from 1, where OpenCV lacks the letters.
    colours: by side, or by `identity` one for each person: by its number in `ids`, else its place
    (IDENTITIES, over and over). boxes (N, 4): xyxy, drawn. labels: a text above each person.
    """
    canvas = image.copy()
    zoom = max(1.0, max(canvas.shape[:2]) / 1200)  # of texts: large images are looked at shrunk
    texts = [name if name.isascii() else str(k) for k, name in enumerate(skeleton.keypoints, 1)]
    for i, points in enumerate(keypoints):
        shown = np.flatnonzero(scores[i] >= min_score)
        if boxes is None and not len(shown):
            continue
        number = i if ids is None else ids[i]
        own = "#ffffff" if colours == "side" else IDENTITIES[number % len(IDENTITIES)]
        if boxes is not None:
            _draw_box(canvas, boxes[i], own)
        if len(shown):
            one_colour = None if colours == "side" else own
            radius = _draw_person(canvas, points, shown, skeleton, one_colour)
        if len(shown) and names:
            places = np.rint(points[shown] + radius + 2).astype(int).tolist()
            _write_names(canvas, places, [texts[k] for k in shown], zoom)
        if labels is not None and labels[i]:
            corner = points[shown].min(axis=0) if boxes is None else boxes[i, :2]
            _write_label(canvas, labels[i], corner, zoom, own)
    return canvas


def _draw_person(
    canvas: NDArray[Any],
    points: NDArray[np.float32],
    shown: NDArray[np.intp],
    skeleton: Skeleton,
    own: str | None,
) -> float:
    """Draw the keypoints (K, 2) that are shown, and their links, in one colour or by side.

    Returns the radius of a keypoint.
    """
    # The keypoints share the extent of a person; what is thinner is lost on a screen.
    screen = max(canvas.shape[:2]) / 1600
    extent = float(np.ptp(points[shown], axis=0).max())
    width = min(max(extent / (16 * len(points) ** 0.5), screen, 2), 16 * screen + 4)
    edge = max(1, width / 5)
    side = sides(skeleton)
    # Far outside a coordinate would not fit into OpenCV's integers.
    fixed = np.rint(np.clip(points, -1e6, 1e6) * (1 << _SHIFT)).astype(np.int32)  # (K, 2)
    own_keypoints = set(shown.tolist())
    lines: dict[str, list[NDArray[np.int32]]] = {"": []}
    for a, b in skeleton.links:
        if a in own_keypoints and b in own_keypoints:
            lines[""].append(fixed[[a, b]])
            name = side[a] if side[a] == side[b] else "middle"
            lines.setdefault(name, []).append(lines[""][-1])
    for name, group in lines.items():
        colour = bgr(own or SIDES[name]) if name else _DARK
        thick = round(width) if name else round(width) + 2 * round(edge)
        cv2.polylines(canvas, group, False, colour, thick, cv2.LINE_AA, _SHIFT)
    radius = 0.9 * width + 0.5
    for k in own_keypoints:
        place = fixed[k].tolist()
        for colour, size in ((_DARK, radius + edge), (bgr(own or SIDES[side[k]]), radius)):
            circle = round(size * (1 << _SHIFT))
            cv2.circle(canvas, place, circle, colour, -1, cv2.LINE_AA, _SHIFT)
    return radius + edge


def _draw_box(canvas: NDArray[Any], box: NDArray[np.float32], colour: str) -> None:
    """Draw a box (4,) xyxy as a line in a dark one."""
    width = max(1, round(max(canvas.shape[:2]) / 1000))
    x1, y1, x2, y2 = np.rint(np.clip(box, -1e6, 1e6)).astype(int).tolist()
    for each, thick in ((_DARK, width + 2), (bgr(colour), width)):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), each, thick)


def _write_label(
    canvas: NDArray[Any], text: str, corner: NDArray[np.float32], zoom: float, colour: str
) -> None:
    """Write a text on a ground of the colour, above a corner (2,) where the image has room."""
    font, scale, edge = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * zoom, round(3 * zoom)
    (w, h), _ = cv2.getTextSize(text, font, scale, round(zoom))
    most = np.array([canvas.shape[1] - w - 2 * edge, canvas.shape[0]])
    x, y = np.rint(np.clip(corner, (0, h + 2 * edge), np.maximum(most, 0))).astype(int).tolist()
    cv2.rectangle(canvas, (x, y - h - 2 * edge), (x + w + 2 * edge, y), bgr(colour), -1)
    place = (x + edge, y - edge)
    cv2.putText(canvas, text, place, font, scale, _DARK, round(zoom), cv2.LINE_AA)


def write_text(canvas: NDArray[Any], text: str, x: int, y: int, zoom: float = 1.0) -> None:
    """Write onto an image from x on, with the foot at y: white in black, legible on any ground."""
    font, scale, thick = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * zoom, round(zoom)
    around = [(i, j, 0) for i in (-thick, 0, thick) for j in (-thick, 0, thick) if i or j]
    for i, j, grey in [*around, (0, 0, 255)]:  # a thicker text would be a longer one
        place, colour = (x + i, y + j), (grey, grey, grey)
        cv2.putText(canvas, text, place, font, scale, colour, thick, cv2.LINE_AA)


def _write_names(
    canvas: NDArray[Any], places: Sequence[list[int]], texts: Sequence[str], zoom: float
) -> None:
    """Write texts beside their points, each below those that it would cover."""
    taken: list[tuple[int, int, int]] = []  # left, right, foot
    step = round(12 * zoom)
    for (x, y), text in sorted(zip(places, texts, strict=True), key=lambda each: each[0][1]):
        width = round((4 + LETTER * len(text)) * zoom)
        x = min(x, canvas.shape[1] - width)
        while hidden := [
            t for t in taken if t[0] < x + width and x < t[1] and abs(y - t[2]) < step
        ]:
            y = max(t[2] for t in hidden) + step
        taken.append((x, x + width, y))
        write_text(canvas, text, x, y, zoom)
