"""Bottom-up geometry: from a whole image to the network's input, its output maps, and back.

As in MMPose 0.29, whose HigherHRNet results are the published ones. Pixel centres are at integer
coordinates; a matrix maps the middle of the region to (W / 2, H / 2). Sizes are (w, h).
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2
from pose_data.ranges import between, check_ranges, within
from pose_data.samples import pixels
from pose_data.samples.crop import Floats, three_points

Size = tuple[int, int]
Side = Literal["short", "long"]


@dataclass(frozen=True)
class SceneAugmentation:
    """The random part of the bottom-up recipe; the defaults are those of the published results.

    `side`: the region is a square (of the input's aspect ratio) as long as the image's "short" or
    "long" side, times a factor from `scale`. `rotate` is in degrees. `translate` moves it by up to
    that many pixels for each 200 pixels of the image's sides, times the same factor. The last
    four change pixels, see pixels.py; None is off.
    """

    flip_prob: float = field(default=0.5, metadata=within(0, 1))
    rotate: float = field(default=30.0, metadata=within(0, 180))
    scale: tuple[float, float] = field(default=(0.75, 1.5), metadata=between(0, ordered=True))
    translate: float = field(default=40.0, metadata=within(0))
    side: Side = "short"
    colour: pixels.Colour | None = None
    blur: pixels.Blur | None = None
    noise: pixels.Noise | None = None
    erase: pixels.Erase | None = None

    def __post_init__(self) -> None:
        check_ranges(self)


class SceneParams(NamedTuple):
    """One draw: which region of an image becomes a sample."""

    scale: float  # factor on the region's size: above 1 it shows more
    rotation: float  # degrees
    shift: tuple[int, int]  # pixels of the image
    flip: bool
    pixel_params: pixels.PixelParams = pixels.UNCHANGED


def sample_scene(rng: np.random.Generator, aug: SceneAugmentation, image_size: Size) -> SceneParams:
    """Draw the parameters of one sample: three uniforms and two integers, always.

    Those of its pixels, where `aug` changes them, come last.
    """
    u_scale, u_rotation, u_flip = rng.random(3).tolist()
    low, high = aug.scale
    scale = u_scale * (high - low) + low
    reach = [int(value) for value in translation_reach(image_size, scale, aug.translate)]
    dx, dy = (int(rng.integers(-r, max(r, 1 - r))) for r in reach)  # the upper end is exclusive
    changes = aug.colour, aug.blur, aug.noise, aug.erase
    pixel_params = pixels.sample_pixels(rng, *changes) if any(changes) else pixels.UNCHANGED
    rotation = (u_rotation * 2 - 1) * aug.rotate
    return SceneParams(scale, rotation, (dx, dy), u_flip < aug.flip_prob, pixel_params)


def translation_reach(
    image_size: Size, scale: float, translate: float = 40.0
) -> tuple[float, float]:
    """Return how far a region moves at most in x and y, in pixels before truncation."""
    sides = np.array(image_size, np.float32) * np.float32(scale)
    return translate * float(sides[0]) / 200, translate * float(sides[1]) / 200


def scene_matrix(
    image_size: Size, params: SceneParams, output_size: Size, side: Side = "short"
) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from the image to an output of the given size, before any flip.

    Each size has a matrix of its own, solved from three float32 points, as published; a closed form
    differs by up to 2e-4.
    """
    (width, height), (w, h) = image_size, output_size
    center = np.array([width / 2 + params.shift[0], height / 2 + params.shift[1]])
    is_narrow = width / w < height / h
    region_width = width if is_narrow == (side == "short") else height / h * w
    length = np.float32(region_width) * np.float32(params.scale)
    length = length / np.float32(200) * np.float32(200)  # the published detour, 3e-5 pixels
    return _matrix(center, length, params.rotation, output_size)


def _matrix(
    center: NDArray[np.float64], length: np.float32, rotation: float, output_size: Size
) -> NDArray[np.float64]:
    """Map `center` to the output's middle and `length` pixels to its width."""
    w, h = output_size
    angle = np.pi * rotation / 180
    upwards = float(length) * -0.5 * np.array([-math.sin(angle), math.cos(angle)])
    source = three_points(center, upwards)
    target = three_points(np.array([w * 0.5, h * 0.5]), np.array([0.0, w * -0.5]))
    return cv2.getAffineTransform(source, target).astype(np.float64, copy=False)  # (2, 3)


class Resized(NamedTuple):
    """An image as the network sees it in a test: its size, and the region it shows.

    center, scale (2,) in pixels of the image, as keypoints_to_image takes them.
    """

    size: Size
    center: Floats
    scale: Floats

    def matrix(self) -> NDArray[np.float64]:
        """Return the (2, 3) matrix from the image; the width's factor is that of both axes."""
        return _matrix(self.center.astype(np.float64), self.scale[0], 0.0, self.size)


def resize_for_test(
    image_size: Size, short_side: int, factor: float = 1.0, smallest_factor: float = 1.0
) -> Resized:
    """Return the size at which an image is tested: its short side about `short_side` * factor.

    Both sides are made divisible by 64 at the smallest of the factors of a multi-scale test, and
    follow from there. With factor 1 that is also the size at which maps of several factors meet.
    Keypoints in maps of any size go back by keypoints_to_image(keypoints, center, scale, map_size).
    The centre is rounded to whole pixels, halves to even (Python's round), as published.
    """
    least, most = sorted(image_size)
    side = 64 * math.ceil(smallest_factor * short_side / 64)
    short = int(side * factor / smallest_factor)
    long = int(64 * math.ceil(side / least * most / 64) * factor / smallest_factor)
    size, scale = (short, long), (least / 200, long / short * least / 200)
    if image_size[0] >= image_size[1]:
        size, scale = size[::-1], scale[::-1]
    center = np.array([round(image_size[0] / 2), round(image_size[1] / 2)], np.float32)
    return Resized(size, center, (np.array(scale) * 200).astype(np.float32))
