"""pose-train init ANNOTATIONS > my.yaml: a config for one's own file, or from one of MMPose's."""

import argparse
from pathlib import Path

from pose_train.commands.options import SIZE

HELP = "Write a complete config for a COCO-format file of one's own, or from one of MMPose's."
EXAMPLES = """pose-train init people.json --images pictures > people.yaml
pose-train init --from-mmpose epoch_210.pth > my.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("annotations", type=Path, nargs="?", help="COCO-format keypoint JSON to train on")
    add(
        "--from-mmpose",
        type=Path,
        metavar="FILE",
        help="instead: a config (.py), or a checkpoint with its config in it, of MMPose 0.x or 1.x",
    )
    add("--images", type=Path, help="its images; found beside it if not given")
    add("--val", type=Path, help="JSON to evaluate on; without it, the same")
    add(
        "--val-images",
        type=Path,
        help="its images; found beside it, or among the others, if not given",
    )
    add(
        "--model",
        help="hourglass52, hrnet_w32, hrnet_w48, cpm, higherhrnet_w32 ... (default "
        "hrnet_w32); hrnet_small: for few instances, or without a GPU",
    )
    add("--input-size", **SIZE, help="by the shape of the boxes")
    add("--categories", nargs="+", metavar="NAME", help="of a file with several: names or ids")
    add("--data-root", metavar="DIR", help="with --from-mmpose: the folder laid out like COCO")


def run(args: argparse.Namespace) -> int:
    from pose_train.config.schema import ConfigError

    if (args.from_mmpose is None) == (args.annotations is None):
        raise ConfigError("give either ANNOTATIONS, a COCO-format JSON, or --from-mmpose FILE")
    options = ("images", "val", "val_images", "model", "input_size", "categories")
    given = {name: getattr(args, name) for name in options}
    if args.from_mmpose is not None:
        from pose_train.mmpose.convert import config_from_mmpose

        if used := [name.replace("_", "-") for name, value in given.items() if value is not None]:
            raise ConfigError(f"--{used[0]} is for ANNOTATIONS, not for --from-mmpose")
        print(config_from_mmpose(args.from_mmpose, args.data_root), end="")
        return 0
    if args.data_root is not None:
        raise ConfigError("--data-root is for --from-mmpose; ANNOTATIONS have their own folder")
    from pose_train.recipes.starter import starter_config

    print(starter_config(args.annotations, **given), end="")
    return 0
