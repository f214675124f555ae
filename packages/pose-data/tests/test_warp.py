"""Affine warps by name."""

import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import inverse, warp_affine
from pose_data.images.warp import WARPS
from pose_data.samples.crop import crop_matrix, transform_points, udp_matrix

# Of OpenCV 4.11's warpAffine on the warps below; 4.14 and 5.0 give it too, through "opencv4".
OPENCV_4_CRC = 4004029744


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def warps() -> list[tuple[NDArray[np.uint8], NDArray[np.float64], tuple[int, int]]]:
    """Return pictures, matrices and sizes: turned, zoomed, sheared, partly or wholly outside."""
    rng = np.random.RandomState(0)
    chosen = []
    for seed in range(40):
        height, width, w, h = rng.randint(1, 200, 4).tolist()
        angle, zoom = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(-2, 2))
        linear = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear += rng.uniform(-0.2, 0.2, (2, 2)) * (seed % 3 == 0)
        middle = rng.uniform(-0.2, 1.2, 2) * (width, height)
        offset = np.array([w / 2, h / 2]) - linear @ middle
        image = noise(seed, height, width, 3) if seed % 2 else noise(seed, height, width)
        chosen.append((image, np.column_stack([linear, offset]), (w, h)))
    return chosen


def test_opencv4_gives_the_bytes_of_opencv_4() -> None:
    crc = 0
    for image, matrix, size in warps():
        result = warp_affine(image, matrix, size, "opencv4")
        crc = zlib.crc32(result, crc)
        if cv2.__version__.startswith("4."):
            expected = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
            np.testing.assert_array_equal(result, expected)
    assert crc == OPENCV_4_CRC


@pytest.mark.parametrize("warp", WARPS)
def test_mirrored_is_the_warp_of_the_mirrored_picture(warp: str) -> None:
    for image, matrix, size in warps():
        mirrored = np.ascontiguousarray(image[:, ::-1])
        np.testing.assert_array_equal(
            warp_affine(image, matrix, size, warp, mirrored=True),  # type: ignore[arg-type]
            warp_affine(mirrored, matrix, size, warp),  # type: ignore[arg-type]
        )


def test_opencv4_is_bilinear() -> None:
    """Compare with plain interpolation at the coordinates rounded to 1/32 pixel."""
    image = noise(1, 30, 40)
    matrix = np.array([[1.25, 0.5, -3.0], [-0.25, 1.5, 2.0]])
    result = warp_affine(image, matrix, (50, 60), "opencv4")
    padded = np.pad(image, 100).astype(float)
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    for y, x in [(0, 0), (10, 20), (33, 7), (59, 49), (25, 25), (12, 44)]:
        u, v, _ = np.floor(back @ (x, y, 1) * 32 + 0.5) / 32
        column, row = int(np.floor(u)), int(np.floor(v))
        a, b = u - column, v - row
        corner = padded[100 + row : 102 + row, 100 + column : 102 + column]
        expected = (1 - b) * np.dot((1 - a, a), corner[0]) + b * np.dot((1 - a, a), corner[1])
        assert abs(result[y, x] - expected) <= 1


@pytest.mark.parametrize("offset", [1e6, -1e6, 1e12])
def test_what_is_far_outside_is_black(offset: float) -> None:
    matrix = np.array([[1.0, 0, offset], [0, 1, offset]])
    assert not warp_affine(np.full((9, 9), 255, np.uint8), matrix, (20, 10), "opencv4").any()


def test_the_picture_may_be_read_only_and_is_not_changed() -> None:
    image = noise(3, 20, 30, 3)
    before = image.copy()
    image.flags.writeable = False
    for warp in WARPS:
        for mirrored in (False, True):
            warp_affine(image, np.eye(2, 3), (20, 10), warp, mirrored=mirrored)
    np.testing.assert_array_equal(image, before)


def test_an_unknown_warp_is_named() -> None:
    with pytest.raises(ValueError, match="warp must be one of cv2, opencv4, got 'opencv3'"):
        warp_affine(noise(0, 4, 4), np.eye(2, 3), (4, 4), "opencv3")  # type: ignore[arg-type]


@pytest.mark.parametrize("make_matrix", [crop_matrix, udp_matrix])
def test_inverse_undoes_any_crop(make_matrix: object) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        center = rng.uniform(0, 600, 2).astype(np.float32)
        scale = (rng.uniform(20, 500) * np.array([0.75, 1])).astype(np.float32)
        rotation = float(rng.uniform(-180, 180))
        points = (center + rng.uniform(-1, 1, (5, 17, 2)) * scale).astype(np.float32)
        matrix = make_matrix(center, scale, rotation, (192, 256))  # type: ignore[operator]
        there = transform_points(points, matrix)
        np.testing.assert_allclose(inverse(there, matrix), points, atol=1e-2)
        several = np.broadcast_to(matrix, (5, 2, 3))
        np.testing.assert_allclose(inverse(there, several), points, atol=1e-2)


def test_a_matrix_without_inverse_is_an_error() -> None:
    with pytest.raises(ValueError, match="matrix cannot be inverted"):
        inverse(np.zeros((1, 2), np.float32), np.zeros((2, 3)))


def test_udp_maps_the_outer_pixel_centres_of_the_box_onto_those_of_the_crop() -> None:
    center, scale = np.array([100, 80], np.float32), np.array([96, 128], np.float32)
    matrix = udp_matrix(center, scale, 0.0, (192, 256))
    corners = np.array([center - scale / 2, center + scale / 2], np.float32)
    np.testing.assert_allclose(transform_points(corners, matrix), [[0, 0], [191, 255]], atol=1e-3)
