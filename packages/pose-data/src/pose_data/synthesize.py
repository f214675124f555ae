"""A small synthetic keypoint dataset laid out like COCO: `synthesize(out)`.

For demos and tests: people are cartoons (sampled in `figures`, drawn in `shapes`), but scale,
rotation, crowding, occlusion and truncation are those of a pose problem, and the labels are exact.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.figures import Figure, random_colour, sample_figure, shaded, skin_colour
from pose_data.shapes import (
    CIRCLE,
    Shape,
    body_shapes,
    cover,
    is_turned_away,
    paint,
    showing_parts,
    sixteenths,
)
from pose_data.skeleton import COCO

Image = NDArray[np.uint8]
Layer = tuple[list[Shape], Figure | None]  # shapes of a person, or of an object
_SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_BANDS = np.array([_SQUARE * (0.1, 1.0) + (shift, 0.0) for shift in (-0.4, -0.2, 0.0, 0.2, 0.4)])


def synthesize(
    out: str | Path,
    *,
    num_train: int = 1000,
    num_val: int = 200,
    image_size: tuple[int, int] = (320, 240),
    seed: int = 0,
) -> Path:
    """Write synthetic people as `train2017/`, `val2017/` and `annotations/`, and return `out`.

    `image_size` is (w, h). The same arguments give the same bytes, and a picture depends only on
    `seed`, its split and its place in it, so asking for more keeps the ones there were. Raises
    DatasetError where `out` holds something already or a number is out of range.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DatasetError(f"{out} exists and is not an empty directory; nothing was written")
    if min(num_train, num_val) < 0:
        raise DatasetError(f"num_train and num_val must be >= 0, got {num_train} and {num_val}")
    if min(image_size) < 48:
        raise DatasetError(f"image_size must be at least (48, 48), got {tuple(image_size)}")
    if seed < 0:
        raise DatasetError(f"seed must be >= 0, got {seed}")
    out.parent.mkdir(parents=True, exist_ok=True)
    train, val = np.random.SeedSequence(seed).spawn(2)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        data = Path(scratch) / "data"  # renamed when whole, so that no half dataset is ever seen
        (data / "annotations").mkdir(parents=True)
        _write_split(data, "train2017", train.spawn(num_train), image_size, first_id=1)
        _write_split(data, "val2017", val.spawn(num_val), image_size, first_id=num_train + 1)
        if out.exists():
            out.rmdir()
        data.rename(out)
    return out


def _write_split(
    data: Path,
    split: str,
    seeds: Sequence[np.random.SeedSequence],
    image_size: tuple[int, int],
    first_id: int,
) -> None:
    """Write the pictures of one split and its annotation file, one picture for each seed."""
    (data / split).mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image_seed in enumerate(seeds, start=first_id):
        image, people = synthesize_image(np.random.default_rng(image_seed), image_size)
        name = f"{image_id:012d}.jpg"
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        (data / split / name).write_bytes(jpeg.tobytes())
        width, height = image_size
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for person in people:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **person})
    person_category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": COCO.keypoints,
        "skeleton": [(first + 1, second + 1) for first, second in COCO.links],
    }
    content = {
        "info": {"description": "synthetic people of pose-data", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [person_category],
    }
    path = data / "annotations" / f"person_keypoints_{split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def synthesize_image(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Image, list[dict[str, Any]]]:
    """Draw one picture of `size` (w, h) and return it with its COCO annotations, less the ids.

    The picture is BGR (H, W, 3). Keypoints take pixel centres as integers; bbox, area and
    segmentation are those of the visible silhouette and take pixels as unit squares, as COCO does.
    """
    width, height = size
    layers = _sample_layers(rng, size)
    image = _background(rng, size)
    owner = np.zeros((height, width), np.uint8)  # 16 * person (from 1) + body part, 0 elsewhere
    for who in range(len(layers), 0, -1):  # back to front
        shapes, figure = layers[who - 1]
        paint(image, shapes)
        cover(owner, shapes, 0 if figure is None else who)
    people = [
        _annotation(figure, owner, who)
        for who, (_, figure) in enumerate(layers, start=1)
        if figure is not None
    ]
    return _photographed(rng, image), people


def _sample_layers(rng: np.random.Generator, size: tuple[int, int]) -> list[Layer]:
    """Sample one to four people and a few objects, the nearest (and largest) first."""
    width, height = size
    count = rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.2, 0.15])
    heights = np.sort(rng.uniform(0.27, 0.95 if count < 3 else 0.75, count))[::-1] * height
    covered = np.zeros((height, width), np.uint8)
    layers: list[Layer] = []
    for tall in heights:
        if rng.random() < 0.25:
            layers.append((_object(rng, size, rng.uniform(0.1, 0.25)), None))
            cover(covered, layers[-1][0], 1)
        for _ in range(10):  # a person of whom too little would show is drawn again, then left out
            figure = _placed(rng, sample_figure(rng, tall), size)
            if sum(_is_labelled(figure, name, size) for name in COCO.keypoints) < 8:
                continue
            shapes = body_shapes(figure)
            alone = np.zeros_like(covered)
            cover(alone, shapes, 1)
            shown = np.count_nonzero((alone > 0) & (covered == 0))
            if shown >= 0.55 * np.count_nonzero(alone):
                layers.append((shapes, figure))
                covered |= alone
                break
    return layers


