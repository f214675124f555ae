"""Write what all codecs return: python all_outputs.py FILE.npz kernels | plain."""

import sys
import warnings

import numpy as np

from pose_codecs import (
    AssociativeEmbedding,
    MSRAHeatmap,
    UDPHeatmap,
    _jit,
    assign,
    find_candidates,
)

INPUT, SIZE = (96, 128), (24, 32)


def outputs():
    """Yield the results of all codecs on all kinds of random maps, errors as their messages."""
    for seed in range(3):
        yield from outputs_of_topdown(np.random.default_rng(seed), seed)
    for seed in range(8):
        yield from outputs_of_bottomup(np.random.default_rng(seed), seed)


def outputs_of_topdown(rng, samples):
    points = rng.uniform(-9, 130, (samples, 17, 2))
    visible = rng.choice([0, 0.3, 1, 2], (samples, 17))
    yield from result(MSRAHeatmap(INPUT, SIZE).encode, points, visible)
    yield from result(AssociativeEmbedding(INPUT, [SIZE]).encode, points, visible)
    targets = MSRAHeatmap(INPUT, SIZE).encode(points, visible)[0]
    noise = rng.normal(0, 1, targets.shape).astype(np.float32)
    for maps in (targets + noise / 50, noise):
        for variant in variants(maps, rng) if samples else [maps]:
            for refine in ("quarter", "none", "dark"):
                yield from result(MSRAHeatmap(INPUT, SIZE, refine=refine).decode, variant)
            yield from result(UDPHeatmap(INPUT, SIZE).decode, variant)


def outputs_of_bottomup(rng, seed):
    maps, tags = draw_people(rng, seed, *rng.integers(3, 26, 2), seed % 4 + 1)
    tags = {5: tags.round(), 7: tags * np.float32(1e30)}.get(seed, tags)
    codec = AssociativeEmbedding(
        INPUT,
        [SIZE],
        assignment="optimal" if seed == 4 else "munkres",
        ignore_too_much=seed % 2 == 0,
        use_detection_val=seed % 3 > 0,
    )
    for variant in variants(maps, rng):
        yield from result(codec.decode, variant, tags)
        yield from result(find_candidates, variant, tags, 7, 2 * (seed % 3) + 1)
    costs = rng.integers(0, 4, (9, 12))
    yield from (*result(assign, costs), *result(assign, costs, "optimal"))


def variants(maps, rng):
    """Yield maps with ties, without a positive value, not finite, of other types and layouts."""
    bad = maps.copy()
    bad[tuple(rng.integers(side) for side in bad.shape)] = rng.choice([np.nan, np.inf, -np.inf])
    ties = maps.round(1)
    yield from (maps, ties, -abs(maps), 0 * maps, bad, maps * np.float32(1e-3), 99 * maps)
    yield from (ties.astype(np.float64), maps.astype(np.float16), np.asfortranarray(maps))
    yield maps.repeat(2, axis=-1)[..., ::-2]


def draw_people(rng, people, height, width, length):
    maps, tags = rng.random((17, height, width)) / 20, rng.normal(0, 2, (17, height, width, length))
    y, x = np.mgrid[:height, :width]
    for p, k in np.argwhere(rng.random((people, 17)) < 0.7):
        squared = (x - rng.integers(width)) ** 2 + (y - rng.integers(height)) ** 2
        maps[k] = np.maximum(maps[k], rng.uniform(0.2, 1) * np.exp(-squared / 8))
        tags[k][squared < 30] = 1.5 * p
    return maps.astype(np.float32), tags.astype(np.float32)


def result(function, *arguments):
    """Return the arrays that a function returns, or its message."""
    try:
        value = function(*arguments)
    except ValueError as error:
        value = str(error)
    parts = value if isinstance(value, tuple) else (value,)
    return [np.asarray(part) for part in parts]


if __name__ == "__main__":
    path, kind = sys.argv[1:]
    if kind == "kernels":
        _jit.compile_from_now_on()
    else:
        _jit.CALLS = _jit.SECONDS = 10**9
    warnings.simplefilter("error")
    np.savez(path, *outputs())
    if ("numba" in sys.modules) != (kind == "kernels"):
        raise SystemExit(f"{kind}, but numba is{' not' * (kind == 'kernels')} loaded")
