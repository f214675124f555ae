"""Draw one image of cartoon people, with exact labels: `synthesize_image`.

Figures are sampled in `figures` and drawn in `shapes`; here they get their places, objects in front
of them, a background, and annotations that say what is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.opencv import cv2
from pose_data.skeleton import COCO
from pose_data.synthetic import shapes
from pose_data.synthetic.figures import Figure, random_colour, sample_figure, shaded, skin_colour
from pose_data.synthetic.shapes import CIRCLE, Shape, cover, paint, sixteenths

Image = NDArray[np.uint8]
Layer = tuple[list[Shape], int]  # shapes, and whose: 0 of an object, else of a person, from 1
_SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_BANDS = np.array([_SQUARE * (0.1, 1.0) + (shift, 0.0) for shift in (-0.4, -0.2, 0.0, 0.2, 0.4)])
_CROWD = 15  # who the people of a crowd are in an image's owners; single persons come before
MOST_PEOPLE = _CROWD - 1


@dataclass(frozen=True)
class Scene:
    """How hard images are.

    people: fewest and most of an image, None for one to four, mostly one or two. crowd_share: of
    images, how many have a crowd in the background, one region with iscrowd 1 and without
    keypoints. unlabelled_share: of persons, how many nobody labelled, as 4 in 10 of COCO.
    """

    people: tuple[int, int] | None = None
    crowd_share: float = 0.0
    unlabelled_share: float = 0.0

    def __post_init__(self) -> None:
        if self.people is not None and not 0 <= self.people[0] <= self.people[1] <= MOST_PEOPLE:
            raise DatasetError(f"people must be in order in 0 to {MOST_PEOPLE}, got {self.people}")
        for share in (self.crowd_share, self.unlabelled_share):
            if not 0 <= share <= 1:
                raise DatasetError(f"shares must be 0 to 1, got {share}")


EASY = Scene()
HARD = Scene((2, 8), crowd_share=0.4, unlabelled_share=0.15)


def synthesize_image(
    rng: np.random.Generator,
    size: tuple[int, int],
    names: tuple[str, ...] = COCO.keypoints,
    scene: Scene = EASY,
) -> tuple[Image, list[dict[str, Any]]]:
    """Draw one image of `size` (w, h) and return it with its COCO annotations, less the ids.

    The image is BGR (H, W, 3); it does not depend on the keypoints' `names` (see `shapes.locate`
    for those there are). Keypoints take pixel centres as integers; bbox, area and segmentation are
    those of the visible silhouette and take pixels as unit squares, as COCO does.
    """
    width, height = size
    # What makes it hard has random numbers of its own, so that easy images stay what they were.
    (hard,) = rng.spawn(1)
    layers, figures = _sample_layers(rng, size, scene)
    crowd = _sample_crowd(hard, size) if hard.random() < scene.crowd_share else []
    image = _background(rng, size)
    owner = np.zeros((height, width), np.uint8)  # 16 * person (from 1) + body part, 0 elsewhere
    for parts, who in [*crowd, *reversed(layers)]:  # back to front
        paint(image, parts)
        cover(owner, parts, who)
    people, unlabelled = [], (0,) * 3 * len(names)
    for who, figure in enumerate(figures, start=1):
        keypoints: Sequence[float] = unlabelled
        if hard.random() >= scene.unlabelled_share:
            keypoints = _keypoints(figure, names, owner, who)
        people.append(_annotation(owner >> 4 == who, keypoints))
    if (owner >> 4 == _CROWD).any():
        people.append(_annotation(owner >> 4 == _CROWD, unlabelled, is_crowd=True))
    return _photographed(rng, image), people


def _sample_layers(
    rng: np.random.Generator, size: tuple[int, int], scene: Scene
) -> tuple[list[Layer], list[Figure]]:
    """Sample people and a few objects, the nearest (and largest) first; and people's figures."""
    width, height = size
    if scene.people is None:
        count = int(rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.2, 0.15]))
    else:
        count = int(rng.integers(scene.people[0], scene.people[1], endpoint=True))
    heights = np.sort(rng.uniform(0.27, 0.95 if count < 3 else 0.75, count))[::-1] * height
    covered = np.zeros((height, width), np.uint8)
    layers: list[Layer] = []
    figures: list[Figure] = []
    for tall in heights:
        if rng.random() < 0.25:
            layers.append((_object(rng, size, rng.uniform(0.1, 0.25)), 0))
            cover(covered, layers[-1][0], 1)
        for _ in range(10):  # a person of whom too little would show is drawn again, then left out
            figure = _placed(rng, sample_figure(rng, tall), size)
            if sum(_is_labelled(figure, name, size) for name in COCO.keypoints) < 8:
                continue
            parts = shapes.body_shapes(figure)
            alone = np.zeros_like(covered)
            cover(alone, parts, 1)
            shown = np.count_nonzero((alone > 0) & (covered == 0))
            if shown >= 0.55 * np.count_nonzero(alone):
                figures.append(figure)
                layers.append((parts, len(figures)))
                covered |= alone
                break
    return layers, figures


