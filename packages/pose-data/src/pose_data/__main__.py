"""The command line: pose-data COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import sys
from importlib import import_module

from pose_data import DatasetError, __version__

# What each does; its module is imported when it is asked for: help does not wait for all of them.
COMMANDS = {
    "check": "Report what is wrong with annotations, images and results; exit code 1 on errors.",
    "stats": "Count keypoints, visibility, box sizes and crowding.",
    "show": "Draw annotated images and augmented samples, to .html or .png.",
    "synth": "Write a dataset of synthetic people, in COCO's or AI Challenger's format.",
    "convert": "Convert YOLO-pose, LabelMe, DeepLabCut, CVAT or AIC to COCO, or COCO to YOLO-pose.",
    "fix": "Repair an annotation file: ids, counts, boxes, areas, duplicates, file names.",
    "merge": "Merge annotation files into one, with new ids; categories are matched by name.",
    "filter": "Keep some categories, annotations with enough keypoints, images with annotations.",
    "pack": "Write what training can see of each image into a few large files.",
    "split": "Split an annotation file into training and validation, image by image.",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 the data are bad, 2 bad arguments, 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="pose-data", description="Check, show, count, make and convert keypoint annotations."
    )
    parser.add_argument("--version", action="version", version=f"pose-data {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = sys.argv[1:] if argv is None else argv
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in words:
            module = import_module(f"pose_data.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(words)
    try:
        return int(args.run(args))
    except (DatasetError, OSError) as error:
        print(f"pose-data: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pose-data: stopped; no incomplete file is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
