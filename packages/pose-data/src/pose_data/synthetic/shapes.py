"""Cartoon people, drawn: a figure as flat coloured shapes, and which of its keypoints are seen."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2
from pose_data.synthetic.figures import FACE, SIDES, Array, Colour, Figure, shaded

_TURNS = np.arange(20) * (np.pi / 10)
CIRCLE = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1)  # (20, 2)
_SHOWING = {"nose": 0.0, "eye": 0.05, "ear": -0.4}  # of the face, from which `_facing` upwards


def _cap(direction: Array, degrees: float) -> Array:
    """Return the rim (20, 3) of a round patch on the unit sphere."""
    axis = direction / np.linalg.norm(direction)
    across = np.linalg.svd(axis[None])[2][1:]  # (2, 3), square to the axis
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(cos * axis + sin * CIRCLE @ across)


_CAPS = {  # on the head, in the order of painting
    "face": _cap(np.array([0.0, -0.32, 1.0]), 58),
    "hat": _cap(np.array([0.0, 1.0, -0.1]), 52),
    "lips": _cap(np.array([0.0, -0.62, 0.85]), 10),
    "left_eye": _cap(FACE["left_eye"], 13),
    "right_eye": _cap(FACE["right_eye"], 13),
    "left_pupil": _cap(FACE["left_eye"], 8),
    "right_pupil": _cap(FACE["right_eye"], 8),
}


Part = IntEnum(  # a value fits in four bits
    "Part",
    "TORSO PELVIS NECK HEAD "
    "LEFT_UPPER_ARM LEFT_FOREARM LEFT_HAND LEFT_THIGH LEFT_SHIN LEFT_FOOT "
    "RIGHT_UPPER_ARM RIGHT_FOREARM RIGHT_HAND RIGHT_THIGH RIGHT_SHIN RIGHT_FOOT",
    start=0,
)
_AROUND = {  # the parts that meet at a joint of one side
    "shoulder": ("UPPER_ARM",),
    "elbow": ("UPPER_ARM", "FOREARM"),
    "wrist": ("FOREARM", "HAND"),
    "hip": ("THIGH",),
    "knee": ("THIGH", "SHIN"),
    "ankle": ("SHIN", "FOOT"),
}
_SHOWING_PARTS: dict[str, set[int]] = {
    "neck": {Part.TORSO, Part.NECK, Part.HEAD},
    "head_top": {Part.HEAD},
    "pelvis": {Part.TORSO, Part.PELVIS},
    **{name: {Part.HEAD} for name in FACE},
}
for _side, _ in SIDES:
    for _joint, _parts in _AROUND.items():
        _SHOWING_PARTS[f"{_side}_{_joint}"] = {Part[f"{_side.upper()}_{p}"] for p in _parts}
_ALIASES = {"top_head": "head_top", "upper_neck": "neck", "thorax": "neck"}
JOINTS = frozenset([*_SHOWING_PARTS, *_ALIASES])  # the names that `locate` knows


class Shape(NamedTuple):
    """A convex polygon (N, 2) in sixteenths of a pixel, its colour and the part that it shows."""

    polygon: NDArray[np.int32]
    colour: Colour
    part: int = 0


Piece = tuple[float, list[Shape]]  # depth (larger is nearer), and what is painted there in order


def paint(image: NDArray[np.uint8], shapes: Iterable[Shape]) -> None:
    """Paint shapes into `image` (H, W, 3) in place."""
    for shape in shapes:
        cv2.fillConvexPoly(image, shape.polygon, shape.colour, cv2.LINE_AA, 4)


def cover(owner: NDArray[np.uint8], shapes: Iterable[Shape], who: int) -> None:
    """Write 16 * who + part into `owner` (H, W) in place, wherever the shapes are."""
    for shape in shapes:
        cv2.fillConvexPoly(owner, shape.polygon, 16 * who + shape.part, cv2.LINE_8, 4)


def sixteenths(points: Array) -> NDArray[np.int32]:
    """Convert pixels to the fixed point numbers that OpenCV draws with."""
    return np.rint(points * 16).astype(np.int32)


def body_shapes(figure: Figure) -> list[Shape]:
    """Cut a figure into coloured convex shapes, the farthest part first."""
    pieces = [*_trunk(figure), *_head(figure), *_limbs(figure, 0), *_limbs(figure, 1)]
    pieces.sort(key=lambda piece: piece[0])
    return [shape for _, shapes in pieces for shape in shapes]


def _trunk(figure: Figure) -> list[Piece]:
    """Return pelvis and torso, with the shirt's stripes and opening."""
    joints, unit, outfit = figure.joints, figure.height * figure.build, figure.outfit
    hips = np.stack([joints["left_hip"], joints["right_hip"]])  # (2, 3)
    shoulders = np.stack([joints["left_shoulder"], joints["right_shoulder"]])  # (2, 3)
    waist = 0.3 * shoulders + 0.7 * hips
    pelvis = _hull([*hips, *waist], 0.052 * unit)
    torso = [Shape(_hull([*shoulders, *waist], 0.05 * unit), outfit.shirt, Part.TORSO)]
    if outfit.stripe is not None:
        for along in (0.2, 0.5, 0.8):
            band = along * waist + (1 - along) * shoulders
            torso.append(Shape(_hull(band, 0.016 * unit), outfit.stripe, Part.TORSO))
    if figure.front > 0.2:  # a collar and a line of buttons mark the front
        neck, navel = joints["neck"], waist.mean(axis=0)
        chest = 0.55 * neck + 0.45 * navel
        collar = _hull([neck, chest], 0.04 * unit, 0.006 * unit)
        buttons = _hull([chest, navel], 0.007 * unit)
        torso.append(Shape(collar, outfit.skin, Part.TORSO))
        torso.append(Shape(buttons, shaded(outfit.shirt, 0.45), Part.TORSO))
    # Side by side in depth, the torso goes over the pelvis, and head and limbs over both.
    depth = float(np.concatenate([hips, shoulders])[:, 2].mean())
    return [
        (depth - 0.02 * unit, [Shape(pelvis, outfit.trousers, Part.PELVIS)]),
        (depth - 0.01 * unit, torso),
    ]


