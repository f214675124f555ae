"""pose-data convert-aic ANNOTATIONS IMAGES OUT: AI Challenger's original JSON as COCO's."""

import argparse
from pathlib import Path

from pose_data.formats.aic import convert_aic

HELP = "Write AI Challenger's original annotations as COCO keypoint annotations."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, help="the original keypoint_*_annotations_*.json")
    parser.add_argument("images", type=Path, help="folder of its pictures, for their sizes")
    parser.add_argument("out", type=Path, help="the file to write")


def run(args: argparse.Namespace) -> int:
    count = convert_aic(args.annotations, args.images, args.out)
    print(f"{args.out}: {count} persons")
    return 0
