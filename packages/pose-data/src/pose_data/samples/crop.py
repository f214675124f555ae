"""Top-down geometry: from a person's box to the network's input and back.

Random transforms come in two steps: `sample_augmentation` draws every number from an rng, the
functions then apply them purely. Pixel centres are at integer coordinates; the crop maps the box
centre to (W / 2, H / 2) with one factor for both axes (MMPose's convention; UDP's: `udp_matrix`).
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2
from pose_data.ranges import check_ranges, within
from pose_data.samples import pixels
from pose_data.skeleton import Skeleton

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """The random part of the top-down recipe; the defaults are those of the published results.

    Factors: `shift` is a fraction of the box, `scale` the largest relative change of its size,
    `rotate` degrees. A half-body crop needs `half_body_min_keypoints` labelled keypoints. The last
    four change pixels, see pixels.py; None is off.
    """

    flip_prob: float = field(default=0.5, metadata=within(0, 1))
    half_body_prob: float = field(default=0.3, metadata=within(0, 1))
    half_body_min_keypoints: int = field(default=9, metadata=within(0))
    upper_body_prob: float = field(default=0.7, metadata=within(0, 1))
    shift_prob: float = field(default=0.3, metadata=within(0, 1))
    shift: float = field(default=0.16, metadata=within(0, 1))
    scale_prob: float = field(default=1.0, metadata=within(0, 1))
    scale: float = field(default=0.5, metadata=within(0, 0.9))  # 1 would leave nothing of a box
    rotate_prob: float = field(default=0.6, metadata=within(0, 1))
    rotate: float = field(default=80.0, metadata=within(0, 180))
    colour: pixels.Colour | None = None
    blur: pixels.Blur | None = None
    noise: pixels.Noise | None = None
    erase: pixels.Erase | None = None

    def __post_init__(self) -> None:
        check_ranges(self)


class AugmentationParams(NamedTuple):
    """One draw: what to do to one sample."""

    flip: bool
    half_body: bool
    prefer_upper: bool
    shift: tuple[float, float]  # fractions of the box's width and height
    scale: float  # factor on the box's size
    rotation: float  # degrees
    pixel_params: pixels.PixelParams = pixels.UNCHANGED


NO_AUGMENTATION = AugmentationParams(False, False, False, (0.0, 0.0), 1.0, 0.0)


def sample_augmentation(rng: np.random.Generator, aug: Augmentation) -> AugmentationParams:
    """Draw the parameters of one sample: six uniforms and four truncated normals, always.

    Those of its pixels, where `aug` changes them, come last: the geometry does not depend on them.
    """
    uniforms: list[float] = rng.random(6).tolist()
    normals: list[float] = []
    while len(normals) < 4:  # truncated to [-1, 1], not clipped, as MMPose 1.x does
        normals += [value for value in rng.standard_normal(8).tolist() if abs(value) <= 1]
    params = decide(uniforms, normals[:4], aug)
    changes = aug.colour, aug.blur, aug.noise, aug.erase
    if any(changes):
        params = params._replace(pixel_params=pixels.sample_pixels(rng, *changes))
    return params


def decide(uniforms: list[float], normals: list[float], aug: Augmentation) -> AugmentationParams:
    """Turn drawn numbers into parameters.

    uniforms: for flip, half body, its upper part, shift, scale, rotation. normals, within [-1, 1]:
    shift in x and y, scale, rotation.
    """
    flip, half_body, upper, shift, scale, rotate = uniforms
    dx, dy, ds, dr = normals
    return AugmentationParams(
        flip=flip < aug.flip_prob,
        half_body=half_body < aug.half_body_prob,
        prefer_upper=upper < aug.upper_body_prob,
        shift=(dx * aug.shift, dy * aug.shift) if shift < aug.shift_prob else (0.0, 0.0),
        scale=1.0 + ds * aug.scale if scale < aug.scale_prob else 1.0,
        rotation=dr * aug.rotate if rotate < aug.rotate_prob else 0.0,
    )


def box_to_center_scale(bbox_xyxy: Floats, padding: float = 1.25) -> tuple[Floats, Floats]:
    """Return the box's center (2,) and its padded (width, height) (2,) in pixels."""
    top_left, bottom_right = bbox_xyxy[:2], bbox_xyxy[2:]
    center = (top_left + bottom_right) * np.float32(0.5)
    return center, (bottom_right - top_left) * np.float32(padding)


def half_body_box(
    keypoints: Floats, visible: Floats, skeleton: Skeleton, prefer_upper: bool, min_keypoints: int
) -> tuple[Floats, Floats] | None:
    """Return center and scale of the box around half of the body, or None where too few keypoints.

    The center is the mean of the chosen keypoints, not the middle of their extent, and the padding
    1.5 replaces the box's 1.25 (MMPose's RandomHalfBody).
    """
    labelled = visible > 0
    if labelled.sum() < min_keypoints:
        return None
    upper = [k for k in skeleton.upper_body if labelled[k]]
    lower = [k for k in skeleton.lower_body if labelled[k]]
    usable = [half for half, least in ((upper, 2), (lower, 3)) if len(half) >= least]
    if not usable:
        return None
    chosen = usable[0] if len(usable) == 1 or prefer_upper else usable[1]
    points = keypoints[chosen]  # (n, 2)
    extent = points.max(axis=0) - points.min(axis=0)
    return points.mean(axis=0), extent * np.float32(1.5)


