"""Train for an hour or a night, and see whether memory, descriptors and threads stay flat.

    python soak.py [--minutes 60] [--every 10] [--samples FILE.csv] [key=value ...]

Runs `pose-train run demo` with two workers on a few drawn images in a temporary folder, with short
epochs, an evaluation and checkpoints every few of them, so that whatever an epoch leaves behind
adds up. Every so many seconds, the resident memory (proportional: shared pages are counted once),
the open descriptors, the threads and the number of the command's processes are read from /proc.
Printed: a table of quarters of the time, and the slope of each figure after the first quarter.
Overrides go to the run. It ends the run with SIGTERM and says how it ended.
"""

import argparse
import csv
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

SETTINGS = (
    *("train.epochs=1000000", "train.lr_steps=[]", "train.num_workers=2", "train.batch_size=8"),
    *("train.num_threads=1", "eval.every=5", "checkpoints.every=10", "checkpoints.keep=2"),
    *("data.synthetic={num_train: 64, num_val: 8, image_size: [160, 120]}", "train.lr=1e-5"),
    "model.options={width: 8, stem_channels: 16, num_modules: [1, 1, 1], num_blocks: 1}",
    *("model.input_size=[64, 64]", "model.heatmap_size=null"),
)


class Sample(NamedTuple):
    """The figures of a process and of all below it."""

    seconds: float
    main_mb: float
    tree_mb: float
    descriptors: int
    threads: int
    processes: int


def below(root: int) -> list[int]:
    """Return a process and those below it, by their ids."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            parents[int(entry.name)] = int(words[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def megabytes(process: int) -> float:
    """Return the proportional set size of a process in MB."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def take(root: int, started: float) -> Sample:
    """Return the figures of this moment."""
    memory, descriptors, threads = list[float](), 0, 0
    processes = below(root)
    for process in processes:
        folder = Path(f"/proc/{process}")
        try:
            memory.append(megabytes(process))
            descriptors += len(list((folder / "fd").iterdir()))
            threads += len(list((folder / "task").iterdir()))
        except OSError:  # it has just ended
            continue
    seconds = time.monotonic() - started
    return Sample(seconds, memory[0], sum(memory), descriptors, threads, len(memory))


def table(samples: Sequence[Sample]) -> str:
    """Return medians of each quarter, and slopes an hour after the first, as Markdown."""
    values = np.array(samples)  # (T, 6)
    quarters = np.array_split(values, 4)
    lines = ["| | 1st quarter | 2nd | 3rd | 4th | slope an hour | most |", "|---" * 7 + "|"]
    for column, name in enumerate(Sample._fields):
        if name == "seconds":
            continue
        late = np.concatenate(quarters[1:])
        slope = np.polyfit(late[:, 0] / 3600, late[:, column], 1)[0]
        medians = " | ".join(f"{np.median(part[:, column]):.1f}" for part in quarters)
        lines.append(f"| {name} | {medians} | {slope:+.2f} | {values[:, column].max():.1f} |")
    return "\n".join(lines)


def main() -> int:
    """Train, watch, print the table; returns 0 where the run ended well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds; default 10")
    parser.add_argument("--samples", type=Path, help="write all of them as CSV")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    samples = list[Sample]()
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-m", "pose_train", "run", "demo", f"out={folder}/run"]
        with open(f"{folder}/log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen([*run, *SETTINGS, *args.overrides], stdout=log, stderr=log)
            started = time.monotonic()
            while process.poll() is None and time.monotonic() - started < args.minutes * 60:
                time.sleep(args.every)
                if process.poll() is None and (Path(folder) / "run/checkpoint_best.pth").exists():
                    samples.append(take(process.pid, started))
            process.send_signal(signal.SIGTERM)
            code = process.wait(300)
            log.seek(0)
            lines = log.read().splitlines()
        epochs = sum(" epoch " in line and "loss" in line for line in lines)
    if args.samples is not None:
        with args.samples.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([Sample._fields, *samples])
    if not samples:
        print(f"too short: not one evaluation was over; {lines[-1:]}")
        return 1
    print(f"{samples[-1].seconds / 60:.0f} minutes, {len(samples)} samples, {epochs} epochs\n")
    print(table(samples))
    print(f"\nended with {code}: {lines[-1] if lines else ''}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
