"""A JSON scanner for lists of annotations or result rows, compiled by numba.

It reads the common, well-formed case and nothing else: at anything unusual it gives up (-1), and
the caller reads the file again with Python's json, which finds the words for what is wrong. What it
does read is equal to json's reading to the last bit. The data must end in zero bytes, which no JSON
token contains, so that the loops need no check of the length.
"""

from typing import Any

import numpy as np

from pose_eval import columns
from pose_eval._jit import jit
from pose_eval.powers import LARGEST_POWER, SMALLEST_POWER, number_tables
from pose_eval.tables import Ints

GIVE_UP = -1

# The keys of a row, in columns of their kind; `present` has bit number `position in KEYS`.
INTS = (*columns.IDS, *columns.INTS)
FLOATS = columns.FLOATS
KEYS = (*INTS, *FLOATS, "keypoints", "bbox")
KEY_BYTES = np.zeros((len(KEYS), 16), np.uint8)
for _row, _key in zip(KEY_BYTES, KEYS, strict=True):
    _row[: len(_key)] = np.frombuffer(_key.encode(), np.uint8)
POWERS, EXACT = number_tables()
TENS = np.array([10**k for k in range(9)], np.uint64)
KEY_TABLES = KEY_BYTES, np.array([len(key) for key in KEYS])


