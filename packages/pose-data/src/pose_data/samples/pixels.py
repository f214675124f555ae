"""The pixels of a training sample after its crop: colour, blur, noise, erased boxes, in this order.

All are off unless asked for. Names, meaning and defaults of settings are those of albumentations 2
(ColorJitter, GaussianBlur, GaussNoise, CoarseDropout). Keypoints and masks stay as they are, also
below erased boxes: a network learns to tell where an occluded keypoint is.
"""

import functools
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2
from pose_data.ranges import between, check_ranges, within

Image = NDArray[np.uint8]
Range = tuple[float, float]

_GREY = np.array([0.299, 0.587, 0.114])  # of RGB, as in Rec. 601
_NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


@dataclass(frozen=True)
class Colour:
    """Factors of brightness, contrast (about the mean) and saturation; hue in turns of the circle.

    They are applied in random order. Images of one channel have neither saturation nor hue.
    """

    brightness: Range = field(default=(0.8, 1.2), metadata=within(0, ordered=True))
    contrast: Range = field(default=(0.8, 1.2), metadata=within(0, ordered=True))
    saturation: Range = field(default=(0.8, 1.2), metadata=within(0, ordered=True))
    hue: Range = field(default=(-0.5, 0.5), metadata=within(-0.5, 0.5, ordered=True))
    p: float = field(default=0.5, metadata=within(0, 1))

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur; sizes in pixels of the sample.

    blur_limit: odd sizes of the kernel; (0, 0): as large as sigma wants it, 2 * int(3.5 sigma) + 1.
    """

    blur_limit: tuple[int, int] = field(default=(0, 0), metadata=within(0, ordered=True))
    sigma_limit: Range = field(default=(0.5, 3.0), metadata=between(0, ordered=True))
    p: float = field(default=0.5, metadata=within(0, 1))

    def __post_init__(self) -> None:
        check_ranges(self)
        for i, limit in enumerate(self.blur_limit):
            if limit and limit % 2 == 0:
                raise ValueError(f"blur_limit[{i}] must be odd or 0, got {limit}")


@dataclass(frozen=True)
class Noise:
    """Gaussian noise in each pixel and channel; std_range: fractions of 255."""

    std_range: Range = field(default=(0.2, 0.44), metadata=within(0, 1, ordered=True))
    p: float = field(default=0.5, metadata=within(0, 1))

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Erase:
    """Boxes filled with one value; heights and widths are fractions of the sample's."""

    num_holes_range: tuple[int, int] = field(default=(1, 1), metadata=within(1, ordered=True))
    hole_height_range: Range = field(default=(0.1, 0.2), metadata=within(0, 1, ordered=True))
    hole_width_range: Range = field(default=(0.1, 0.2), metadata=within(0, 1, ordered=True))
    fill: int = field(default=0, metadata=within(0, 255))  # in every channel
    p: float = field(default=0.5, metadata=within(0, 1))

    def __post_init__(self) -> None:
        check_ranges(self)


PIXELS = {"colour": Colour, "blur": Blur, "noise": Noise, "erase": Erase}  # by their keys


class PixelParams(NamedTuple):
    """One draw: what to do to the pixels of one sample; by default nothing."""

    colour: tuple[tuple[str, float], ...] = ()  # what to change by how much, in this order
    blur: tuple[int, float] | None = None  # size of the kernel, sigma in pixels
    noise: tuple[float, int] | None = None  # standard deviation in grey levels, seed
    holes: tuple[tuple[float, ...], ...] = ()  # left, top, width, height as fractions of the sample
    fill: int = 0


UNCHANGED = PixelParams()


