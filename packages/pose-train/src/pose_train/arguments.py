"""The command line as one table: every command with what it does and what it takes.

Nothing here imports what a command needs to run, so that help and typos cost no time. A new command
is an entry here and a file of its name in `commands/`, with `main(args) -> exit code`; FILES in
`__main__.py` names the file of those that share one.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pose_train import __version__
from pose_train.help import GROUPS, SETTINGS


class Option(NamedTuple):
    """An argument: its names, and what argparse's add_argument takes besides."""

    names: tuple[str, ...]
    settings: dict[str, Any]


class Command(NamedTuple):
    """A command: its help, and what it takes."""

    help: str
    options: Sequence[Option]


def _command(text: str, *options: Option) -> Command:
    return Command(text, options)


def _option(*names: str, **settings: Any) -> Option:
    return Option(names, settings)


OFFLINE = _option("--offline", action="store_true", help="download nothing; same as POSE_OFFLINE=1")
CONFIG = _option("config", help="a YAML file or the name of a shipped preset")
SOURCE = _option(
    "source", help="a run directory, a checkpoint, hf://USER/NAME, a preset or a YAML file"
)
WEIGHTS = _option("--weights", help="checkpoint; not needed for a run directory or one itself")
SIZE: dict[str, Any] = {"type": int, "nargs": 2, "metavar": ("W", "H")}
COUNT: dict[str, Any] = {"type": int, "metavar": "N"}


def _overrides(example: str) -> Option:
    return _option("overrides", nargs="*", metavar="key=value", help=example)