def move_box(center: Floats, scale: Floats, params: AugmentationParams) -> tuple[Floats, Floats]:
    """Shift a box by fractions of its size, then resize it."""
    shifted = center + np.array(params.shift, np.float32) * scale
    return shifted, scale * np.float32(params.scale)


def fix_aspect(scale: Floats, input_size: tuple[int, int]) -> Floats:
    """Enlarge (width, height) to the aspect ratio of the network's input."""
    w, h = scale
    ratio = input_size[0] / input_size[1]
    return np.array([w, w / ratio] if w > h * ratio else [h * ratio, h], np.float32)


def crop_matrix(
    center: Floats, scale: Floats, rotation: float, input_size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from the image to the crop.

    scale: (width, height) with the input's aspect ratio; rotation: degrees by which the sampled
    region turns. Solved from three float32 points, as the published crops were: a closed form
    differs by up to 5e-3.
    """
    w, h = input_size
    # The sine and cosine of a float32 angle, then float64: bit by bit the published matrices.
    angle = np.deg2rad(np.float32(rotation))
    direction = np.array([np.cos(angle), np.sin(angle)], np.float64)
    towards_left = -0.5 * float(scale[0]) * direction
    source = three_points(np.asarray(center, np.float64), towards_left)
    target = three_points(np.array([w * 0.5, h * 0.5]), np.array([w * -0.5, 0.0]))
    return cv2.getAffineTransform(source, target).astype(np.float64, copy=False)  # (2, 3)


def udp_matrix(
    center: Floats, scale: Floats, rotation: float, input_size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from the image to an unbiased crop (UDP, Huang et al., CVPR 2020).

    Sizes are distances between the outer pixel centres: factors (W - 1) / scale_w and
    (H - 1) / scale_h, the box centre goes to ((W - 1) / 2, (H - 1) / 2). Positive rotation turns
    the other way than in crop_matrix, as published. Rounded to float32.
    """
    # All in float32, in this order: bit by bit the published matrices.
    angle = float(np.deg2rad(np.float32(rotation)))
    cos, sin, half = np.float32(math.cos(angle)), np.float32(math.sin(angle)), np.float32(0.5)
    (cx, cy), (w, h) = center, scale
    kx, ky = np.float32(input_size[0] - 1) / w, np.float32(input_size[1] - 1) / h
    rows = (
        (cos * kx, -sin * kx, kx * (-cx * cos + cy * sin + half * w)),
        (sin * ky, cos * ky, ky * (-cx * sin - cy * cos + half * h)),
    )
    return np.array(rows, np.float64)


def three_points(origin: NDArray[np.float64], arm: NDArray[np.float64]) -> Floats:
    """Return the origin, the end of the arm, and a third point at a right angle to it (3, 2)."""
    points = np.empty((3, 2), np.float32)
    points[0], points[1] = origin, origin + arm
    back = points[0] - points[1]
    points[2] = points[1] + np.array([-back[1], back[0]], np.float32)
    return points


def transform_points(points: Floats, matrix: NDArray[np.float64]) -> Floats:
    """Apply a (2, 3) matrix to points (..., 2)."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def inverse(points: Floats, matrix: NDArray[np.float64]) -> Floats:
    """Map points (..., P, 2) of a sample back to its image.

    matrix: (..., 2, 3) from the image to the sample, of one sample or of a batch of them. Raises
    ValueError where it cannot be inverted.
    """
    linear, offset = matrix[..., :2], matrix[..., 2]
    try:
        back = np.linalg.inv(linear)
    except np.linalg.LinAlgError:
        raise ValueError(f"matrix cannot be inverted: {matrix.tolist()}") from None
    return ((points - offset[..., None, :]) @ np.swapaxes(back, -1, -2)).astype(np.float32)


def mirror_matrix(width: int) -> NDArray[np.float64]:
    """Return the (3, 3) matrix that mirrors an image left to right: x becomes W - 1 - x."""
    return np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)


def keypoints_to_image(
    keypoints: Floats, center: Floats, scale: Floats, input_size: tuple[int, int]
) -> Floats:
    """Map keypoints (..., K, 2) of unrotated crops back to the image; center, scale (..., 2).

    keypoints are fractions of the box times input_size: pixels of a plain crop, and what decoders
    of UDP heatmaps return as published. For pixels of any sample, rotated or mirrored, see inverse.
    """
    size = np.array(input_size, np.float32)
    offset = center - np.float32(0.5) * scale
    return keypoints / size * scale[..., None, :] + offset[..., None, :]


def flip_points(points: Floats, image_width: int) -> Floats:
    """Mirror points (..., 2) of an image left to right: x becomes W - 1 - x."""
    return np.stack([np.float32(image_width - 1) - points[..., 0], points[..., 1]], axis=-1)
