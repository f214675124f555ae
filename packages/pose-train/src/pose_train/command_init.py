"""Write a complete config for a COCO-format file of one's own, or from one of MMPose's."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "annotations", type=Path, nargs="?", help="COCO-format keypoint JSON to train on"
    )
    source.add_argument(
        "--from-mmpose",
        type=Path,
        metavar="FILE",
        help="instead: a config (.py), or a checkpoint with its config in it, of MMPose 0.x or 1.x",
    )
    parser.add_argument("--images", type=Path, help="its pictures; found beside it if not given")
    parser.add_argument("--val", type=Path, help="JSON to evaluate on; without it, the same")
    parser.add_argument(
        "--val-images",
        type=Path,
        help="its pictures; found beside it, or among the others, if not given",
    )
    parser.add_argument(
        "--model",
        help="hourglass52, hrnet_w32, hrnet_w48, cpm, higherhrnet_w32 ... (default hrnet_w32); "
        "hrnet_small: for few instances, or without a GPU",
    )
    parser.add_argument(
        "--input-size", type=int, nargs=2, metavar=("W", "H"), help="by the shape of the boxes"
    )
    parser.add_argument(
        "--categories", nargs="+", metavar="NAME", help="of a file with several: names or ids"
    )
    parser.add_argument(
        "--data-root", metavar="DIR", help="with --from-mmpose: the folder laid out like COCO"
    )


def main(args: argparse.Namespace) -> int:
    """Print the config: pose-train init MY.json > my.yaml, or --from-mmpose FILE > my.yaml."""
    from pose_train.config import ConfigError
    from pose_train.mmpose.convert import config_from_mmpose
    from pose_train.starter import starter_config

    if args.from_mmpose is not None:
        of_annotations = ("images", "val", "val_images", "model", "input_size", "categories")
        given = [name for name in of_annotations if getattr(args, name) is not None]
        if given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')} is for ANNOTATIONS, not for --from-mmpose"
            )
        print(config_from_mmpose(args.from_mmpose, args.data_root), end="")
        return 0
    if args.data_root is not None:
        raise ConfigError("--data-root is for --from-mmpose; ANNOTATIONS have their own folder")
    print(
        starter_config(
            args.annotations,
            args.images,
            args.val,
            args.val_images,
            model=args.model,
            input_size=tuple(args.input_size) if args.input_size else None,
            categories=args.categories,
        ),
        end="",
    )
    return 0
