"""Cartoon people, sampled: pose, view, build and clothes of one (`sample_figure`).

A person is built in body space (x to its left, y up, z to its front, standing height 1), turned
into view space (x right, y up, z towards the viewer) and scaled into the image (x right, y down,
pixels; depth stays as a third coordinate, larger is nearer). Which way it faces is therefore never
drawn by hand: faces, far limbs and the order of left and right follow from one rotation.
"""

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Colour = tuple[float, float, float]  # BGR, 0..255
Pair = tuple[Colour, Colour]  # left, right

SIDES = (("left", 1.0), ("right", -1.0))


@dataclass(frozen=True)
class Outfit:
    """Hold the colours of one person; those of limbs and bands by name: warm left, cool right."""

    skin: Colour
    hair: Colour
    has_long_hair: bool
    hat: Colour | None
    shirt: Colour
    stripe: Colour | None
    trousers: Colour
    limbs: dict[str, Pair]


@dataclass(frozen=True)
class Figure:
    """Hold one posed person in the image: where everything is, and how it looks.

    `joints` maps a name to (3,) x, y and depth in pixels; `height` is the standing height and
    `build` the thickness of the limbs (1 is average). The head is an ellipsoid: a unit sphere
    (left, up, front) turned by `head_turn` (3, 3) so that the third coordinate faces the viewer;
    the first two, times `head_outline` (2, 2), are pixels from the head's centre.
    """

    joints: dict[str, Array]
    head_turn: Array
    head_outline: Array
    front: float  # cosine between the chest's direction and the viewer's: 1 facing us, -1 back
    height: float
    build: float
    outfit: Outfit

    def moved(self, x: float, y: float) -> "Figure":
        """Return the figure shifted by (x, y) pixels."""
        shift = np.array([x, y, 0.0])
        return replace(self, joints={name: joint + shift for name, joint in self.joints.items()})


# Angles in degrees as ranges: out to the side, to the front, bend of the elbow or knee.
Ranges = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
_ARMS: tuple[Ranges, ...] = (
    ((5, 25), (-15, 20), (0, 40)),  # hanging
    ((5, 20), (-40, 45), (10, 70)),  # swinging
    ((30, 55), (-20, 5), (70, 115)),  # hand on the hip
    ((65, 110), (-10, 25), (0, 50)),  # spread
    ((115, 170), (-10, 25), (0, 60)),  # raised
    ((5, 40), (25, 85), (0, 80)),  # reaching forward
    ((60, 100), (0, 30), (60, 120)),  # waving
)
_LEGS: tuple[Ranges, ...] = (
    ((2, 10), (-6, 10), (0, 10)),  # standing
    ((2, 10), (-6, 10), (0, 10)),
    ((0, 8), (-30, 35), (5, 50)),  # walking
    ((12, 32), (-8, 12), (0, 20)),  # legs apart
    ((5, 20), (65, 95), (70, 105)),  # sitting
    ((5, 25), (0, 75), (15, 95)),  # stepping up, kicking
)
FACE = {  # directions in the head's unit sphere (left, up, front); the nose and ears stick out
    "nose": np.array([0.0, -0.14, 1.13]),
    "left_eye": np.array([0.40, 0.20, 0.89]),
    "right_eye": np.array([-0.40, 0.20, 0.89]),
    "left_ear": np.array([1.04, 0.02, -0.10]),
    "right_ear": np.array([-1.04, 0.02, -0.10]),
}


def sample_figure(rng: np.random.Generator, height: float) -> Figure:
    """Sample a person of the given standing height in pixels, with the pelvis at the origin."""
    facing = rng.choice(3, p=[0.55, 0.2, 0.25])
    yaw = rng.normal((0, 180, 0)[facing], 25) if facing < 2 else rng.uniform(-180, 180)
    roll = rng.normal(0, 9) if rng.random() < 0.85 else rng.uniform(-40, 40)
    view = _rotation(2, roll) @ _rotation(0, rng.uniform(-4, 16)) @ _rotation(1, yaw)
    joints, torso, skull = _sample_pose(rng)
    into_image = height * np.diag([1.0, -1.0, 1.0]) @ view  # y turns down
    joints = {name: into_image @ joint for name, joint in joints.items()}
    head = into_image @ skull  # half axes (3, 3) of an ellipsoid
    for name, direction in FACE.items():
        joints[name] = joints["head"] + head @ direction
    # The outline of an ellipsoid is an ellipse; dividing by its square root leaves a unit sphere.
    outline = np.asarray(np.linalg.cholesky(head[:2] @ head[:2].T), np.float64)  # (2, 2)
    right, down = np.linalg.solve(outline, head[:2])  # (3,) each, orthonormal
    turn = np.stack([right, down, np.cross(down, right)])
    front = float((view @ torso)[2, 2])
    return Figure(joints, turn, outline, front, height, rng.uniform(0.95, 1.3), _sample_outfit(rng))


