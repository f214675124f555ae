"""pose-train configs: the names of the shipped presets."""

import argparse
import json

from pose_train.commands.options import JSON

HELP = "List the shipped presets."
EXAMPLES = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", **JSON)


def run(args: argparse.Namespace) -> int:
    from pose_train.config.load import shipped_configs

    names = shipped_configs()
    print(json.dumps({"configs": list(names)}) if args.json else "\n".join(names))
    return 0
