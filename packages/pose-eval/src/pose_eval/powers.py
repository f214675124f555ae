"""The tables that reading a decimal number exactly takes."""

import numpy as np
from numpy.typing import NDArray

from pose_eval.tables import Floats

SMALLEST_POWER, LARGEST_POWER = -342, 308  # beyond, every number of 19 digits is 0 or infinite


def number_tables() -> tuple[NDArray[np.uint64], Floats]:
    """Return what reading a number needs: 128-bit powers of five, and the exact powers of ten.

    The former, upper and lower 64 bits, rounded as in Lemire, Number Parsing at a Gigabyte per
    Second, 2021.
    """
    table = np.zeros((LARGEST_POWER - SMALLEST_POWER + 1, 2), np.uint64)
    for q in range(SMALLEST_POWER, LARGEST_POWER + 1):
        power = 5 ** abs(q)
        length = power.bit_length()
        if q >= 0:
            bits = power << (128 - length) if length <= 128 else power >> (length - 128)
        else:
            shift = length + 127 if q >= -27 else 2 * length + 128
            bits = (1 << shift) // power + 1
            bits >>= bits.bit_length() - 128
        table[q - SMALLEST_POWER] = bits >> 64, bits & (2**64 - 1)
    return table, np.array([float(10**k) for k in range(23)])


def words_of(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the eight bytes from each position on, as a view."""
    return np.ndarray((len(data) - 7,), np.uint64, data, strides=(1,))