def sample_pixels(
    rng: np.random.Generator,
    colour: Colour | None,
    blur: Blur | None,
    noise: Noise | None,
    erase: Erase | None,
) -> PixelParams:
    """Draw the parameters of one sample; for what is None no number is drawn."""
    params = UNCHANGED
    if colour is not None and rng.random() < colour.p:
        names = list(_NEUTRAL)
        factors = {name: rng.uniform(*getattr(colour, name)) for name in names}
        order = [names[i] for i in rng.permutation(len(names)).tolist()]
        changes = tuple((name, factors[name]) for name in order if factors[name] != _NEUTRAL[name])
        params = params._replace(colour=changes)
    if blur is not None and rng.random() < blur.p:
        sigma, size = rng.uniform(*blur.sigma_limit), 0
        if blur.blur_limit[1]:
            low, high = (limit // 2 for limit in blur.blur_limit)
            size = 2 * int(rng.integers(low, high + 1)) + 1
        params = params._replace(blur=(size or 2 * int(3.5 * sigma) + 1, sigma))
    if noise is not None and rng.random() < noise.p:
        std = 255 * rng.uniform(*noise.std_range)
        params = params._replace(noise=(std, int(rng.integers(2**63))))
    if erase is not None and rng.random() < erase.p:
        holes = []
        for _ in range(int(rng.integers(*erase.num_holes_range, endpoint=True))):
            width = rng.uniform(*erase.hole_width_range)
            height = rng.uniform(*erase.hole_height_range)
            left, top = rng.random(2).tolist()
            holes.append((left * (1 - width), top * (1 - height), width, height))
        params = params._replace(holes=tuple(holes), fill=erase.fill)
    return params


def change_pixels(image: Image, params: PixelParams) -> Image:
    """Apply drawn parameters to an image (h, w, 3) RGB or (h, w, 1); no randomness in here."""
    shape = image.shape
    for name, factor in params.colour:
        image = _change_colour(image, name, factor)
    if params.blur is not None:
        # cv2.GaussianBlur sums exactly in fixed point, and takes more than twice as long.
        kernel = cv2.getGaussianKernel(*params.blur, cv2.CV_32F)
        blurred = cv2.sepFilter2D(image, -1, kernel, kernel)
        image = blurred.reshape(shape)  # type: ignore[assignment]  # OpenCV drops a channel of one
    if params.noise is not None:
        image = _add_noise(image, *params.noise)
    if params.holes:
        image = image.copy()
        size = np.array([shape[1], shape[0]])
        for hole in params.holes:
            x, y = np.rint(size * hole[:2]).astype(int)
            w, h = np.rint(size * hole[2:]).astype(int).clip(1)
            image[y : y + h, x : x + w] = params.fill
    return image


def _change_colour(image: Image, name: str, factor: float) -> Image:
    """Change one property of an image's colours."""
    levels = np.arange(256)
    is_grey = image.shape[2] == 1
    if name in ("brightness", "contrast"):
        mean = 0.0
        if name == "contrast":
            means = np.array(cv2.mean(image)[: image.shape[2]])
            mean = float(means[0] if is_grey else means @ _GREY)
        table = np.rint(levels * factor + mean * (1 - factor)).clip(0, 255).astype(np.uint8)
        changed = cv2.LUT(image, table).reshape(image.shape)
    elif is_grey:
        changed = image
    elif name == "saturation":
        changed = cv2.transform(image, factor * np.eye(3) + (1 - factor) * _GREY)
    else:
        changed = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)  # hue from 0 to 179
        table = ((levels + round(180 * factor)) % 180).astype(np.uint8)
        changed[..., 0] = cv2.LUT(changed[..., 0], table)
        changed = cv2.cvtColor(changed, cv2.COLOR_HSV2RGB)
    return changed  # type: ignore[return-value]


def _add_noise(image: Image, std: float, seed: int) -> Image:
    """Add Gaussian noise, rounded to grey levels."""
    # Pixels are whole numbers, so that rounded noise is as good: a draw is a place in a table of
    # rounded quantiles, which takes about a third of the time of normal numbers.
    table = np.rint(std * _quantiles()).astype(np.int16)
    places = np.random.default_rng(seed).integers(0, len(table), image.shape, np.uint16)
    return (image + table.take(places)).clip(0, 255).astype(np.uint8)


@functools.cache
def _quantiles() -> NDArray[np.float32]:
    """Return 65536 equally likely values of a standard normal variable."""
    normal, count = NormalDist(), 1 << 16
    return np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)], np.float32)