def _limbs(figure: Figure, index: int) -> list[Piece]:
    """Return the six limb parts of one side (0 left, 1 right)."""
    side, colours, unit = SIDES[index][0], figure.outfit.limbs, figure.height * figure.build
    rows = (  # from, to, radii, part
        ("shoulder", "elbow", 0.042, 0.034, "UPPER_ARM"),
        ("wrist", "hand", 0.024, 0.031, "HAND"),
        ("elbow", "wrist", 0.034, 0.025, "FOREARM"),
        ("hip", "knee", 0.060, 0.045, "THIGH"),
        ("ankle", "toe", 0.029, 0.024, "FOOT"),
        ("knee", "ankle", 0.045, 0.029, "SHIN"),
    )
    bands = {"wrist": "cuff", "ankle": "sock"}
    joints = {name: figure.joints[f"{side}_{name}"] for row in rows for name in row[:2]}
    ends = np.stack([[joints[row[0]], joints[row[1]]] for row in rows])  # (6, 2, 3)
    radii = np.array([row[2:4] for row in rows]) * unit  # (6, 2)
    limbs = _hulls(ends, radii)
    shines = _hulls(ends[..., :2] - 0.3 * radii[:, 1:, None], 0.4 * radii)
    cuffs = _hulls(ends + [[[0.75], [0.0]]] * (ends[:, 1:] - ends[:, :1]), 1.08 * radii[:, [1, 1]])
    pieces = []
    for row, limb, shine, cuff in zip(rows, limbs, shines, cuffs, strict=True):
        start, end, _, _, name = row
        colour, part = colours[name][index], Part[f"{side.upper()}_{name}"]
        shapes = [Shape(limb, colour, part)]
        if end in bands:  # wrists and ankles keep the colour of their side on bare skin
            shapes.append(Shape(cuff, colours[bands[end]][index], part))
        shapes.append(Shape(shine, shaded(colour, 1.15), part))
        # Hands and shoes go just under their cuff or sock: at its depth, and earlier in the rows.
        level = {"hand": "elbow", "toe": "knee"}.get(end, end)
        pieces.append((float(joints[start][2] + joints[level][2]) / 2, shapes))
    return pieces