def _placed(rng: np.random.Generator, figure: Figure, size: tuple[int, int]) -> Figure:
    """Move a figure to a random place, a quarter of them partly out of the picture."""
    points = np.stack([*figure.joints.values()])[:, :2]  # (joints, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    overhang = (0.45 if rng.random() < 0.25 else 0.0) * (high - low)
    first, last = -low - overhang, np.array(size) - high + overhang
    x, y = rng.uniform(np.minimum(first, last), np.maximum(first, last))
    return figure.moved(x, y)


def _is_labelled(figure: Figure, name: str, size: tuple[int, int]) -> bool:
    """Tell whether a keypoint is in the picture and, if of the face, on the near side of the head.

    COCO's annotators leave out the nose on the back of a head, and label most else that is hidden.
    """
    x, y, _ = figure.joints[name]
    is_inside = 0 <= x <= size[0] - 1 and 0 <= y <= size[1] - 1
    return bool(is_inside and not is_turned_away(figure, name))


def _annotation(figure: Figure, owner: Image, who: int) -> dict[str, Any]:
    """Describe one person as COCO does, from the picture's owners (H, W)."""
    mask = (owner >> 4) == who
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    left, top = int(columns[0]), int(rows[0])
    width, height = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
    keypoints: list[float] = []
    for name in COCO.keypoints:
        if not _is_labelled(figure, name, (owner.shape[1], owner.shape[0])):
            keypoints += [0, 0, 0]
            continue
        x, y = float(figure.joints[name][0]), float(figure.joints[name][1])
        part = int(owner[round(y), round(x)]) - 16 * who
        keypoints += [round(x, 2), round(y, 2), 2 if part in showing_parts(figure, name) else 1]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [float(left), float(top), float(width), float(height)],
        "area": float(np.count_nonzero(mask)),
        "segmentation": _polygons(mask[top : top + height, left : left + width], left, top),
        "keypoints": keypoints,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
    }


def _polygons(mask: NDArray[np.bool_], left: int, top: int) -> list[list[float]]:
    """Trace a mask (H, W) as COCO polygons [x, y, x, y, ...], shifted by (left, top).

    COCO polygons have no holes: each is joined to its outline by a cut of no width. The mask is
    traced at four times its size because contours run through pixel centres, not around pixels.
    """
    coarse = mask.astype(np.uint8)
    fine = cv2.resize(coarse, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)  # (4H, 4W)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    smooth = [cv2.approxPolyDP(contour, 2.0, True)[:, 0] for contour in contours]  # half a pixel
    polygons = []
    for index, outline in enumerate(smooth):
        if tree[0, index, 3] >= 0 or len(outline) < 3:  # a hole, or a speck
            continue
        hole = tree[0, index, 2]
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
    """Sample a box, a disc or a pole, `extent` of the picture wide, plain or striped.

    A third of them take the colours of people: colour alone does not find a limb.
    """
    colour = random_colour(rng, saturation=(0.0, 0.5))
    if rng.random() < 0.35:
        colour = skin_colour(rng) if rng.random() < 0.3 else random_colour(rng)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.normal(np.pi / 2, 0.1)
    length = extent * min(size) * rng.uniform(0.6, 1.6)
    aspect = rng.uniform(0.04, 0.2) if rng.random() < 0.5 else rng.uniform(0.3, 1.0)
    along = np.array([np.cos(angle), np.sin(angle)]) * length
    axes = np.array([along, [-aspect * along[1], aspect * along[0]]])  # (2, 2)
    centre = rng.random(2) * size
    if rng.random() < 0.3:
        return [Shape(sixteenths(centre + CIRCLE / 2 @ axes), colour)]
    shapes = [Shape(sixteenths(centre + _SQUARE @ axes), colour)]
    if rng.random() < 0.4:
        stripe = shaded(colour, rng.uniform(0.5, 1.4))
        shapes += [Shape(band, stripe) for band in sixteenths(centre + _BANDS @ axes)]
    return shapes


def _photographed(rng: np.random.Generator, image: Image) -> Image:
    """Return the picture (H, W, 3) under uneven light and with the grain of a sensor."""
    height, width = image.shape[:2]
    light = rng.uniform(0.7, 1.15, (3, 3)).astype(np.float32)
    gain = cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)
    lit = cv2.multiply(image, cv2.merge([gain] * 3), dtype=cv2.CV_8U)
    return _grained(lit, rng, 2, rng.uniform(2, 8))


def _grained(image: NDArray[Any], rng: np.random.Generator, pitch: int, deviation: float) -> Image:
    """Return the picture (H, W, 3) with grey noise added, `pitch` pixels apart."""
    height, width = image.shape[:2]
    noise = rng.standard_normal((height // pitch + 1, width // pitch + 1), np.float32) * deviation
    grain = cv2.resize(noise.astype(np.int16), (width, height))
    return np.asarray(cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)
