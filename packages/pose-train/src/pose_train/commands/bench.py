"""pose-train bench CONFIG: images per second of the loader, of the training step, and of both."""

import argparse
import tempfile
from pathlib import Path

from pose_train.commands.options import add_config, add_overrides

HELP = "Measure the speed of the loader, of the training step, and of both together."
EXAMPLES = "pose-train bench my.yaml train.amp=bf16\npose-train bench --suite gpu --out suite/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, nargs="?")
    add_overrides(parser, "e.g. train.amp=bf16")
    add = parser.add_argument
    add("--seconds", type=float, default=10.0, help="for each of the three; default 10")
    add(
        "--suite",
        choices=("gpu",),
        help="instead of a config: all about this machine's GPU in some 20 minutes, with "
        "nothing to download; without a GPU, small, in one",
    )
    add(
        "--out",
        type=Path,
        default=Path("."),
        metavar="DIR",
        help="the suite's page and JSON go there; default the current folder",
    )


def run(args: argparse.Namespace) -> int:
    """Measure; under torchrun the first process prints for all of them."""
    from pose_train.config.load import load_config
    from pose_train.config.schema import ConfigError

    if args.suite is not None and args.config is not None:
        raise ConfigError(f"--suite has networks of its own: leave {args.config} out")
    if args.suite is not None:
        return _suite(args)
    if args.config is None:
        raise ConfigError("bench needs a config, or --suite gpu")
    config = load_config(args.config, args.overrides)
    if not args.seconds > 0:
        raise ConfigError(f"--seconds must be above 0, got {args.seconds}")
    import torch

    from pose_train.cores import settle_threads
    from pose_train.distributed import joined
    from pose_train.training.bench import bench

    settle_threads(config.train.num_threads, config.train.num_workers)
    with joined(config.train.device) as (ranks, device), tempfile.TemporaryDirectory() as folder:
        speeds = bench(config, args.seconds, Path(folder), ranks, device)
    if not ranks.is_first:
        return 0
    settings = config.train
    step_time = 1000 * settings.batch_size * ranks.world_size / speeds["step"]
    lines = [f"{ranks.world_size} processes together"] if ranks.world_size > 1 else []
    lines += [
        f"loader  {speeds['loader']:8.1f} images/s  train.num_workers={settings.num_workers}",
        f"step    {speeds['step']:8.1f} images/s  {step_time:.1f} ms for {settings.batch_size}, "
        f"train.amp={settings.amp}",
        f"both    {speeds['both']:8.1f} images/s",
    ]
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**30
        lines.append(f"memory  {memory:8.2f} GiB of the GPU at most")
    slower = "loader" if speeds["loader"] < speeds["step"] else "step"
    print("\n".join([*lines, f"the {slower} is the bottleneck"]))
    return 0


def _suite(args: argparse.Namespace) -> int:
    """Print the page; 1 where a part failed."""
    from pose_train.training.suite import suite

    done = suite(args.seconds, args.out)
    print(f"{done.page}\n{done.file}")
    return int(done.has_failed)
