"""Affine warps of images by name: this OpenCV's own, and the one that published results used.

OpenCV 5 replaced the arithmetic of `warpAffine`: its result differs from OpenCV 4's by up to 5 grey
levels. `"opencv4"` computes OpenCV 4's fixed-point coordinates here and leaves only the blending to
`cv2.remap`, which did not change, so that its bytes are the same under both.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2

Warp = Literal["cv2", "opencv4"]
Ints = NDArray[np.signedinteger]
WARPS: tuple[Warp, ...] = ("cv2", "opencv4")

MAX_SIDE = 32766  # cv2.remap addresses pixels with 16 bits

_ONE = 1024  # OpenCV 4's coordinates are whole numbers of 1/1024 pixel ...
_HALF_STEP = 16  # ... rounded to 1/32 pixel, the step of its interpolation
_FAR = 2**25  # 32768 pixels: outside of every image
_ROWS = 64  # rows at a time, so that the coordinates stay in the cache


def warp_affine(
    image: NDArray[np.uint8],
    matrix: NDArray[np.floating],
    size: tuple[int, int],
    warp: Warp = "opencv4",
    *,
    mirrored: bool = False,
) -> NDArray[np.uint8]:
    """Return the (h, w) part of image (H, W[, 3]) that `matrix` maps onto it; 0 where outside.

    matrix (2, 3) maps pixels of the image to pixels of the result, `size` is the result's (w, h).
    mirrored: warp the image flipped left to right (what x' = W - 1 - x makes of it). Bilinear.
    Raises ValueError for an unknown warp.
    """
    if warp not in WARPS:
        raise ValueError(f"warp must be one of {', '.join(WARPS)}, got {warp!r}")
    if warp == "cv2":
        source = cv2.flip(image, 1) if mirrored else image
        return cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR)  # type: ignore[return-value]
    # As OpenCV 4 did: x = (rows[y] + columns[x]) / 1024, rounded to 1/32 pixel.
    w, h = size
    (x_rows, x_columns), y_axis = _fixed_point(matrix, w, h)
    if mirrored:
        # W - 1 - x of the rounded x: negated before the shift, floor becomes ceil, hence the 31.
        x_rows, x_columns = _ONE * (image.shape[1] - 1) - x_rows + 31, -x_columns
    axes = [(x_rows, x_columns), y_axis]
    is_far = max(abs(rows).max() + abs(columns).max() for rows, columns in axes) >= _FAR
    if not is_far:  # the sums fit into 32 bits, which is faster
        axes = [(rows.astype(np.int32), columns.astype(np.int32)) for rows, columns in axes]
    result = np.empty((h, w, *image.shape[2:]), np.uint8)
    whole = np.empty((min(_ROWS, h), w, 2), np.int16)  # pixel (x, y)
    fraction = np.empty(whole.shape[:2], np.uint16)  # 32 * y + x, in 1/32 pixel
    for top in range(0, h, _ROWS):
        part = slice(top, top + _ROWS)
        x, y = (rows[part, None] + columns for rows, columns in axes)  # (rows, w)
        if is_far:
            x, y = np.clip(x, -_FAR, _FAR - 1), np.clip(y, -_FAR, _FAR - 1)
        count = len(x)
        whole[:count, :, 0] = x >> 10
        whole[:count, :, 1] = y >> 10
        fraction[:count] = (y & (31 << 5)) | ((x >> 5) & 31)
        places = whole[:count], fraction[:count]
        cv2.remap(image, *places, cv2.INTER_LINEAR, dst=result[part], borderValue=0)
    return result


def _fixed_point(matrix: NDArray[np.floating], w: int, h: int) -> list[tuple[Ints, Ints]]:
    """Return, for x and for y, what the row (h,) and the column (w,) add to the coordinate."""
    # The inverse in OpenCV's order of operations; zeros where there is none.
    (a, b, c), (d, e, f) = matrix.astype(np.float64).tolist()
    determinant = a * e - b * d
    inverse = 1 / determinant if determinant else 0.0
    a, b, d, e = e * inverse, -b * inverse, -d * inverse, a * inverse
    axes: list[tuple[Ints, Ints]] = []
    for by_x, by_y, offset in ((a, b, -a * c - b * f), (d, e, -d * c - e * f)):
        rows = np.rint((by_y * np.arange(h) + offset) * _ONE).astype(np.int64) + _HALF_STEP
        axes.append((rows, np.rint(by_x * np.arange(w) * _ONE).astype(np.int64)))
    return axes
