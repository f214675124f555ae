"""Training steps of a small HRNet with one thread and with one a core, alone and beside others.

    python threads.py [--programs 5] [--seconds 8]

Prints images per second of each, and what `pose-train run` would choose. The others are processes
that do nothing but run; torch's OpenMP threads wait for each other by spinning.
"""

import argparse
import subprocess
import sys
import time

import torch

from pose_backbones import create_model
from pose_train.cores import count_cores, find_cores


def images_per_second(threads: int, seconds: float) -> float:
    """Train on batches of 16 images of 96x128 for so many seconds."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = create_model("hrnet", width=8, num_keypoints=17).train()
    images = torch.randn(16, 3, 128, 96)
    net(images).heatmaps[-1].square().mean().backward()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        net(images).heatmaps[-1].square().mean().backward()
        count += len(images)
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure alone, then beside the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    for programs in (0, args.programs):
        burn = [sys.executable, "-c", "while True: pass"]
        others = [subprocess.Popen(burn) for _ in range(programs)]
        try:
            time.sleep(30 if others else 0)  # until the load average shows them
            print(f"{programs} other programs; {find_cores()}")
            for threads in (1, count_cores()) * 2:
                speed = images_per_second(threads, args.seconds)
                print(f"  {threads} threads: {speed:.1f} images/s", flush=True)
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
