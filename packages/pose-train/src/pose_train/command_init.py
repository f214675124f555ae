"""Write a complete config for a COCO-format file of one's own."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("annotations", type=Path, help="COCO-format keypoint JSON to train on")
    parser.add_argument("--images", type=Path, help="its pictures; found beside it if not given")
    parser.add_argument("--val", type=Path, help="JSON to evaluate on; without it, the same")
    parser.add_argument(
        "--val-images",
        type=Path,
        help="its pictures; found beside it, or among the others, if not given",
    )
    parser.add_argument(
        "--model",
        default="hrnet_w32",
        help="hourglass52, hrnet_w32, hrnet_w48, cpm, higherhrnet_w32 ... (default hrnet_w32)",
    )
    parser.add_argument(
        "--input-size", type=int, nargs=2, metavar=("W", "H"), help="by the persons' shape"
    )


def main(args: argparse.Namespace) -> int:
    """Print the config: pose-train init MY.json > my.yaml."""
    from pose_train.starter import starter_config

    print(
        starter_config(
            args.annotations,
            args.images,
            args.val,
            args.val_images,
            model=args.model,
            input_size=tuple(args.input_size) if args.input_size else None,
        ),
        end="",
    )
    return 0
