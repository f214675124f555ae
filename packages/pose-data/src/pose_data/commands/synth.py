"""pose-data synth OUT: synthetic people, labelled exactly."""

import argparse
import json
from pathlib import Path

from pose_data.commands.options import add_json, size

HELP = "Write a dataset of synthetic people, in COCO's or AI Challenger's format."
EXAMPLES = "pose-data synth people --train 200 --val 50"
# Those of skeleton.py, which imports numpy: help does not wait for it.
_SKELETONS = ("aic", "coco", "coco_aic", "crowdpose", "mpii")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", type=Path, help="a new or empty folder")
    add("--train", type=int, default=1000, help="training images (1000)")
    add("--val", type=int, default=200, help="validation images (200)")
    add("--size", type=size, default=(320, 240), help="of the images (320x240)")
    add("--seed", type=int, default=0)
    add("--hard", action="store_true", help="2 to 8 persons, crowds, some persons without labels")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--skeleton", choices=_SKELETONS, help="a known skeleton (coco)")
    kind.add_argument("--keypoints", type=int, help="a skeleton with that many keypoints, 3 to 18")
    kind.add_argument("--aic", action="store_true", help="AI Challenger's original files")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.skeleton import COCO, SKELETONS
    from pose_data.synthetic.cartoons import EASY, HARD
    from pose_data.synthetic.synthesize import custom_skeleton, synthesize

    skeleton = SKELETONS[args.skeleton] if args.skeleton else COCO
    if args.keypoints is not None:
        skeleton = custom_skeleton(args.keypoints)
    synthesize(
        args.out,
        num_train=args.train,
        num_val=args.val,
        image_size=args.size,
        seed=args.seed,
        skeleton=skeleton,
        scene=HARD if args.hard else EASY,
        layout="aic" if args.aic else "coco",
    )
    if args.json:
        print(json.dumps({"out": str(args.out), "train": args.train, "val": args.val}))
        return 0
    print(f"{args.out}: {args.train} training and {args.val} validation images")
    return 0