def _sample_crowd(rng: np.random.Generator, size: tuple[int, int]) -> list[Layer]:
    """Sample the shapes of eight to sixteen small people side by side, the farthest first."""
    width, height = size
    tall = rng.uniform(0.12, 0.25) * height
    left, right = np.sort(rng.uniform(-0.1, 1.1, 2)) * width
    floor = rng.uniform(0.3, 0.8) * height
    found = []
    for _ in range(rng.integers(8, 16, endpoint=True)):
        figure = sample_figure(rng, tall * rng.uniform(0.85, 1.15))
        place = rng.uniform(left, max(right, left + 2 * tall)), floor + rng.normal(0, 0.1 * tall)
        found.append((shapes.body_shapes(figure.moved(*place)), _CROWD))
    return found


def _placed(rng: np.random.Generator, figure: Figure, size: tuple[int, int]) -> Figure:
    """Move a figure to a random place, a quarter of them partly out of the image."""
    points = np.stack([*figure.joints.values()])[:, :2]  # (joints, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    overhang = (0.45 if rng.random() < 0.25 else 0.0) * (high - low)
    first, last = -low - overhang, np.array(size) - high + overhang
    x, y = rng.uniform(np.minimum(first, last), np.maximum(first, last))
    return figure.moved(x, y)


def _is_labelled(figure: Figure, name: str, size: tuple[int, int]) -> bool:
    """Tell whether a keypoint is in the image and not on the far side of the head."""
    # COCO's annotators leave out the nose on the back of a head, but not most else that is hidden.
    x, y = shapes.locate(figure, name)
    is_inside = 0 <= x <= size[0] - 1 and 0 <= y <= size[1] - 1
    return is_inside and not shapes.is_turned_away(figure, name)


def _keypoints(figure: Figure, names: Sequence[str], owner: Image, who: int) -> list[float]:
    """Return x, y and visibility of each keypoint, from the image's owners (H, W)."""
    keypoints: list[float] = []
    for name in names:
        if not _is_labelled(figure, name, (owner.shape[1], owner.shape[0])):
            keypoints += [0, 0, 0]
            continue
        x, y = shapes.locate(figure, name)
        part = int(owner[round(y), round(x)]) - 16 * who
        keypoints += [
            round(x, 2),
            round(y, 2),
            2 if part in shapes.showing_parts(figure, name) else 1,
        ]
    return keypoints


