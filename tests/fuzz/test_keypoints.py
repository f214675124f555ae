"""Arrays of keypoints and maps: a ValueError or finite numbers, and the people that are in them."""

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from harness import fuzzed
from numpy.typing import NDArray

from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap
from pose_codecs.associative import COCO_ORDER

PLAIN = Path(__file__).parents[2] / "packages/pose-codecs/benchmarks/plain.py"
ODD = [0.0, 1.0, -1.0, 31.9, 63, 64, 1e3, -50, 1e9, 2**31, 2**33, 3e38, 1e300, 2**63, -0.5]
ODD += [np.nan, np.inf, -np.inf, 1e-30]


def array(rng: Random, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    """Return random numbers, some of them odd."""
    draw = np.random.default_rng(rng.randrange(2**31))
    values = draw.uniform(-5, 200, shape) if rng.randrange(2) else draw.uniform(0, 1, shape)
    for _ in range(rng.choice((0, 0, 1, 3)) if values.size else 0):
        values.flat[rng.randrange(values.size)] = rng.choice(ODD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return values.astype(dtype)


def finite(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a call returns, whose numbers must be finite; None for a ValueError."""
    with np.errstate(all="ignore"):
        try:
            found = call(*arguments)
        except ValueError:
            return None
    for each in found:
        for values in each if isinstance(each, list) else [each]:
            assert np.isfinite(np.asarray(values, float)).all()
    return found


@fuzzed(200)
def test_one_person(rng: Random) -> None:
    size, count = rng.choice(((192, 256), (48, 64), (32, 32))), rng.choice((0, 1, 3, 17))
    maps = rng.choice(((size[0] // 4, size[1] // 4), (1, 1), (7, 5), size))
    codecs: list[Callable[[], Any]] = [
        lambda: MSRAHeatmap(size, maps, sigma=rng.choice((0.1, 2, 50))),
        lambda: MSRAHeatmap(size, maps, sigma=2, refine="dark", unbiased=True),
        lambda: UDPHeatmap(size, maps, sigma=2),
    ]
    try:
        codec = rng.choice(codecs)()
    except ValueError:
        return
    dtype = rng.choice((np.float32, np.float64, np.int64, np.float16))
    finite(codec.encode, array(rng, (count, 2), dtype), array(rng, (count,), dtype))
    finite(codec.decode, array(rng, (count, maps[1], maps[0])))


@fuzzed(100)
def test_several_people(rng: Random) -> None:
    count, people, length = rng.choice((1, 3, 17)), rng.choice((0, 1, 3, 40)), rng.choice((1, 2))
    w, h = rng.choice(((16, 12), (1, 1), (7, 5)))
    codec = AssociativeEmbedding(
        (4 * w, 4 * h),
        [(w, h), (2 * w, 2 * h)],
        sigma=rng.choice((2, -1)),
        max_instances=rng.choice((1, 30)),
        assignment=rng.choice(("munkres", "optimal")),
        tag_per_keypoint=rng.randrange(4) > 0,
        tag_threshold=rng.choice((1.0, 0.0, 1e9)),
        detection_threshold=rng.choice((0.1, 0.9)),
    )
    targets = finite(codec.encode, array(rng, (people, count, 2)), array(rng, (people, count)))
    for heatmaps, indices in zip(*targets, strict=True) if targets else ():
        # Tags are taken from maps by these.
        assert indices[..., 0].max(initial=0) < heatmaps.size
    maps = np.maximum(array(rng, (count, h, w)) - 0.8, 0)
    finite(codec.decode, maps, array(rng, (rng.choice((1, count)), h, w, length)))


@fuzzed(40)
def test_people_are_those_of_the_plain_reference(rng: Random) -> None:
    spec = importlib.util.spec_from_file_location("plain", PLAIN)
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    draw = np.random.default_rng(rng.randrange(2**31))
    people, length = rng.randint(1, 5), rng.choice((1, 2))
    h, w = rng.choice(((40, 48), (64, 40)))
    y, x = np.mgrid[:h, :w]
    maps, tags = np.zeros((17, h, w)), draw.normal(0, 0.05, (17, h, w, length))
    for person in range(people):
        for k in range(17):
            if draw.random() < 0.2:
                continue
            px, py = draw.uniform(3, w - 4), draw.uniform(3, h - 4)
            bump = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8) * draw.uniform(0.3, 1)
            tags[k][bump > maps[k]] += 0  # of the noise alone
            tags[k][(bump > maps[k]) & (bump > 0.05)] = person * 3 + draw.normal(0, 0.1)
            maps[k] = np.maximum(maps[k], bump)
    maps += draw.uniform(0, 0.02, maps.shape)  # no ties
    maps, tags = maps.astype(np.float32), tags.astype(np.float32)
    codec = AssociativeEmbedding((4 * w, 4 * h), [(w, h)])
    found = codec.decode(maps, tags)
    expected = plain.decode_people(maps, tags, COCO_ORDER)
    assert len(found.keypoints) == len(expected)
    np.testing.assert_allclose(found.keypoints, expected[..., :2], atol=1e-4)
    np.testing.assert_allclose(found.scores, expected[..., 2], atol=1e-6)
    if len(expected) == 0:
        pytest.fail("no people to compare")
