"""Compare variants of a config by the AP of whole trainings, over several seeds.

One training says little: of two that differ in their seed alone, AP differs, too. Each variant is
NAME or NAME:KEY=VALUE,KEY=VALUE; differences are from the first one, of the same seed. A training
whose directory has a report is not repeated.

    python seeds.py demo --seeds 1 2 3 --out runs images bf16:train.amp=bf16
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

from pose_train import __version__


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("variants", nargs="+", metavar="NAME[:KEY=VALUE,...]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of all variants")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    args = parser.parse_args()
    aps: dict[str, list[float]] = {}
    for variant in args.variants:
        name, _, options = variant.partition(":")
        aps[name] = []
        for seed in args.seeds:
            out = args.out / f"{name}-{seed}"
            words = [f"out={out}", f"seed={seed}", *args.set, *filter(None, options.split(","))]
            if not (out / "report.html").is_file():
                command = [sys.executable, "-m", "pose_train", "run", args.config, *words]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            aps[name].append(last_ap(out))
    print(f"pose-train {__version__}: {args.config}, {' '.join(args.set)}\n")
    print(f"| variant | {' | '.join(f'seed {seed}' for seed in args.seeds)} | mean | difference |")
    print("|---" * (len(args.seeds) + 3) + "|")
    first = next(iter(aps.values()))
    for name, values in aps.items():
        changes = [b - a for a, b in zip(first, values, strict=True)]
        figures = " | ".join(f"{value:.3f}" for value in values)
        change = "" if values is first else with_error(changes)
        print(f"| {name} | {figures} | {statistics.mean(values):.3f} | {change} |")


def last_ap(run_dir: Path) -> float:
    """Return the AP of a run's last evaluation."""
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return float([line["AP"] for line in lines if "AP" in line][-1])


def with_error(changes: list[float]) -> str:
    """Return the mean of differences and its standard error."""
    error = statistics.stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else math.nan
    return f"{statistics.mean(changes):+.3f} +- {error:.3f}"


if __name__ == "__main__":
    main()
