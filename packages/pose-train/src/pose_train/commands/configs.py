"""pose-train configs: the names of the shipped presets."""

import argparse

HELP = "List the shipped presets."
EXAMPLES = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: it takes nothing."""


def run(args: argparse.Namespace) -> int:
    from pose_train.config.load import shipped_configs

    print("\n".join(shipped_configs()))
    return 0
