"""zoo and configs: list the published weights and the shipped presets, fetch weights."""

import argparse

from pose_train.config.load import shipped_configs
from pose_train.config.schema import ConfigError


def main(args: argparse.Namespace) -> int:
    """List or fetch; a file that is here already is verified, not downloaded."""
    if args.command == "configs":
        print("\n".join(shipped_configs()))
        return 0
    from pose_backbones import ZOO, find_weights  # with torch, which takes a second
    from pose_backbones.names import unknown
    from pose_backbones.table import zoo_table
    from pose_backbones.weights import progress_line

    if args.action is None:
        print(zoo_table())
        return 0
    if not args.names:
        raise ConfigError("zoo fetch needs at least one NAME of the list that `pose-train zoo` has")
    for name in args.names:
        if name not in ZOO:
            raise ConfigError(unknown("weights", name, ZOO))
    for name in args.names:
        path = find_weights(name, download=True, mirrors=args.mirror, progress=progress_line)
        print(path, flush=True)
    return 0
