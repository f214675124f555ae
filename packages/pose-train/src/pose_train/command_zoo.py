"""List the published weights, and fetch their files."""

import argparse

from pose_train.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", title="without an action, the list")
    text = "download a file of the list, verify its SHA-256 prefix and print its path"
    fetch = actions.add_parser("fetch", help=text, description=text)
    fetch.add_argument("names", nargs="+", metavar="NAME")
    fetch.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="ask it before those in POSE_WEIGHTS_MIRRORS and the publisher",
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; a file that is here already is verified, not downloaded."""
    from pose_backbones import ZOO, find_weights
    from pose_backbones.names import unknown
    from pose_backbones.table import zoo_table
    from pose_backbones.weights import progress_line

    if args.action is None:
        print(zoo_table())
        return 0
    for name in args.names:
        if name not in ZOO:
            raise ConfigError(unknown("weights", name, ZOO))
    for name in args.names:
        path = find_weights(name, download=True, mirrors=args.mirror, progress=progress_line)
        print(path, flush=True)
    return 0
