"""Time the codecs against MMPose or plain numpy: python codecs.py [--quick | --first].

Where mmpose is installed the two are called in turns: mmpose >= 1 for heatmaps, mmpose 0.29 for
associative embedding; plain numpy stands in for what is missing. Prints Markdown. One thread. Times
are the least CPU time of several turns, because the machine may be shared. --first times the first
call of each function in a process of its own instead, and then what compiling its kernels takes:
with an empty cache of kernels, and with the one that this left.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import plain

import pose_codecs
from pose_codecs import AssociativeEmbedding, MSRAHeatmap, adjust, find_candidates, refine
from pose_codecs.associative import COCO_ORDER
from pose_codecs.blocks import block_maxima


def in_turns(functions, turns, warm=True):
    """Return the least CPU seconds of each of some functions, called in turns.

    `warm` calls each once before it is timed: its data are in the cache then.
    """
    times = []
    for _ in range(1 + turns):
        times.append([])
        for function in functions:
            if warm:
                function()
            start = time.thread_time()
            function()
            times[-1].append(time.thread_time() - start)
    return np.min(times[1:], axis=0)  # the first turn compiles


def mmpose_version():
    try:
        return version("mmpose")
    except PackageNotFoundError:
        return ""


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


def is_mmpose_0():
    return "0" < mmpose_version() < "1"


def their_topdown(options, stride):
    """Return MMPose's encode of one sample, and its decode and DARK decode, else plain numpy's."""
    if mmpose_version() < "1":
        return (
            lambda points, visible: plain.encode_msra(points, visible, stride, (48, 64), 2),
            lambda maps: plain.decode_msra(maps, stride),
            lambda maps: plain.decode_dark(maps, stride),
        )
    import cv2
    import mmpose.codecs

    cv2.setNumThreads(0)
    codec = mmpose.codecs.MSRAHeatmap(*options)
    dark = mmpose.codecs.MSRAHeatmap(*options, unbiased=True)
    return (
        lambda points, visible: codec.encode(points[None], visible[None]),
        codec.decode,
        dark.decode,
    )


def time_topdown(turns):
    options = (192, 256), (48, 64), 2.0
    codec, dark = (MSRAHeatmap(*options, refine=refine) for refine in ("quarter", "dark"))
    encode, decode, decode_dark = their_topdown(options, codec.stride)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 190, (64, 17, 2)).astype(np.float32)
    visible = np.ones((64, 17), np.float32)
    heatmaps = codec.encode(points, visible)[0]
    heatmaps += rng.random(heatmaps.shape, np.float32) * np.float32(0.05)
    samples = list(zip(points, visible, strict=True))
    theirs = f"MMPose {mmpose_version()}" if mmpose_version() >= "1" else "plain numpy"
    times = {
        "`maps.max()`": [lambda: heatmaps.max()],
        "decode, batch of 64": [
            lambda: codec.decode(heatmaps),
            lambda: list(map(decode, heatmaps)),
        ],
        "decode, one by one": [
            lambda: [codec.decode(maps) for maps in heatmaps],
            lambda: list(map(decode, heatmaps)),
        ],
        "DARK decode, two batches of 32": [
            lambda: (dark.decode(heatmaps[:32]), dark.decode(heatmaps[32:])),
            lambda: list(map(decode_dark, heatmaps)),
        ],
        "DARK decode, one by one": [
            lambda: [dark.decode(maps) for maps in heatmaps],
            lambda: list(map(decode_dark, heatmaps)),
        ],
        "encode, one by one": [
            lambda: [codec.encode(*sample) is None for sample in samples],  # drops the heatmaps
            lambda: [encode(*sample) is None for sample in samples],
        ],
    }
    print(f"| 17 keypoints, 48x64, sigma 2 | us/sample | {theirs} | ratio |\n|---|---|---|---|")
    for name, pair in times.items():
        spent = [1e6 / 64 * t for t in in_turns(pair, turns)]
        cells = f"{spent[1]:.0f} | {spent[1] / spent[0]:.1f}" if len(spent) > 1 else "- | -"
        print(f"| {name} | {spent[0]:.1f} | {cells} |", flush=True)
    cells = [1e6 / 64 * t for t in in_turns([heatmaps.max, lambda: codec.decode(heatmaps)], turns)]
    print(
        f"\nDecoding and `maps.max()` alone in turns: {cells[1]:.1f} and {cells[0]:.1f} us/sample."
    )


def their_people(heatmaps, tags):
    """Return MMPose's decode of one image, else plain numpy's."""
    if not is_mmpose_0():
        return lambda: plain.decode_people(heatmaps, tags, COCO_ORDER)
    import torch
    from mmpose.core.post_processing.group import HeatmapParser

    torch.set_num_threads(1)
    parser = HeatmapParser(
        {
            "num_joints": 17,
            "max_num_people": 30,
            "detection_threshold": 0.1,
            "tag_threshold": 1,
            "use_detection_val": True,
            "ignore_too_much": False,
            "tag_per_joint": True,
            "nms_kernel": 5,
            "nms_padding": 2,
        }
    )
    maps = torch.from_numpy(heatmaps)[None], torch.from_numpy(tags)[None]
    return lambda: parser.parse(*maps)[0][0]


def time_people(people, size, length, turns, with_theirs):
    codec = AssociativeEmbedding((size, size), [(size, size)])
    heatmaps, tags = draw_people(people, size, length)
    decode, floor = lambda: codec.decode(heatmaps, tags), lambda: (heatmaps.max(), tags.max())
    functions = [decode, floor]
    if with_theirs:
        functions.append(their_people(heatmaps, tags))
        np.testing.assert_array_equal(decode().keypoints, functions[2]()[..., :2])
    times = [1e3 * t for t in in_turns(functions, 3 if with_theirs else turns, warm=False)]
    found = len(decode().keypoints)
    maxima = block_maxima(heatmaps)
    candidates = find_candidates(heatmaps, tags, 30, 5, 0.1, maxima)
    grouped = codec.group(candidates)
    moved = adjust(grouped.keypoints, grouped.scores, heatmaps)
    steps = [
        lambda: block_maxima(heatmaps),
        lambda: find_candidates(heatmaps, tags, 30, 5, 0.1, maxima),
        lambda: codec.group(candidates),
        lambda: adjust(grouped.keypoints, grouped.scores, heatmaps),
        lambda: refine(moved, grouped.scores, heatmaps, tags, maxima),
    ]
    cells = [f"{size}", f"{people}", f"{length}", f"{found}", f"{times[0]:.1f}", f"{times[1]:.1f}"]
    cells += [f"{1e3 * step:.1f}" for step in in_turns(steps, turns)]
    cells.append(f"{times[2]:.0f} ({times[2] / times[0]:.0f}x)" if with_theirs else "-")
    print("| " + " | ".join(cells) + " |", flush=True)


def time_bottomup(turns, with_theirs):
    theirs = f"MMPose {mmpose_version()}" if is_mmpose_0() else "plain numpy"
    print("\nAE decode, adjust and refine on, ms of CPU time:\n")
    print(
        "| size | people | L | found | total | one pass | blocks | candidates | group | adjust ",
        end="",
    )
    print(f"| refine | {theirs} |\n|" + "---|" * 12)
    for people in (1, 5, 15, 30, 60):
        time_people(people, 512, 2, turns, with_theirs)
    for size in (128, 256):
        time_people(30, size, 2, turns, with_theirs)
    for length in (1, 4):
        time_people(30, 256, length, turns, with_theirs=False)


# The start of a process and the first call in it: as it comes, or with all kernels compiled.
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
heatmaps[3:] *= 0.1  # to be found by refine
codec = AssociativeEmbedding((256, 256), [(64, 64)])
if {compiled}:
    from pose_codecs._jit import compile_from_now_on
    compile_from_now_on()
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
    print("| | import | first call | compiling: nothing cached | cached |\n|---|---|---|---|---|")
    for name, call in FIRST.items():
        times = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                times.append(first_call(call, folder, compiled=False))
        imported, first = np.min(times, axis=0)
        with tempfile.TemporaryDirectory() as folder:
            times = [first_call(call, folder, compiled=True) for _ in range(1 + runs)]
        cached = min(spent for _, spent in times[1:])
        cells = f"{first:.1f} | {times[0][1]:.0f} | {cached:.0f}"
        print(f"| {name} | {imported:.0f} | {cells} |", flush=True)


def first_call(call, folder, compiled):
    """Return the milliseconds of the import and of a call, with the kernels cached in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP.format(call=call, compiled=compiled)],
        env={**os.environ, "NUMBA_CACHE_DIR": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    return [1e3 * float(word) for word in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, no AE but ours")
    parser.add_argument("--first", action="store_true", help="first calls, in new processes")
    args = parser.parse_args()
    quick, turns = args.quick, 3 if args.quick else 20
    versions = f"pose-codecs {pose_codecs.__version__}, numpy {np.__version__}"
    print(f"{versions}, numba {version('numba')}, Python {platform.python_version()}\n")
    if args.first:
        time_first_calls(3)
        return
    warnings.simplefilter("ignore")  # mmpose's
    pose_codecs.warmup()
    if not is_mmpose_0():
        time_topdown(turns)
    if mmpose_version() < "1":
        time_bottomup(turns, with_theirs=not quick)


if __name__ == "__main__":
    main()