@jit
def multiply(a: Any, b: Any) -> Any:
    """Return the upper and lower half of the 128-bit product of two unsigned integers."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & mask, b >> half, b & mask
    low, cross, other, high = a0 * b0, a1 * b0, a0 * b1, a1 * b1
    middle = (low >> half) + (cross & mask) + other
    return high + (cross >> half) + (middle >> half), (middle << half) | (low & mask)


@jit
def nearest_double(w: Any, q: int) -> Any:
    """Return the bits of the double nearest to w * 10^q (w > 0), or 0 where it takes more care.

    The algorithm of Eisel and Lemire (Number Parsing at a Gigabyte per Second, 2021).
    """
    one, zero = np.uint64(1), np.uint64(0)
    if q < SMALLEST_POWER or q > LARGEST_POWER:
        return zero
    leading: Any = 0
    if w >= np.uint64(1 << 53):  # its length is the exponent of its first 53 bits as a double
        top = np.float64(np.int64((w >> one) & ~np.uint64(0x3FF)))
        leading = 1085 - np.int64(top.view(np.uint64) >> np.uint64(52))
        w = w << np.uint64(leading)
    while (w >> np.uint64(63)) == zero:
        w = w << one
        leading += 1
    high, low = multiply(w, POWERS[q - SMALLEST_POWER, 0])
    if (high & np.uint64(0x1FF)) == np.uint64(0x1FF):
        more, _ = multiply(w, POWERS[q - SMALLEST_POWER, 1])
        low = low + more
        if low < more:
            high = high + one
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (q < -27 or q > 55):
        return zero
    upper = np.int64(high >> np.uint64(63))
    shift = np.uint64(upper + 9)
    mantissa = high >> shift
    power = ((217706 * q) >> 16) + 63 + upper - leading + 1023
    if power <= 0 or power >= 0x7FE:  # subnormal or infinite
        return zero
    tie = low <= one and q >= -4 and q <= 23 and (mantissa & np.uint64(3)) == one
    if tie and (mantissa << shift) == high:
        mantissa = mantissa & ~one
    mantissa = (mantissa + (mantissa & one)) >> one
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        power += 1
    return (mantissa & ~np.uint64(1 << 52)) | (np.uint64(power) << np.uint64(52))


@jit
def digits(data: Any, words: Any, i: int, w: Any) -> Any:
    """Append the decimal digits at i to the integer w, eight at a time; returns (end, w).

    words[i] are the eight bytes from data[i] on, lowest first.
    """
    while True:
        x = words[np.uintp(i)] ^ np.uint64(0x3030303030303030)  # a digit becomes its value
        other = ((x + np.uint64(0x7676767676767676)) | x) & np.uint64(0x8080808080808080)
        count: Any = 8
        if other != np.uint64(0):  # how many bytes come before the first that is no digit
            below = ((other & (~other + np.uint64(1))) - np.uint64(1)) & np.uint64(
                0x0101010101010101
            )
            count = np.int64((below * np.uint64(0x0101010101010101)) >> np.uint64(56)) - 1
            if count == 0:
                return i, w
            x = x << np.uint64(64 - 8 * count)
        x = (x * np.uint64(10) + (x >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
        x = (x * np.uint64(100) + (x >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
        x = (x * np.uint64(10000) + (x >> np.uint64(32))) & np.uint64(0x00000000FFFFFFFF)
        w = w * TENS[count] + x
        i += count
        if count < 8:
            return i, w


@jit
def number(data: Any, words: Any, i: int) -> Any:
    """Read a JSON number at i; returns (end, bits of its double, integer or not, its value)."""
    zero = np.uint64(0)
    negative = data[np.uintp(i)] == 45
    if negative:
        i += 1
    start = i
    i, w = digits(data, words, i, zero)
    count = i - start
    if count == 0 or (count > 1 and data[start] == 48):
        return GIVE_UP, zero, False, 0
    q: Any = 0
    integer = True
    if data[np.uintp(i)] == 46:
        integer = False
        point = i + 1
        i, w = digits(data, words, point, w)
        q = point - i
        if q == 0:
            return GIVE_UP, zero, False, 0
        count -= q
    if count > 19:  # w may have overflowed, unless zeros lead
        while data[start] == 48 or data[start] == 46:
            count -= data[start] == 48
            start += 1
        if count > 19:
            return GIVE_UP, zero, False, 0
    c = data[np.uintp(i)]
    if c == 101 or c == 69:
        integer = False
        i += 1
        sign = 1
        if data[i] == 45 or data[i] == 43:
            sign = 1 if data[i] == 43 else -1
            i += 1
        first = i
        i, exponent = digits(data, words, i, zero)
        if i == first or i - first > 4:
            return GIVE_UP, zero, False, 0
        q += sign * np.int64(exponent)
    bits = zero
    if w < np.uint64(1 << 53) and -22 <= q <= 22:  # exact operands: one correct rounding
        scaled = np.float64(np.int64(w))
        scaled = scaled / EXACT[-q] if q < 0 else scaled * EXACT[q]
        bits = np.float64(scaled).view(np.uint64)
    elif w > zero:
        bits = nearest_double(w, q)
        if bits == zero:
            return GIVE_UP, zero, False, 0
    if negative and not (integer and w == zero):  # json reads -0 as the integer 0
        bits = bits | np.uint64(1 << 63)
    if integer and w >= np.uint64(1 << 62):
        integer = False
    value = np.int64(w) if integer else 0
    return i, bits, integer, -value if negative else value


@jit
def blank(data: Any, i: int) -> int:
    """Return the position of the first byte from i on that is not white space."""
    while True:
        c = data[np.uintp(i)]
        if c > 32 or not (c == 32 or c == 10 or c == 13 or c == 9):
            return i
        i += 1


@jit
def string(data: Any, i: int) -> int:
    """Return the position behind the string that begins at i; gives up at what is not ASCII."""
    if data[i] != 34:
        return GIVE_UP
    i += 1
    while data[i] != 34:
        if data[i] < 32 or data[i] > 126:
            return GIVE_UP
        if data[i] == 92:
            i += 1
            c = data[i]
            # Of the escapes, those of one letter: " \ / b f n r t
            if c not in (34, 92, 47, 98, 102, 110, 114, 116):
                return GIVE_UP
        i += 1
    return i + 1


@jit
def word(data: Any, i: int) -> int:
    """Return the position behind true, false or null at i."""
    if data[i] == 116 and data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101:
        return i + 4
    if data[i] == 110 and data[i + 1] == 117 and data[i + 2] == 108 and data[i + 3] == 108:
        return i + 4
    if data[i] == 102 and data[i + 1] == 97 and data[i + 2] == 108 and data[i + 3] == 115:
        return i + 5 if data[i + 4] == 101 else GIVE_UP
    return GIVE_UP


@jit
def skip(data: Any, words: Any, i: int) -> int:
    """Return the position behind the value at i, after checking that it is valid JSON."""
    objects = np.zeros(64, np.bool_)  # whether each open bracket is a brace
    depth = 0
    while True:
        i = blank(data, i)
        c = data[i]
        if c == 91 or c == 123:
            if depth == 64:
                return GIVE_UP
            i = blank(data, i + 1)
            if data[i] == c + 2:
                i += 1
            else:
                objects[depth] = c == 123
                depth += 1
                if c == 123:
                    i = key(data, i)
                    if i < 0:
                        return GIVE_UP
                continue
        elif c == 34:
            i = string(data, i)
        elif c == 45 or 48 <= c <= 57:
            i, _, _, _ = number(data, words, i)
        else:
            i = word(data, i)
        if i < 0:
            return GIVE_UP
        while depth > 0:  # what may follow a value
            i = blank(data, i)
            if data[i] == 44:
                i += 1
                if objects[depth - 1]:
                    i = key(data, blank(data, i))
                    if i < 0:
                        return GIVE_UP
                break
            if data[i] != (125 if objects[depth - 1] else 93):
                return GIVE_UP
            depth -= 1
            i += 1
        if depth == 0:
            return i


@jit
def key(data: Any, i: int) -> int:
    """Return the position behind a key and its colon."""
    i = string(data, i)
    if i < 0:
        return GIVE_UP
    i = blank(data, i)
    return i + 1 if data[i] == 58 else GIVE_UP


@jit
def member(data: Any, i: int, keys: Any, lengths: Any) -> int:
    """Return which of `keys` the string at i is, or -1."""
    for k in range(lengths.shape[0]):
        n = lengths[k]
        if data[i + n + 1] != 34:
            continue
        same = True
        for c in range(n):
            if data[i + 1 + c] != keys[k, c]:
                same = False
                break
        if same:
            return k
    return -1


@jit
def numbers(data: Any, words: Any, i: int, out: Any) -> int:
    """Read a list of exactly len(out) numbers at i as bits; returns the position behind it."""
    if data[i] != 91:
        return GIVE_UP
    for n in range(out.shape[0]):
        i, out[n], _, _ = number(data, words, blank(data, i + 1))
        if i < 0:
            return GIVE_UP
        i = blank(data, i)
        if data[np.uintp(i)] != (44 if n < out.shape[0] - 1 else 93):
            return GIVE_UP
    return i + 1


@jit
def read_object(data: Any, words: Any, i: int, names: Any, row: Any) -> Any:
    """Read the object at i into one row of the columns; returns (end, bits of the keys it has)."""
    ints, floats, keypoints, bbox = row
    num_ints, num_floats = ints.shape[0], floats.shape[0]
    present = 0
    if data[i] != 123:
        return GIVE_UP, present
    while True:
        i = blank(data, i + 1)
        k = member(data, i, names[0], names[1]) if data[i] == 34 else -1
        i = key(data, i)
        if i < 0 or (k >= 0 and present >> k & 1):  # no key, or the same twice
            return GIVE_UP, present
        i = blank(data, i)
        if k < 0:
            i = skip(data, words, i)
        elif k < num_ints:
            i, _, integer, ints[k] = number(data, words, i)
            i = i if integer else GIVE_UP
        elif k < num_ints + num_floats:
            i, floats[k - num_ints], _, _ = number(data, words, i)
        elif k == num_ints + num_floats:
            i = numbers(data, words, i, keypoints)
        else:
            i = numbers(data, words, i, bbox)
        if i < 0:
            return GIVE_UP, present
        if k >= 0:
            present |= 1 << k
        i = blank(data, i)
        if data[i] == 125:
            return i + 1, present
        if data[i] != 44:
            return GIVE_UP, present


@jit
def scan_rows(
    data: Any, words: Any, i: int, lines: bool, names: Any, present: Ints, to: Any
) -> Any:
    """Read the list of objects that begins at i; returns the position behind it and their number.

    lines: one object after the other without brackets and commas (JSON lines). names: KEY_TABLES.
    The columns, one row for each object: present (M,), and in `to` ints (M, 6) and the bits of
    doubles in floats (M, 2), keypoints (M, 3 K), bbox (M, 4). Gives up with position -1.
    """
    ints, floats, keypoints, bbox = to
    rows = 0
    if not lines:
        if data[i] != 91:
            return GIVE_UP, 0
        i = blank(data, i + 1)
        if data[i] == 93:
            return i + 1, 0
    while rows < present.shape[0]:
        row = ints[rows], floats[rows], keypoints[rows], bbox[rows]
        i, present[rows] = read_object(data, words, i, names, row)
        if i < 0:
            return GIVE_UP, rows
        rows += 1
        i = blank(data, i)
        if lines:
            if data[i] == 0:
                return i, rows
        elif data[i] == 44:
            i = blank(data, i + 1)
        elif data[i] == 93:
            return i + 1, rows
        else:
            return GIVE_UP, rows
    return GIVE_UP, rows


@jit
def find_value(data: Any, words: Any, i: int, name: Any) -> int:
    """Return where the value of key `name` of the object at i begins, -1 where there is none."""
    keys = name.reshape(1, -1)
    lengths = np.array([name.shape[0]])
    if data[i] != 123:
        return GIVE_UP
    i += 1
    while True:
        i = blank(data, i)
        found = data[i] == 34 and member(data, i, keys, lengths) == 0
        i = key(data, i)
        if i < 0:
            return GIVE_UP
        i = blank(data, i)
        if found:
            return i
        i = skip(data, words, i)
        if i < 0:
            return GIVE_UP
        i = blank(data, i)
        if data[i] != 44:
            return GIVE_UP
        i += 1
