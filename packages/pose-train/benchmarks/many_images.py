"""Many images through `predict_batch`: by a process pool, and by Ray Data.

    python many_images.py NETWORK IMAGES [--count 20000] [--processes 2] [--ray]

NETWORK is a run directory or checkpoint, IMAGES a folder of images, of which `--count` links are
made in a temporary folder, so that as many files are opened and decoded. Each image is one person
(no detector). Batches of 100 paths go to worker processes, which load the network once. Printed:
images per second and the memory of the workers (resident, the largest one) on the way. With --ray
the same paths go through Ray's `map_batches`, and its rows are held against the pool's.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_train import predict_batch
from pose_train.files.inputs import IMAGES

Rows = list[dict[str, Any]]
BATCH = 100  # paths


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    args = parser.parse_args()
    images = sorted(p for p in args.images.resolve().iterdir() if p.suffix.lower() in IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i in range(args.count):
            paths.append(Path(folder) / f"{i:06}{images[i % len(images)].suffix}")
            paths[-1].symlink_to(images[i % len(images)])
        print(f"{len(paths)} links to {len(images)} images, torch {torch.__version__}")
        rows = by_pool(paths, args.network, args.processes)
        if args.ray:
            compare(rows, by_ray(paths, args.network, args.processes))


def by_pool(paths: Sequence[Path], network: str, processes: int) -> Rows:
    """Return the rows by a process pool; print how it goes."""
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    rows: Rows = []
    started = last = time.perf_counter()
    done, printed, largest = 0, 0, 0.0
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        results: Iterator[tuple[Rows, float]] = pool.map(partial(predict, network=network), batches)
        for found, memory in results:
            rows += found
            done, largest = done + BATCH, max(largest, memory)
            if done - printed >= len(paths) / 10 or done >= len(paths):
                now = time.perf_counter()
                speed = (done - printed) / (now - last)
                print(f"{done:7} images  {speed:6.1f} images/s  {largest:6.0f} MiB", flush=True)
                printed, last, largest = done, now, 0.0
    seconds = time.perf_counter() - started
    print(f"pool of {processes}: {seconds:.0f} s, {len(paths) / seconds:.1f} images/s")
    return rows


def predict(paths: Sequence[Path], network: str) -> tuple[Rows, float]:
    """Return rows, and the MiB that this process has in memory now."""
    rows = predict_batch(paths, network, device="cpu")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return rows, pages * resource.getpagesize() / 2**20


def by_ray(paths: Sequence[Path], network: str, processes: int) -> Rows:
    """Return the rows by Ray Data."""
    import ray

    ray.init(num_cpus=processes, include_dashboard=False, logging_level="warning")
    started = time.perf_counter()
    dataset = ray.data.from_items([str(path) for path in paths])
    dataset = dataset.map_batches(
        lambda batch: {"row": predict_batch(batch["item"], network, device="cpu")},
        batch_size=BATCH,
    )
    rows = [item["row"] for item in dataset.take_all()]
    seconds = time.perf_counter() - started
    print(f"Ray {ray.__version__}: {seconds:.0f} s, {len(paths) / seconds:.1f} images/s")
    return rows


def compare(ours: Rows, theirs: Rows) -> None:
    """Print how two lists of rows differ, in whatever order they are."""
    ours, theirs = (sorted(rows, key=lambda row: row["file_name"]) for rows in (ours, theirs))
    if ours == theirs:
        return print(f"the {len(ours)} rows of Ray are those of the pool")
    for key in ("file_name", "image_id", "category_id"):
        assert [row[key] for row in ours] == [row[key] for row in theirs], key
    points = [np.array([row["keypoints"] for row in rows]) for rows in (ours, theirs)]
    print(f"{len(ours)} rows; keypoints differ by {np.abs(points[0] - points[1]).max():.2g} pixels")


if __name__ == "__main__":
    main()