def _annotation(
    mask: NDArray[np.bool_], keypoints: Sequence[float], is_crowd: bool = False
) -> dict[str, Any]:
    """Describe what is seen of a person or a crowd (H, W) as COCO does."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    part = mask[y : y + h, x : x + w]
    return {
        "category_id": 1,
        "iscrowd": int(is_crowd),
        "bbox": [float(x), float(y), float(w), float(h)],
        "area": float(np.count_nonzero(mask)),
        "segmentation": _run_lengths(mask) if is_crowd else _polygons(part, x, y),
        "keypoints": list(keypoints),
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
    }


def _run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Return a mask (H, W) as COCO's run lengths, column by column."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], ends, [len(flat)]])).tolist()
    return {"counts": [0] * bool(flat[0]) + counts, "size": list(mask.shape)}


def _polygons(mask: NDArray[np.bool_], left: int, top: int) -> list[list[float]]:
    """Trace a mask (H, W) as COCO polygons [x, y, x, y, ...], shifted by (left, top)."""
    # Traced at four times the size because contours run through pixel centres, not around pixels.
    fine = mask.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)  # (4H, 4W)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    smooth = [cv2.approxPolyDP(contour, 2.0, True)[:, 0] for contour in contours]  # half a pixel
    polygons = []
    for index, outline in enumerate(smooth):
        if tree[0, index, 3] >= 0 or len(outline) < 3:  # a hole, or a speck
            continue
        hole = tree[0, index, 2]  # COCO polygons have none: joined to the outline by a cut
        while hole >= 0:
            outline = _with_hole(outline, smooth[hole])
            hole = tree[0, hole, 0]
        polygon = (outline + 0.5) / 4 + [left, top]
        polygons.append(np.round(polygon, 2).ravel().tolist())
    return polygons


def _with_hole(outline: NDArray[Any], hole: NDArray[Any]) -> NDArray[Any]:
    """Join a hole (M, 2) to an outline (N, 2) where they are nearest: go in, around and back."""
    gaps = np.linalg.norm(outline[:, None] - hole, axis=2)  # (N, M)
    i, j = np.unravel_index(np.argmin(gaps), gaps.shape)
    around = np.concatenate([hole[j:], hole[: j + 1]])
    return np.concatenate([outline[: i + 1], around, outline[i:]])


def _background(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Draw a textured ground (H, W, 3): smooth colour noise, coarse to fine, under clutter."""
    base, spread = rng.uniform(70, 185, 3), rng.uniform(10, 70)
    cells = base + rng.uniform(-spread, spread, (rng.integers(2, 6), rng.integers(2, 6), 3))
    cells = np.clip(cells, 0, 255).astype(np.uint8)
    ground = cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC)  # (H, W, 3)
    image = _grained(_grained(ground, rng, 24, rng.uniform(4, 16)), rng, 6, rng.uniform(4, 16))
    for _ in range(rng.integers(8, 22)):
        paint(image, _object(rng, size, rng.uniform(0.04, 0.4)))
    return image


def _object(rng: np.random.Generator, size: tuple[int, int], extent: float) -> list[Shape]:
    """Sample a box, a disc or a pole, `extent` of the image wide, plain or striped."""
    colour = random_colour(rng, saturation=(0.0, 0.5))
    if rng.random() < 0.35:  # the colours of people: colour alone does not find a limb
        colour = skin_colour(rng) if rng.random() < 0.3 else random_colour(rng)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.normal(np.pi / 2, 0.1)
    length = extent * min(size) * rng.uniform(0.6, 1.6)
    aspect = rng.uniform(0.04, 0.2) if rng.random() < 0.5 else rng.uniform(0.3, 1.0)
    along = np.array([np.cos(angle), np.sin(angle)]) * length
    axes = np.array([along, [-aspect * along[1], aspect * along[0]]])  # (2, 2)
    centre = rng.random(2) * size
    if rng.random() < 0.3:
        return [Shape(sixteenths(centre + CIRCLE / 2 @ axes), colour)]
    parts = [Shape(sixteenths(centre + _SQUARE @ axes), colour)]
    if rng.random() < 0.4:
        stripe = shaded(colour, rng.uniform(0.5, 1.4))
        parts += [Shape(band, stripe) for band in sixteenths(centre + _BANDS @ axes)]
    return parts


def _photographed(rng: np.random.Generator, image: Image) -> Image:
    """Return the image (H, W, 3) under uneven light and with the grain of a sensor."""
    height, width = image.shape[:2]
    light = rng.uniform(0.7, 1.15, (3, 3)).astype(np.float32)
    gain = cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)
    lit = cv2.multiply(image, cv2.merge([gain] * 3), dtype=cv2.CV_8U)
    return _grained(lit, rng, 2, rng.uniform(2, 8))


def _grained(image: NDArray[Any], rng: np.random.Generator, pitch: int, deviation: float) -> Image:
    """Return the image (H, W, 3) with grey noise added, `pitch` pixels apart."""
    height, width = image.shape[:2]
    noise = rng.standard_normal((height // pitch + 1, width // pitch + 1), np.float32) * deviation
    grain = cv2.resize(noise.astype(np.int16), (width, height))
    return np.asarray(cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)
