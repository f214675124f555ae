"""List the shipped presets."""

import argparse

from pose_train.read_config import shipped_configs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    print("\n".join(shipped_configs()))
    return 0
