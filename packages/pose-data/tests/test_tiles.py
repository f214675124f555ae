"""JPEGs that are decoded in part."""

from typing import Any

import cv2
import numpy as np
import pytest

from pose_data.images.tiles import encode_tiled, join_tiles


def drawn(height: int, width: int) -> Any:
    small = np.random.default_rng(0).integers(
        0, 256, (height // 6 + 2, width // 6 + 2, 3), np.uint8
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 64), (90, 333), (300, 200), (64, 130)])
def test_parts_are_those_of_the_whole(size: tuple[int, int]) -> None:
    (height, width), rng = size, np.random.default_rng(1)
    image = drawn(height, width)
    data = np.frombuffer(encode_tiled(image), np.uint8)
    whole: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert whole.shape[0] == height
    assert np.abs(whole[:, :width].astype(int) - image).mean() < 4
    for _ in range(30):
        left, right = np.sort(rng.choice(width + 1, 2, replace=False)).tolist()
        top, bottom = np.sort(rng.choice(height + 1, 2, replace=False)).tolist()
        joined, (x, y) = join_tiles(data, (left, top, right, bottom))
        part: Any = cv2.imdecode(joined, cv2.IMREAD_COLOR)
        assert left - 72 < x <= left
        assert top - 8 < y <= top
        wanted = part[top - y : bottom - y, left - x : right - x]
        assert (wanted == whole[top:bottom, left:right]).all()


def test_other_jpegs_are_left_alone() -> None:
    data = np.frombuffer(cv2.imencode(".jpg", drawn(30, 40))[1].tobytes(), np.uint8)
    joined, begin = join_tiles(data, (8, 8, 16, 16))
    assert joined is data
    assert begin == (0, 0)
    short = np.frombuffer(b"\xff\xd8", np.uint8)
    assert join_tiles(short, (0, 0, 1, 1))[0] is short


def test_wrong_lengths_are_an_error() -> None:
    data = np.frombuffer(encode_tiled(drawn(30, 140)), np.uint8)
    with pytest.raises(ValueError, match="the lengths of its tiles are wrong"):
        join_tiles(data[:-5], (0, 0, 8, 8))
