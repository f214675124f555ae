"""Measure the speed of the loader, of the training step, and of both together."""

import argparse

from pose_train.config import ConfigError
from pose_train.read_config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("config", help="a YAML file or the name of a shipped preset")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. train.amp=bf16")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="for each of the three; default 10"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    config = load_config(args.config, args.overrides)
    if not args.seconds > 0:
        raise ConfigError(f"--seconds must be above 0, got {args.seconds}")
    from pose_train.bench import bench
    from pose_train.cores import settle_threads

    settle_threads(config.train.num_threads, config.train.num_workers)
    speeds, plan = bench(config, args.seconds), config.train
    if speeds is None:  # another process under torchrun prints
        return 0
    step_time = 1000 * plan.batch_size * speeds.processes / speeds.step
    if speeds.processes > 1:
        print(f"{speeds.processes} processes together")
    print(f"loader  {speeds.loader:8.1f} images/s  train.num_workers={plan.num_workers}")
    print(
        f"step    {speeds.step:8.1f} images/s  {step_time:.1f} ms for {plan.batch_size}, "
        f"train.amp={plan.amp}"
    )
    print(f"both    {speeds.both:8.1f} images/s")
    if speeds.memory is not None:
        print(f"memory  {speeds.memory / 2**30:8.2f} GiB of the GPU at most")
    slower = "loader" if speeds.loader < speeds.step else "step"
    print(f"the {slower} is the bottleneck")
    return 0
