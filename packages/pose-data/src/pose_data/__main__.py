# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-data COMMAND, each of COMMANDS in a file of `commands`."""

import argparse
import os
import sys
from importlib import import_module

from pose_data import DatasetError, __version__
from pose_data.errors import printable

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
# Below the help of each.
EXAMPLES = {
    "check": """pose-data check people.json --images pictures
pose-data check people.json --results results.json --format json""",
    "stats": "pose-data stats people.json\npose-data stats people.json pictures -o page.html",
    "show": "pose-data show people.json pictures -o page.html",
    "synth": "pose-data synth people --train 200 --val 50",
    "convert": """pose-data convert data.yaml people.json
pose-data convert people.json labels --to yolo""",
    "fix": "pose-data fix people.json fixed.json",
    "merge": "pose-data merge a.json b.json --prefix a b -o both.json",
    "filter": "pose-data filter people.json some.json --categories person --min-keypoints 5",
    "pack": """pose-data pack people.json pictures packed --input-size 192x256
pose-data pack people.json pictures packed --input-size 512x512 --bottom-up --raw""",
    "split": "pose-data split people.json parts --val 0.2",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 the data are bad, 2 bad arguments, 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="pose-data",
        description="Check, show, count, make and convert keypoint annotations.",
        epilog="pose-data COMMAND --help says more, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"pose-data {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = sys.argv[1:] if argv is None else argv
    completes = "_ARGCOMPLETE" in os.environ  # a shell asks for completions (extra: completion)
    if completes:
        words = os.environ["COMP_LINE"].split()
    for name, text in COMMANDS.items():
        lines = EXAMPLES.get(name, "").replace("\n", "\n  ")
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"examples:\n  {lines}" if lines else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in words:
            module = import_module(f"pose_data.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    if completes:
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(words)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except DatasetError as error:
        print(printable(f"pose-data: error: {error}"), file=sys.stderr)
        return 1
    except ImportError as error:  # a library is missing or broken
        if (error.name or "").startswith("pose_"):
            raise
        print(f"pose-data: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
            where = "" if error.filename is None else f"{error.filename}: "
            text = f"pose-data: error: {where}{error.strerror or error}"
            print(printable(text), file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # of the output: Python would complain once more when it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pose-data: stopped; no incomplete file is left", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    raise SystemExit(main())
