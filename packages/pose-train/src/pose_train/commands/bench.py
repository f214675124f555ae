"""pose-train bench CONFIG: images per second of the loader, of the training step, and of both."""

import argparse
import json
from pathlib import Path

from pose_train.commands.options import JSON, add_config, add_overrides, aside

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
    add(
        "--parity",
        type=Path,
        metavar="DIR",
        help="compare the suite's forward with the stored numbers of the reference "
        "implementations there; default PARITY_DIR, else with the CPU's alone",
    )
    add("--json", **JSON)


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
    from tempfile import TemporaryDirectory

    import torch

    from pose_train.cores import settle_threads
    from pose_train.distributed import joined
    from pose_train.training.bench import bench

    with aside(args):
        settle_threads(config.train.num_threads, config.train.num_workers)
        with joined(config.train.device) as (ranks, device), TemporaryDirectory() as folder:
            speeds = bench(config, args.seconds, Path(folder), ranks, device)
    if not ranks.is_first:
        return 0
    settings, on_gpu = config.train, device.type == "cuda"
    memory = torch.cuda.max_memory_allocated() if on_gpu else None
    slower = "loader" if speeds["loader"] < speeds["step"] else "step"
    if args.json:
        facts = {"processes": ranks.world_size, "device": str(device), "images_per_second": speeds}
        print(json.dumps(facts | {"gpu_bytes": memory, "bottleneck": slower}, indent=1))
        return 0
    step_time = 1000 * settings.batch_size * ranks.world_size / speeds["step"]
    lines = [f"{ranks.world_size} processes together"] if ranks.world_size > 1 else []
    lines += [
        f"loader  {speeds['loader']:8.1f} images/s  train.num_workers={settings.num_workers}",
        f"step    {speeds['step']:8.1f} images/s  {step_time:.1f} ms for {settings.batch_size}, "
        f"train.amp={settings.amp}",
        f"both    {speeds['both']:8.1f} images/s",
    ]
    if memory is not None:
        lines.append(f"memory  {memory / 2**30:8.2f} GiB of the GPU at most")
    print("\n".join([*lines, f"the {slower} is the bottleneck"]))
    return 0


def _suite(args: argparse.Namespace) -> int:
    """Print the page; 1 where a part failed."""
    from pose_train.training.suite import suite

    with aside(args):
        done = suite(args.seconds, args.out, args.parity)
    if args.json:
        print(json.dumps({"file": str(done.file), "tables": done.tables}, indent=1))
    else:
        print(f"{done.page}\n{done.file}")
    return int(done.has_failed)