def _rotation(axis: int, degrees: float) -> Array:
    """Return the right-handed rotation (3, 3) about a coordinate axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = cos, -sin, sin, cos
    return matrix


def _sample_pose(rng: np.random.Generator) -> tuple[dict[str, Array], Array, Array]:
    """Return the joints in body space, the torso's rotation and the head's half axes (3, 3)."""
    arms = rng.choice(len(_ARMS), size=2)
    arms[1] = arms[0] if rng.random() < 0.5 else arms[1]  # half of the people do not mix gestures
    legs = _LEGS[rng.choice(len(_LEGS))]
    bow = rng.uniform(15, 50) if rng.random() < 0.12 else rng.normal(3, 6)
    torso = _rotation(0, bow) @ _rotation(2, rng.normal(0, 6)) @ _rotation(1, rng.normal(0, 8))
    turn = torso @ _rotation(1, rng.normal(0, 20)) @ _rotation(0, rng.normal(-bow / 3, 8))
    turn = turn @ _rotation(2, rng.normal(0, 7))
    size = rng.uniform(1.05, 1.35)  # of the head: these are cartoons, some of them of children
    skull = turn @ np.diag([0.068, 0.088, 0.078]) * size
    neck = torso @ np.array([0.0, 0.30, 0.0])
    joints = {"pelvis": np.zeros(3), "neck": neck, "head": neck + torso[:, 1] * 0.045 + skull[:, 1]}
    for (side, sign), row in zip(SIDES, arms, strict=True):
        shoulder = torso @ np.array([sign * 0.108, 0.275, 0.0])
        out, forward, bend = (rng.uniform(*limits) for limits in _ARMS[row])
        upper = _direction(sign, out, forward)
        # The elbow's hinge turns with the shoulder; the forearm bends forward, inward or up.
        hinge = np.array([-sign * rng.uniform(0, 1), rng.uniform(-0.2, 1), 0.8])
        hinge -= upper * (hinge @ upper)
        lower = _bent(upper, hinge / np.linalg.norm(hinge), bend)
        elbow = shoulder + 0.165 * torso @ upper
        wrist = elbow + 0.145 * torso @ lower
        hand = wrist + 0.042 * torso @ lower
        joints |= {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow}
        joints |= {f"{side}_wrist": wrist, f"{side}_hand": hand}
    for side, sign in SIDES:
        out, forward, bend = (rng.uniform(*limits) for limits in legs)
        upper = _direction(sign, out, forward)
        forward = np.radians(forward)
        lower = _bent(upper, np.array([0.0, -np.sin(forward), -np.cos(forward)]), bend)
        hip = np.array([sign * 0.066, 0.0, 0.0])
        knee = hip + 0.235 * upper
        ankle = knee + 0.225 * lower
        toe = ankle + 0.025 * lower + [sign * 0.012, -0.008, 0.065]
        joints |= {f"{side}_hip": hip, f"{side}_knee": knee}
        joints |= {f"{side}_ankle": ankle, f"{side}_toe": toe}
    return joints, torso, skull


def _direction(sign: float, out: float, forward: float) -> Array:
    """Return the unit direction (3,) of a hanging limb lifted sideways and forwards, in degrees."""
    out, forward = np.radians(out), np.radians(forward)
    down = np.cos(out)
    return np.array([sign * np.sin(out), -down * np.cos(forward), down * np.sin(forward)])


def _bent(upper: Array, hinge: Array, degrees: float) -> Array:
    """Return the direction of the lower limb: the upper one turned towards `hinge`."""
    turn = np.radians(degrees)
    return np.asarray(np.cos(turn) * upper + np.sin(turn) * hinge)


def random_colour(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0.0, 1.0),
    saturation: tuple[float, float] = (0.1, 0.95),
    value: tuple[float, float] = (0.15, 0.95),
) -> Colour:
    """Sample a BGR colour (0..255) from ranges of hue (cyclic, 0..1), saturation and value."""
    h, s, v = (rng.uniform(*limits) for limits in (hue, saturation, value))
    red, green, blue = colorsys.hsv_to_rgb(h % 1.0, s, v)
    return 255 * blue, 255 * green, 255 * red


def skin_colour(rng: np.random.Generator) -> Colour:
    """Sample a skin colour, from dark to light."""
    light = rng.uniform(0.4, 0.97)
    saturation = (0.68 - 0.42 * light, 0.85 - 0.5 * light)
    return random_colour(rng, (0.04, 0.085), saturation, (light, light))


def shaded(colour: Colour, factor: float) -> Colour:
    """Return the colour made darker or lighter."""
    blue, green, red = (min(factor * channel, 255.0) for channel in colour)
    return blue, green, red


def _side_pair(rng: np.random.Generator, value: float) -> Pair:
    """Sample a warm colour for the left and a cool one for the right, of about one brightness."""
    values = (max(value - 0.08, 0.2), min(value + 0.08, 1.0))
    return (
        random_colour(rng, (-0.06, 0.13), (0.65, 1.0), values),
        random_colour(rng, (0.46, 0.68), (0.55, 1.0), values),
    )


def _sample_outfit(rng: np.random.Generator) -> Outfit:
    """Sample the clothes: long or short, light above dark or dark above light."""
    skin = skin_colour(rng)
    light, dark = rng.uniform(0.8, 1.0), rng.uniform(0.35, 0.58)
    upper, lower = (light, dark) if rng.random() < 0.5 else (dark, light)
    thigh, shin = (light, dark) if rng.random() < 0.5 else (dark, light)
    long_sleeves, long_trousers = rng.random(2) < 0.5
    return Outfit(
        skin=skin,
        hair=random_colour(rng, (0.02, 0.13), (0.2, 0.8), (0.08, 0.6 * max(skin) / 255)),
        has_long_hair=bool(rng.random() < 0.3),
        hat=random_colour(rng) if rng.random() < 0.25 else None,
        shirt=random_colour(rng),
        stripe=random_colour(rng) if rng.random() < 0.4 else None,
        trousers=random_colour(rng, value=(0.12, 0.6)),
        limbs={
            "HAND": (skin, skin),
            "UPPER_ARM": _side_pair(rng, upper),
            "FOREARM": _side_pair(rng, lower) if long_sleeves else (skin, skin),
            "cuff": _side_pair(rng, upper),
            "THIGH": _side_pair(rng, thigh),
            "SHIN": _side_pair(rng, shin) if long_trousers else (skin, skin),
            "sock": _side_pair(rng, thigh),
            "FOOT": (random_colour(rng, (-0.06, 0.13)), random_colour(rng, (0.46, 0.68))),
        },
    )
