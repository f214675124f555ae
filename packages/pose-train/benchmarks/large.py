"""Large images, many people, many keypoints: how long they take, and how much memory.

    python large.py [--side 8192] [--people 300] [--keypoints 133]

Networks are small and as they are drawn, images are noise in blocks: what is measured is all that
grows with the size of an image and the number of people beside the network. Each row is a process
of its own, with one thread: CPU seconds of the second of two calls, and the peak of resident memory
in MB, of which imports and a small image's call take the first number.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from pose_backbones import create_model
from pose_codecs import AssociativeEmbedding
from pose_data import COCO, Skeleton
from pose_data.infer import skeleton_of
from pose_train import Predictor, load_config
from pose_train.config.load import to_yaml

OPTIONS = "model.options={width: 8, stem_channels: 16, num_modules: [1, 1, 1], num_blocks: 1}"


def skeleton(count: int) -> Skeleton:
    """Return COCO's for 17 keypoints, else one with as many."""
    if count == 17:
        return COCO
    category = {"name": "many", "keypoints": [f"k{i}" for i in range(count)], "skeleton": []}
    return skeleton_of(category)[0]


def checkpoint(folder: Path, preset: str, count: int) -> Path:
    """Write what a run of a small network of so many keypoints leaves, and return its path."""
    config = load_config(preset, [OPTIONS, f"out={folder}"])
    net = create_model(config.model.name, num_keypoints=count, **config.model.options)
    about = {"config": to_yaml(config), "skeleton": dataclasses.asdict(skeleton(count))}
    torch.save({"state_dict": net.state_dict(), **about}, folder / "net.pth")
    return folder / "net.pth"


def image(folder: Path, side: int) -> Path:
    """Write a square JPEG."""
    rng, path = np.random.default_rng(0), folder / f"{side}.jpg"
    blocks = rng.integers(0, 256, (side // 16, side // 16, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(blocks, (side, side), interpolation=cv2.INTER_NEAREST))
    return path


def boxes(side: int, people: int) -> Any:
    """Return boxes (P, 4) of people, x1 y1 x2 y2, all over an image."""
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 0.8 * side, (people, 2))
    return np.concatenate(
        [corner, corner + rng.uniform(0.05 * side, 0.2 * side, (people, 2))], axis=1
    )


def topdown(folder: Path, side: int, people: int, keypoints: int) -> Callable[[], object]:
    """Predict people in boxes, and draw them."""
    predictor = Predictor(checkpoint(folder, "demo", keypoints), device="cpu")
    path, given = image(folder, side), boxes(side, people)
    return lambda: predictor(path, given).plot(cv2.imread(str(path)))


def bottomup(folder: Path, side: int, people: int, keypoints: int) -> Callable[[], object]:
    """Find people in a whole image, which is made as small as the network's input."""
    predictor = Predictor(checkpoint(folder, "demo_higherhrnet", keypoints), device="cpu")
    path = image(folder, side)
    return lambda: predictor(path)


def grouping(folder: Path, side: int, people: int, keypoints: int) -> Callable[[], object]:
    """Group the keypoints of people in maps of 512 pixels by their tags."""
    rng = np.random.default_rng(0)
    codec = AssociativeEmbedding((512, 512), [(512, 512)], max_instances=people)
    points = rng.uniform(0, 511, (people, 1, 2)) + rng.normal(0, 8, (people, keypoints, 2))
    maps, _ = codec.encode(points, np.ones((people, keypoints)))
    tags = np.zeros((keypoints, 512, 512, 1), np.float32)
    for person, each in enumerate(points.round().astype(int).clip(0, 511)):
        for joint, (x, y) in enumerate(each):
            tags[joint, y, x] = 10 * person
    return lambda: codec.decode(maps[0], tags)


KINDS = {each.__name__: each for each in (topdown, bottomup, grouping)}


def measure(kind: str, side: int, people: int, keypoints: int) -> None:
    """Print CPU seconds and peaks of memory as JSON: of a small image's call, then of a large."""
    torch.set_num_threads(1)
    peaks, seconds = [], 0.0
    for size, count in ((64, 1), (side, people)):
        with tempfile.TemporaryDirectory() as folder:
            call = KINDS[kind](Path(folder), size, count, keypoints)
            call()
            before = time.process_time()
            call()
            seconds = time.process_time() - before
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps([seconds, *peaks]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--keypoints", type=int, default=133)
    parser.add_argument("--kind", choices=KINDS, help="measure one, print JSON")
    args = parser.parse_args()
    if args.kind:
        return measure(args.kind, args.side, args.people, args.keypoints)
    print("| | side | people | keypoints | CPU s | MB before | MB |\n" + "|---" * 7 + "|")
    few, many = (640, 20, 17), (args.side, args.people, args.keypoints)
    for kind in KINDS:
        for side, people, keypoints in (few, many, (args.side, args.people, 17)):
            words = ["--side", side, "--people", people, "--keypoints", keypoints, "--kind", kind]
            command = [sys.executable, __file__, *map(str, words)]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, before, peak = json.loads(ended.stdout.splitlines()[-1])
            row = f"{side} | {people} | {keypoints} | {seconds:.2f} | {before:.0f} | {peak:.0f}"
            print(f"| {kind} | {row} |", flush=True)


if __name__ == "__main__":
    main()
