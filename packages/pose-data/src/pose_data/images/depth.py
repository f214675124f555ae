"""How many bits of 16-bit images are in use: cameras fill 10, 12 or 14 of them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError, printable
from pose_data.images.headers import MOST_PIXELS, read_header
from pose_data.opencv import cv2

FEWEST, MOST = 8, 16  # bits that can be chosen
_MOST_LOOKED_AT = 40  # images that say how many bits a set uses
_USUAL = (8, 10, 12, 14, 16)  # 8: of images that were widened, not scaled
_BLACK = 1 << 12  # below it, all values of a 16-bit image are nearly black in 8 bits
_said: set[str] = set()  # what this process has logged
_log = logging.getLogger("pose_data")


class Depth(NamedTuple):
    """Of so many images looked at, how many have 16 bits a channel, and their highest value."""

    looked_at: int
    deep: int = 0
    highest: int = 0

    @property
    def bits(self) -> int:
        """Return how many bits are in use: 8, 10, 12, 14, or all 16, also where nothing tells."""
        return bits_in_use(self.highest) if self.highest else MOST

    def describe(self, bits: int | None = None) -> str:
        """Say what was found, and whether `bits`, data.bits of a config, fits; "" for no depth."""
        if not self.deep:
            return ""
        found = (
            f"{self.deep} of {self.looked_at} images looked at have 16 bits a channel, with values "
        )
        found += f"up to {self.highest:,}"
        advice = f"set data.bits={self.bits}"
        if bits is None:
            return found if self.bits == MOST else f"{found}: they use {self.bits} bits; {advice}"
        if self.highest >> bits:
            lost = f"data.bits is {bits}, and what is above {2**bits - 1:,} is cut off"
            return f"{found}: {lost}; {advice}"
        return f"{found}; data.bits is {bits}"


def bits_in_use(highest: int) -> int:
    """Return the fewest of the usual numbers of bits, 8, 10, 12, 14 or 16, that hold a value."""
    return next(bits for bits in _USUAL if not highest >> bits)


def check_bits(bits: int | None) -> None:
    """Raise ValueError for a number of bits that 16-bit images cannot use."""
    if bits is not None and not FEWEST <= bits <= MOST:
        raise ValueError(f"bits must be from {FEWEST} to {MOST}, or None for {MOST}, got {bits}")


def to_8_bits(pixels: NDArray[np.uint16], bits: int | None, where: str) -> NDArray[np.uint8]:
    """Return 16-bit pixels as 8-bit: value >> (bits - 8), as OpenCV does for 16 bits.

    bits: in use, None for 16. Values above their range become 255. That, and images that 16 bits
    leave nearly black, are logged, each once in a process; `where` is the image in the message.
    """
    used = MOST if bits is None else bits
    highest = int(pixels.max(initial=0))
    if highest >> used:
        text = (
            f"values up to {highest:,}: with bits={used} what is above {2**used - 1:,} is cut off"
        )
        _warn_once("cut off", f"{where} has {text}")
    elif bits is None and 0 < highest < _BLACK:
        text = (
            f"16 bits a channel and values up to {highest:,}, so it is read nearly black: if its "
        )
        text += f"range is {bits_in_use(highest)} bits, say so with bits={bits_in_use(highest)}"
        _warn_once("black", f"{where} has {text} (data.bits, predict --bits)")
    return np.minimum(pixels >> (used - 8), 255).astype(np.uint8)


def measure_depth(paths: Sequence[Path]) -> Depth:
    """Look at up to 40 images, evenly spread; those that cannot be read are left out."""
    places = np.linspace(0, len(paths) - 1, min(_MOST_LOOKED_AT, len(paths))).round().astype(int)
    looked_at, deep, highest = 0, 0, 0
    for path in (paths[place] for place in places.tolist()):
        try:
            header = read_header(path)
        except DatasetError:
            continue
        looked_at += 1
        if header.bits != MOST or header.width * header.height > MOST_PIXELS:
            continue
        image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)  # without alpha
        if image is not None and image.dtype == np.uint16:
            deep += 1
            highest = max(highest, int(image.max()))
    return Depth(looked_at, deep, highest)


def _warn_once(what: str, text: str) -> None:
    """Log a warning of one kind, once in a process."""
    if what not in _said:
        _said.add(what)
        _log.warning("%s", printable(text))
