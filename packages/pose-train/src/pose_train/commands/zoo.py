"""zoo and configs: list the published weights and the shipped presets, fetch weights."""

import argparse
from functools import partial

from pose_train.config.load import shipped_configs
from pose_train.config.schema import ConfigError

DETECTIONS = "detections"  # the name of the boxes of the published top-down figures


def main(args: argparse.Namespace) -> int:
    """List or fetch; a file that is here already is verified, not downloaded."""
    if args.command == "configs":
        print("\n".join(shipped_configs()))
        return 0
    from pose_backbones import ZOO, find_detections, find_weights  # with torch: takes a second
    from pose_backbones.names import unknown
    from pose_backbones.table import zoo_table
    from pose_backbones.weights import log_line, progress_line

    if args.action is None:
        print(zoo_table())
        return 0
    if not args.names:
        raise ConfigError("zoo fetch needs at least one NAME of the list that `pose-train zoo` has")
    for name in args.names:
        if name not in (*ZOO, DETECTIONS):
            raise ConfigError(unknown("weights", name, [*ZOO, DETECTIONS]))
    for name in args.names:
        find = find_detections if name == DETECTIONS else partial(find_weights, name, download=True)
        path = find(mirrors=args.mirror, progress=progress_line, log=log_line)
        print(path, flush=True)
    return 0
