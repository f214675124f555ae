"""pose-data split ANNOTATIONS OUT: a training and a validation file, image by image."""

import argparse
from pathlib import Path

from pose_data.split import split

HELP = "Divide an annotation file into training and validation, image by image."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, help="COCO keypoint JSON")
    parser.add_argument("out", type=Path, help="folder for NAME_train.json and NAME_val.json")
    parser.add_argument("--val", type=float, default=0.1, help="share of the images (0.1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--group",
        help="regular expression on file names; images with the same first group stay together, "
        "as the frames of a video must: '^(.+)_[0-9]+'",
    )


def run(args: argparse.Namespace) -> int:
    for path in split(args.annotations, args.out, val=args.val, seed=args.seed, group=args.group):
        print(path)
    return 0
