"""Time the codecs against plain numpy: python codecs.py [--quick | --first]. Prints Markdown.

One thread. Times are the least CPU time of several runs, because the machine may be shared. --first
times the first call of each function in a process of its own instead: with an empty cache of
kernels, then with the one that this left.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

import numpy as np
import plain

import pose_codecs
from pose_codecs import AssociativeEmbedding, MSRAHeatmap, adjust, find_candidates, refine
from pose_codecs.associative import COCO_ORDER
from pose_codecs.blocks import block_maxima


def least(function, runs, inner=1):
    """Return the least CPU milliseconds of one call."""
    function()
    times = []
    for _ in range(runs):
        start = time.thread_time()
        for _ in range(inner):
            function()
        times.append((time.thread_time() - start) / inner)
    return min(times) * 1e3


def draw_people(people, size, length, seed=0):
    """Return heatmaps (17, H, W), tags (17, H, W, L) of people with 85 % of their keypoints."""
    rng = np.random.default_rng(seed)
    heatmaps = rng.random((17, size, size), np.float32) * np.float32(0.004)
    tags = (rng.random((17, size, size, length), np.float32) - np.float32(0.5)) * 8
    sigma = size / 128
    reach = int(3 * sigma + 1)
    axis = np.arange(-reach, reach + 1)
    patch = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / (2 * sigma**2)).astype(np.float32)
    for p in range(people):
        for k in np.flatnonzero(rng.random(17) < 0.85):
            x, y = rng.integers(reach, size - reach, 2)
            window = slice(y - reach, y + reach + 1), slice(x - reach, x + reach + 1)
            heatmaps[k][window] = np.maximum(heatmaps[k][window], patch * rng.uniform(0.3, 1))
            tags[k][window] = 1.3 * p + rng.normal(0, 0.05, (*patch.shape, length))
    return heatmaps, tags


def time_topdown(runs):
    codec, dark = (MSRAHeatmap((192, 256), (48, 64), refine=r) for r in ("quarter", "dark"))
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 190, (32, 17, 2)).astype(np.float32)
    visible = np.ones((32, 17), np.float32)
    heatmaps = codec.encode(points, visible)[0]
    heatmaps += rng.random(heatmaps.shape, np.float32) * np.float32(0.05)
    stride = codec.stride
    rows = [
        (
            "encode, one sample",
            least(lambda: codec.encode(points[0], visible[0]), runs, 50),
            least(lambda: plain.encode_msra(points[0], visible[0], stride, (48, 64), 2), runs, 5),
            173,
        ),
        (
            "decode, batch of 32",
            least(lambda: codec.decode(heatmaps), runs, 3) / 32,
            least(lambda: [plain.decode_msra(h, stride) for h in heatmaps], runs) / 32,
            74,
        ),
        (
            "decode, one by one",
            least(lambda: [codec.decode(h) for h in heatmaps], runs, 3) / 32,
            least(lambda: [plain.decode_msra(h, stride) for h in heatmaps], runs) / 32,
            74,
        ),
        (
            "`maps.max()`, batch of 32",
            least(lambda: heatmaps.max(), runs, 3) / 32,
            0,
            0,
        ),
        (
            "DARK decode, batch of 32",
            least(lambda: dark.decode(heatmaps), runs, 3) / 32,
            least(lambda: [plain.decode_dark(h, stride) for h in heatmaps[:4]], runs) / 4,
            455,
        ),
    ]
    print("| 17 keypoints, 48x64, sigma 2 | us/sample | plain numpy | ratio | MMPose 1.3.2 us |")
    print("|---|---|---|---|---|")
    for name, ours, theirs, published in rows:
        cells = f"{theirs * 1e3:.0f} | {theirs / ours:.1f} | {published}" if theirs else "- | - | -"
        print(f"| {name} | {ours * 1e3:.1f} | {cells} |")


def time_people(people, size, length, runs, with_plain):
    codec = AssociativeEmbedding((size, size), [(size, size)])
    heatmaps, tags = draw_people(people, size, length)
    total = least(lambda: codec.decode(heatmaps, tags), runs)
    floor = least(lambda: (heatmaps.max(), tags.max()), runs)
    maxima = block_maxima(heatmaps)
    candidates = find_candidates(heatmaps, tags, 30, 5, 0.1, maxima)
    found = codec.group(candidates)
    moved = adjust(found.keypoints, found.scores, heatmaps)
    steps = [
        least(lambda: block_maxima(heatmaps), runs),
        least(lambda: find_candidates(heatmaps, tags, 30, 5, 0.1, maxima), runs),
        least(lambda: codec.group(candidates), runs),
        least(lambda: adjust(found.keypoints, found.scores, heatmaps), runs),
        least(lambda: refine(moved, found.scores, heatmaps, tags, maxima), runs),
    ]
    ratio = "-"
    if with_plain:
        start = time.thread_time()
        expected = plain.decode_people(heatmaps, tags, COCO_ORDER)
        spent = (time.thread_time() - start) * 1e3
        np.testing.assert_allclose(codec.decode(heatmaps, tags).keypoints, expected[..., :2])
        ratio = f"{spent:.0f} ({spent / total:.0f}x)"
    cells = [f"{size}", f"{people}", f"{length}", f"{len(found.keypoints)}", f"{total:.1f}"]
    cells += [f"{floor:.1f}", f"{total / floor:.1f}", *(f"{step:.1f}" for step in steps), ratio]
    print("| " + " | ".join(cells) + " |", flush=True)


# The start of a process, and the first call in it.
SETUP = """
import time
import numpy as np
begin = time.process_time()
import pose_codecs
from pose_codecs import *
imported = time.process_time()
points, visible = np.full((1, 17, 2), 100.25), np.ones((1, 17))
sizes = (192, 256), (48, 64)
rng = np.random.default_rng(0)
heatmaps, tags = rng.random((17, 64, 48), np.float32), rng.random((17, 64, 48, 2), np.float32)
codec = AssociativeEmbedding((256, 256), [(64, 64)])
start = time.process_time()
{call}
print(imported - begin, time.process_time() - start)
"""
FIRST = {
    "`MSRAHeatmap.encode`": "MSRAHeatmap(*sizes).encode(points, visible)",
    "`MSRAHeatmap.decode`": "MSRAHeatmap(*sizes).decode(heatmaps)",
    "`MSRAHeatmap.encode`, unbiased": "MSRAHeatmap(*sizes, unbiased=True).encode(points, visible)",
    '`MSRAHeatmap.decode`, `refine="dark"`': 'MSRAHeatmap(*sizes, refine="dark").decode(heatmaps)',
    "`UDPHeatmap.encode`": "UDPHeatmap(*sizes).encode(points, visible)",
    "`UDPHeatmap.decode`": "UDPHeatmap(*sizes).decode(heatmaps)",
    "`flip_heatmaps`, `flip_tags`": "flip_heatmaps(heatmaps, range(17))",
    "`resize`, `aggregate`": "aggregate([heatmaps, heatmaps], (96, 128))",
    "`AssociativeEmbedding.encode`, `encode_people`": "codec.encode(points, visible)",
    "`keypoint_indices`": "keypoint_indices(points, visible, (64, 64))",
    "`AssociativeEmbedding.decode`": "codec.decode(heatmaps, tags)",
    "`find_candidates`": "find_candidates(heatmaps, tags, floor=0.1)",
    "`assign`, in `group`": "assign(rng.random((5, 5)))",
    "`adjust`": "adjust(points.astype(np.float32) / 4, np.float32(visible), heatmaps)",
    "`refine`": "refine(np.float32([[[9, 9]] * 17]), np.float32([[1] + [0] * 16]), heatmaps, tags)",
    "`warmup`": "pose_codecs.warmup()",
}


def time_first_calls(runs):
    print("| first call of | import, ms | nothing cached, ms | cached, ms |\n|---|---|---|---|")
    for name, call in FIRST.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
            command = [sys.executable, "-c", SETUP.format(call=call)]
            times = []
            for _ in range(1 + runs):
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True
                )
                times.append([1e3 * float(word) for word in done.stdout.split()])
        imported, cached = np.min(times[1:], axis=0)
        print(f"| {name} | {imported:.0f} | {times[0][1]:.1f} | {cached:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, no plain AE decode")
    parser.add_argument("--first", action="store_true", help="first calls, in new processes")
    args = parser.parse_args()
    quick, runs = args.quick, 3 if args.quick else 9
    versions = f"pose-codecs {pose_codecs.__version__}, numpy {np.__version__}"
    print(f"{versions}, numba {version('numba')}, Python {platform.python_version()}\n")
    if args.first:
        time_first_calls(3)
        return
    pose_codecs.warmup()
    time_topdown(runs)
    print("\nAE decode, adjust and refine on, ms of CPU time:\n")
    print(
        "| size | people | L | found | total | one pass | ratio | blocks | candidates | group ",
        end="",
    )
    print("| adjust | refine | plain |\n|" + "---|" * 13)
    for people in (1, 5, 15, 30, 60, 100):
        time_people(people, 512, 2, runs, with_plain=not quick and people in (1, 30))
    for size in (128, 256):
        time_people(30, size, 2, runs, with_plain=not quick)
    for length in (1, 4):
        time_people(30, 256, length, runs, with_plain=False)


if __name__ == "__main__":
    main()