def _head(figure: Figure) -> list[Piece]:
    """Return the head on its neck: an ellipsoid of hair, a face upon it, and long hair behind."""
    outfit, centre, unit = figure.outfit, figure.joints["head"], figure.height * figure.build
    size = float(np.sqrt(np.linalg.det(figure.head_outline)))  # mean radius in pixels

    def point(*direction: float) -> Array:
        """Return where a point (left, up, front) of the unit sphere lies in the image."""
        x, y, depth = figure.head_turn @ np.array(direction)
        shift = figure.head_outline @ np.array([x, y])
        return np.asarray(centre + np.array([shift[0], shift[1], depth * size]))

    throat = _hull([figure.joints["neck"], centre], 0.04 * unit, 0.034 * unit)
    outline = sixteenths(CIRCLE @ figure.head_outline.T + centre[:2])
    ears: dict[bool, list[Shape]] = {True: [], False: []}  # before or behind the skull
    for name in ("left_ear", "right_ear"):
        for radius, colour in ((0.24, shaded(outfit.skin, 0.7)), (0.13, outfit.skin)):
            ear = Shape(_hull([figure.joints[name]], radius * size), colour, Part.HEAD)
            ears[_facing(figure, name) > 0.15].append(ear)
    shapes = [Shape(throat, shaded(outfit.skin, 0.85), Part.NECK), *ears[False]]
    shapes += [Shape(outline, outfit.hair, Part.HEAD), *_face(figure), *ears[True]]
    if _facing(figure, "nose") > -0.2:
        nose = _hull([point(0.0, 0.12, 0.98), figure.joints["nose"]], 0.05 * size, 0.13 * size)
        shapes.append(Shape(nose, shaded(outfit.skin, 0.62), Part.HEAD))
    pieces = [(float(centre[2]) + 0.01 * figure.height, shapes)]
    if outfit.has_long_hair:
        crown, tips = point(0.0, 0.0, -0.35), point(0.0, -1.5, -0.6)
        mane = Shape(_hull([crown, tips], 0.8 * size, 0.7 * size), outfit.hair, Part.HEAD)
        pieces.append((float(crown[2] + tips[2]) / 2, [mane]))
    return pieces


def _face(figure: Figure) -> list[Shape]:
    """Return what is seen of face, hat, lips and eyes: of each patch the near side of the head."""
    white, black = (245.0, 245.0, 245.0), (30.0, 20.0, 15.0)
    skin, hat, lips = figure.outfit.skin, figure.outfit.hat, (50.0, 40.0, 150.0)
    colours = (skin, hat, lips, white, white, black, black)  # as in _CAPS
    rims = np.stack([*_CAPS.values()]) @ figure.head_turn.T  # (caps, 20, 3)
    shown = rims[..., 2].max(axis=1) > (0.1, 0.1, 0.1, 0.22, 0.22, 0.14, 0.14)
    reach = np.linalg.norm(rims[..., :2], axis=2, keepdims=True)  # (caps, 20, 1)
    flat = np.where(rims[..., 2:] < 0, rims[..., :2] / reach, rims[..., :2])  # to the outline
    polygons = sixteenths(flat @ figure.head_outline.T + figure.joints["head"][:2])
    return [
        Shape(polygon, colour, Part.HEAD)
        for polygon, colour, is_shown in zip(polygons, colours, shown, strict=True)
        if is_shown and colour is not None
    ]


def _facing(figure: Figure, name: str) -> float:
    """Return how far a point of the face looks at the viewer: 1 straight, 0 at the rim, -1 away."""
    return float(figure.head_turn[2] @ FACE[name])


def is_turned_away(figure: Figure, name: str) -> bool:
    """Tell whether a keypoint is on the far side of the head."""
    return name in FACE and _facing(figure, name) < _SHOWING[name.rpartition("_")[2]]


def locate(figure: Figure, name: str) -> tuple[float, float]:
    """Return where a keypoint of JOINTS is in the image, in pixels."""
    name = _ALIASES.get(name, name)
    if name != "head_top":
        return float(figure.joints[name][0]), float(figure.joints[name][1])
    x, y = figure.head_outline @ figure.head_turn[:2, 1]  # the unit sphere's top
    centre = figure.joints["head"]
    return float(centre[0] + x), float(centre[1] + y)


def showing_parts(figure: Figure, name: str) -> set[int]:
    """Return the parts on which a keypoint can be seen."""
    name = _ALIASES.get(name, name)
    side, _, joint = name.rpartition("_")
    if joint in ("shoulder", "hip"):
        other = figure.joints[f"{'right' if side == 'left' else 'left'}_{joint}"]
        towards = figure.joints[name] - other
        if towards[2] > -0.8 * np.linalg.norm(towards):  # else, from the side, the trunk hides it
            return _SHOWING_PARTS[name] | {Part.TORSO, Part.PELVIS}
    return _SHOWING_PARTS[name]


def _hull(centres: Sequence[Array] | Array, *radii: float) -> NDArray[np.int32]:
    """Return the outline of discs, of one radius or one each: a ball, a capsule or a trunk."""
    return _hulls(np.asarray(centres)[None], np.array([radii]))[0]


def _hulls(centres: Array, radii: Array) -> list[NDArray[np.int32]]:
    """Return the outlines, in sixteenths, of N sets of discs: centres (N, D, 2+), radii (N, D)."""
    discs = centres[:, :, None, :2] + radii[..., None, None] * CIRCLE  # (N, D, 20, 2)
    points = sixteenths(discs.reshape(len(centres), -1, 2))
    return [np.asarray(cv2.convexHull(outline), np.int32) for outline in points]