COMMANDS = {
    "run": _command(
        "Train, evaluate and write a report.", CONFIG, _overrides("e.g. train.epochs=5"), OFFLINE
    ),
    "resume": _command(
        "Go on with a run that was stopped, as if it had not been.",
        _option("run_dir", type=Path, help="its directory, which `pose-train run` named"),
        _overrides("changes, e.g. train.epochs=300"),
    ),
    "test": _command(
        "Evaluate a trained network by the published protocol.",
        _option(
            "source", help="a preset, a YAML file, a run directory, a checkpoint or hf://USER/NAME"
        ),
        _overrides("e.g. eval.boxes=gt"),
        _option("--weights", help="checkpoint to test; not needed for a run directory"),
        _option("--data-root", help="the folder laid out like COCO; same as data.root="),
        _option("--multi-scale", action="store_true", help="bottom-up: at scales 2, 1 and 0.5"),
        _option("--out", type=Path, help="write the result rows: COCO's JSON (.json) or .csv"),
        _option("--digits", **COUNT, default=3, choices=range(1, 9), help="1 to 8; default 3"),
        _option("--batch-size", type=int, help="same as eval.batch_size="),
        _option("--workers", type=int, help="same as train.num_workers="),
        OFFLINE,
    ),
    "predict": _command(
        "Find people in images and videos, draw them, and write them as JSON.",
        _option(
            "source",
            help="a run directory, a checkpoint, hf://USER/NAME, a preset, a YAML file, or an "
            "exported NAME.onnx",
        ),
        _option(
            "inputs",
            nargs="+",
            help="images, videos, folders with all below them, patterns such as 'a/**/*.jpg', the "
            "number of a camera, rtsp:// and http:// addresses, or - for a list of these on stdin",
        ),
        _option("--out", type=Path, required=True, help="folder for drawings and JSON"),
        WEIGHTS,
        _option(
            "--recursive", action="store_true", help="search all folders below, as is always done"
        ),
        _option("--boxes", type=Path, help="JSON of the persons' boxes (top-down)"),
        _option(
            "--gt",
            type=Path,
            help="annotation file of the images: predict those that it names, and write its "
            "image and category ids, as pose-eval wants them",
        ),
        _option(
            "--box-score", type=float, default=0.3, help="leave out boxes below it (default 0.3)"
        ),
        _option(
            "--min-score",
            type=float,
            default=0.2,
            help="draw keypoints from this score on (default 0.2)",
        ),
        _option(
            "--csv",
            action="store_true",
            help="write predictions.csv, too: image, frame, time, person, keypoint, x, y, score",
        ),
        _option(
            "--bits",
            **COUNT,
            help="bits in use in 16-bit images, 8 to 16; default: data.bits of the training",
        ),
        _option(
            "--detector",
            nargs="?",
            const="",  # inference.detect.DEFAULT_DETECTOR
            metavar="MODEL",
            help="find the people (top-down): a folder or Hugging Face name of a detector, or an "
            "ONNX file; without MODEL RT-DETR v2; extra pose-train[detect]. A network of COCO's "
            "keypoints that was trained on photographs does so without being asked to, where the "
            "extra is installed and the files are in the hub's cache, or can be fetched: on a "
            "terminal, without --offline",
        ),
        _option(
            "--whole-image",
            action="store_true",
            help="take each image for one person, as is done where nothing finds people",
        ),
        _option(
            "--det-score", type=float, default=0.5, help="leave out its boxes below it; default 0.5"
        ),
        _option(
            "--det-nms", type=float, default=0.7, help="largest IoU of two of them; default 0.7"
        ),
        _option("--classes", nargs="+", default=["person"], metavar="NAME", help="default: person"),
        _option("--every", **COUNT, help="of videos and cameras, every N-th frame; default each"),
        _option("--track", action="store_true", help="number people over a video (track_id)"),
        _option("--smooth", action="store_true", help="smooth keypoints over a video; tracks"),
        _option("--no-draw", action="store_true", help="write the JSON alone"),
        _option("--show", action="store_true", help="show drawings in a window; q or Esc ends"),
        _option(
            "--live",
            action="store_true",
            help="write predictions.jsonl, too: a row a line, as they come",
        ),
        _option(
            "--allow-download",
            action="store_true",
            help="take images and recorded videos at http(s) addresses",
        ),
        _option(
            "--person-score",
            type=float,
            help="draw people from this score on; default 0, bottom-up 0.2",
        ),
        _option(
            "--colours",
            choices=("side", "identity"),
            help="of drawings: by side, or one for each person; default side, in tracked videos "
            "identity",
        ),
        _option("--draw-boxes", action="store_true", help="draw people's boxes and scores, too"),
        _option(
            "--contact-sheet",
            action="store_true",
            help="write contact-sheet.jpg: up to 100 of the drawings, small, evenly spaced",
        ),
        _option("--no-flip", action="store_true", help="without the flip test"),
        _option("--batch-size", **COUNT, help="boxes at once; default 32"),
        _option(
            "--parts",
            **COUNT,
            help="in so many parts, which processes of torchrun share (by default 4 each); a run "
            "that ended early does what is missing",
        ),
        _option(
            "--amp",
            choices=("off", "bf16", "fp16", "auto"),
            default="off",
            help="compute with 16 bits: faster where the hardware has them, which auto finds out",
        ),
        _option("--compile", action="store_true", help="by torch.compile, for many inputs"),
        _option(
            "--device",
            default="auto",
            help="cpu, cuda, cuda:1 ..., mps, of ONNX also openvino; default auto: cuda if there, "
            "else mps, else cpu",
        ),
        _option("--threads", **COUNT, help="on a CPU; default: as many as cores are free"),
        OFFLINE,
    ),
    "export": _command(
        "Write a trained network as ONNX, TorchScript or torch.export.",
        SOURCE,
        _option("--format", choices=("onnx", "torchscript", "torch-export"), default="onnx"),
        _option("--out", type=Path, required=True, help="the file to write"),
        WEIGHTS,
        _option("--input-size", **SIZE, help="default: that of the config; bottom-up, any"),
        _option("--batch", **COUNT, help="always take N images at once; default: any number"),
        _option(
            "--half",
            action="store_true",
            help="weights and arithmetic of 16 bits; maps stay float32",
        ),
        _option("--opset", **COUNT, help="of ONNX; default 18"),
        OFFLINE,
    ),
    "publish": _command(
        "Upload a trained network to the Hugging Face hub, with its config and a model card.",
        SOURCE,
        _option("--repo", required=True, metavar="USER/NAME", help="made if there is none"),
        WEIGHTS,
        _option("--private", action="store_true", help="nobody else sees it"),
        _option(
            "--license",
            metavar="ID",
            help="of the weights, as the hub names it: apache-2.0, mit, cc-by-4.0 ...",
        ),
    ),
    "init": _command(
        "Write a complete config for a COCO-format file of one's own, or from one of MMPose's.",
        _option("annotations", type=Path, nargs="?", help="COCO-format keypoint JSON to train on"),
        _option(
            "--from-mmpose",
            type=Path,
            metavar="FILE",
            help="instead: a config (.py), or a checkpoint with its config in it, of MMPose "
            "0.x or 1.x",
        ),
        _option("--images", type=Path, help="its images; found beside it if not given"),
        _option("--val", type=Path, help="JSON to evaluate on; without it, the same"),
        _option(
            "--val-images",
            type=Path,
            help="its images; found beside it, or among the others, if not given",
        ),
        _option(
            "--model",
            help="hourglass52, hrnet_w32, hrnet_w48, cpm, higherhrnet_w32 ... (default "
            "hrnet_w32); hrnet_small: for few instances, or without a GPU",
        ),
        _option("--input-size", **SIZE, help="by the shape of the boxes"),
        _option(
            "--categories", nargs="+", metavar="NAME", help="of a file with several: names or ids"
        ),
        _option(
            "--data-root", metavar="DIR", help="with --from-mmpose: the folder laid out like COCO"
        ),
    ),
    "check": _command(
        "Check a config before it runs: paths, counts, a drawn batch, memory and time.",
        CONFIG,
        _overrides("e.g. data.root=FOLDER"),
        _option(
            "--out",
            type=Path,
            default=Path("batch.png"),
            help="the drawn batch (default batch.png)",
        ),
    ),
    "pack": _command(
        "Write what a config's training can see of its images into a few large files.",
        CONFIG,
        _option("out", type=Path, help="a new folder, or one in which this was stopped"),
        _overrides("e.g. data.root=FOLDER"),
        _option(
            "--raw",
            action="store_true",
            help="uncompressed: the fastest to train from, about five times as large",
        ),
        _option("--workers", **COUNT, help="threads; by default one for each core"),
    ),
    "bench": _command(
        "Measure the speed of the loader, of the training step, and of both together.",
        _option("config", nargs="?", help="a YAML file or the name of a shipped preset"),
        _overrides("e.g. train.amp=bf16"),
        _option("--seconds", type=float, default=10.0, help="for each of the three; default 10"),
        _option(
            "--suite",
            choices=("gpu",),
            help="instead of a config: all about this machine's GPU in some 20 minutes, with "
            "nothing to download; without a GPU, small, in one",
        ),
        _option(
            "--out",
            type=Path,
            default=Path("."),
            metavar="DIR",
            help="the suite's page and JSON go there; default the current folder",
        ),
        _option(
            "--parity",
            type=Path,
            metavar="DIR",
            help="compare the suite's forward with the stored numbers of the reference "
            "implementations there; default PARITY_DIR, else with the CPU's alone",
        ),
    ),
    "doctor": _command(
        "Say what is installed, which devices there are, and what commonly goes wrong.",
        _option("--json", action="store_true", help="for programs, and for reports of errors"),
    ),
    "configs": _command("List the shipped presets."),
    "zoo": _command(
        "List the published weights, or fetch their files.",
        _option("action", nargs="?", choices=("fetch",), help="without it, the list"),
        _option(
            "names",
            nargs="*",
            metavar="NAME",
            help="fetch: download these, verify their SHA-256 and print their paths; "
            "`detections`: the boxes of the published top-down tests",
        ),
        _option(
            "--mirror",
            action="append",
            default=[],
            metavar="URL",
            help="fetch: ask it before those in POSE_WEIGHTS_MIRRORS, the Hugging Face hub and "
            "the publisher",
        ),
    ),
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the words of a command line; exits with 2 for bad usage.

    Overrides may also stand behind options, where argparse leaves them over.
    """
    parser = argparse.ArgumentParser(
        prog="pose-train",
        description="Train, evaluate and report a pose network.",
        **SETTINGS[""],
    )
    parser.add_argument("--version", action="version", version=f"pose-train {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(
            name, help=command.help, description=command.help, **SETTINGS.get(name, {})
        )
        groups = {
            option: group
            for title, options in GROUPS.get(name, {}).items()
            for group in [subparser.add_argument_group(title)]
            for option in options
        }
        for names, settings in command.options:
            groups.get(names[0], subparser).add_argument(*names, **settings)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (extra: completion)
        import argcomplete

        argcomplete.autocomplete(parser)
    args, left = parser.parse_known_args(argv)
    unknown = [word for word in left if word.startswith("-") or "=" not in word]
    if unknown or (left and not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(unknown or left)}")
    if left:
        args.overrides = [*args.overrides, *left]
    return args
