"""pose-train zoo [fetch NAME ...]: list the published weights, or fetch their files."""

import argparse
import json
from functools import partial

from pose_train.commands.options import JSON
from pose_train.words import are_notes_shown

HELP = "List the published weights, or fetch their files."
EXAMPLES = "pose-train zoo\npose-train zoo fetch hrnet_w32_coco_256x192"
DETECTIONS = "detections"  # the name of the boxes of the published top-down figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("fetch",), help="without it, the list")
    add(
        "names",
        nargs="*",
        metavar="NAME",
        help="fetch: download these, verify their SHA-256 and print their paths; "
        f"`{DETECTIONS}`: the boxes of the published top-down tests",
    )
    add(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="fetch: ask it before those in POSE_WEIGHTS_MIRRORS, the Hugging Face hub and "
        "the publisher",
    )
    add("--json", **JSON)


def run(args: argparse.Namespace) -> int:
    """List or fetch; a file that is here already is verified, not downloaded."""
    from pose_backbones import ZOO, find_detections, find_weights  # with torch: takes a second
    from pose_backbones.names import unknown
    from pose_backbones.table import weights_facts, zoo_table
    from pose_backbones.weights import log_line, progress_line
    from pose_train.config.schema import ConfigError

    if args.action is None:
        if args.json:
            print(json.dumps({"weights": {name: weights_facts(name) for name in ZOO}}, indent=1))
        else:
            print(zoo_table())
        return 0
    if not args.names:
        raise ConfigError("zoo fetch needs at least one NAME of the list that `pose-train zoo` has")
    for name in args.names:
        if name not in (*ZOO, DETECTIONS):
            raise ConfigError(unknown("weights", name, [*ZOO, DETECTIONS]))
    paths: dict[str, str] = {}
    for name in args.names:
        find = find_detections if name == DETECTIONS else partial(find_weights, name, download=True)
        progress, log = (progress_line, log_line) if are_notes_shown() else (None, None)
        paths[name] = str(find(mirrors=args.mirror, progress=progress, log=log))
        if not args.json:
            print(paths[name], flush=True)
    if args.json:
        print(json.dumps({"files": paths}, indent=1))
    return 0
