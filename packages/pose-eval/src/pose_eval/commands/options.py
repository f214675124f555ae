"""The options of all commands, in one table, and which command has which of them."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pose_eval import __version__


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a function that reads a whole number from low to high."""
    limits = f"from {low} to {high}" if high else f"above {low - 1}" if low else "from 0 on"

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= (int(text) if high is None else high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return int(text)

    return read


def thresholds(text: str) -> tuple[float, ...]:
    """Read numbers above 0 between commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers above 0 between commas")
    return values


def gate(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER."""
    name, _, number = text.partition("=")
    if not name.startswith(("AP", "AR")):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER such as AP=0.74")
    try:
        limit = float(number)
    except ValueError:
        limit = float("nan")
    if not 0 <= limit <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: the limit must be a number from 0 to 1")
    return name, limit


def drop_gate(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER, or a number alone, which is for AP."""
    return gate(text if "=" in text else f"AP={text}")


def _flag(text: str) -> dict[str, Any]:
    return {"action": "store_true", "help": text}


def _policy(what: str) -> dict[str, Any]:
    text = f"rows of {what} that the ground truth lacks (error)"
    return {"choices": ("error", "drop"), "default": "error", "help": text}


def _gates(read: Callable[[str], Any], example: str, text: str) -> dict[str, Any]:
    return {"type": read, "action": "append", "default": [], "metavar": example, "help": text}


# Those of settings.py, which imports numpy: help does not wait for it.
_PROTOCOLS = ("coco", "xtcoco", "crowdpose")
_NMS = "oks:0.9, soft:0.9, nearby:0.05 or none, also by the names of MMPose (none)"
_SCORE = "bbox (the score of the row), keypoint, bbox*keypoint:0.2, or rle (bbox)"
_NMS_AREA = "of a detection in NMS: joints (their extent), bbox, or bbox:1.25 (padded) (joints)"
_SIGMAS = "coco, crowdpose, aic, mpii, a file, a run directory, or 0.026,0.025,... (coco)"
_DROP = "exit with 3 if AP falls by more from a to b; NAME=0.002 for another number"
_NORM = (
    "bbox (its longer side), bbox-wh (as MMPose), area (its root), or two joints: "
    "left_shoulder,right_hip is PCK by torso, head_top,neck is PCKh"
)
_BY = "key of an annotation that is the same for one person of an image (person_id); "
# The arguments of add_argument by option: those of all commands that evaluate, and others.
EVALUATED: dict[str, dict[str, Any]] = {
    "--gt": {"required": True, "help": "COCO keypoint annotations; - is stdin"},
    "--protocol": {"default": "coco", "choices": _PROTOCOLS, "help": "whose numbers (coco)"},
    "--sigmas": {"help": _SIGMAS},
    "--category": {"metavar": "NAMES", "help": "names or ids between commas (all)"},
    "--joints": {"help": "a subset: 5-16, or names between commas"},
    "--area": {"choices": ("ann", "bbox"), "help": "of a person: annotated, or 0.53 w h"},
    "--areas": {"help": "ranges: small=0:1024,large=9216:1e10 (medium and large)"},
    "--oks": {"help": "thresholds: FIRST:LAST:STEP or numbers (0.5:0.95:0.05)"},
    "--max-dets": {"type": int, "default": 20, "help": "detections of an image that count (20)"},
    "--images": {"help": "image ids between commas, or a file of them"},
    "--unknown-images": _policy("images"),
    "--unknown-categories": _policy("categories"),
    "--match-images": {"choices": ("file_name", "stem"), "help": "what image_id of results is"},
}
SUPPRESSION: dict[str, dict[str, Any]] = {
    "--nms": {"metavar": "HOW", "help": _NMS},
    "--score": {"metavar": "HOW", "help": _SCORE},
    "--nms-area": {"metavar": "HOW", "help": _NMS_AREA},
}
OPTIONS: dict[str, dict[str, Any]] = {
    **EVALUATED,
    **SUPPRESSION,
    "--flip-pairs": {"metavar": "1-2,3-4", "help": "mirrored keypoints (by their names)"},
    "--norm": {"default": "bbox", "help": _NORM},
    "--thr": {"type": thresholds, "default": (0.05, 0.1, 0.2, 0.5), "help": "(0.05,0.1,0.2,0.5)"},
    "--auc-pixels": {"type": float, "default": 30.0, "help": "of the AUC (30, as MMPose)"},
    "--by": {"metavar": "KEY", "default": "person_id", "help": f"{_BY}attributes.KEY is possible"},
    "--fail-below": _gates(gate, "AP=0.74", "exit with 3 if this number is lower; repeatable"),
    "--fail-drop": _gates(
        lambda text: gate(text if "=" in text else f"AP={text}"), "0.002", f"{_DROP}; repeatable"
    ),
    "--bootstrap": {"metavar": "N", "type": whole(1), "default": 1000, "help": "replicates (1000)"},
    "--seed": {"type": int, "default": 0, "help": "of the bootstrap (0)"},
    "--check": _flag("check both files, evaluate nothing"),
    "--format": {"choices": ("text", "json"), "default": "text"},
    "--out": {"type": Path, "help": "write there instead of to stdout"},
    "--digits": {"type": whole(0, 17), "default": 3, "help": "of the numbers in tables (3)"},
    "--breakdown": _flag("keypoints, groups, errors in text and JSON (md and html have them)"),
    "--images-dir": {"type": Path, "metavar": "FOLDER", "help": "show the worst images, in html"},
    "--matches": {"type": Path, "metavar": "F.json", "help": "OKS and matches of every image"},
    "--curves": {"type": Path, "metavar": "F.csv", "help": "precision and score at each recall"},
    "--per-image": {"type": Path, "metavar": "F.csv", "help": "right, wrong, missed of each image"},
}
SETTINGS = {"what is evaluated": EVALUATED, "NMS and rescoring, before the evaluation": SUPPRESSION}
OUTPUT = ("--format", "--out", "--digits")
RESULTS = {"results": "a list of rows as JSON or JSON lines, .gz or not; - is stdin"}


EPILOG = "exit codes: 0 done, 1 bad data, 2 bad arguments, 3 a gate failed"


class Command(NamedTuple):
    """A command: the files that it is given, its options by group, and what these have instead."""

    description: str
    files: Mapping[str, str]
    groups: Mapping[str, Iterable[str]]
    changes: Mapping[str, Mapping[str, Any]] = {}
    epilog: str | None = None


COMMANDS = {
    "evaluate": Command(
        "Print the COCO keypoint numbers of a results file.",
        RESULTS,
        {
            **SETTINGS,
            "output": (
                *(*OUTPUT, "--bootstrap", "--seed", "--breakdown", "--images-dir", "--fail-below"),
                *("--check", "--matches", "--curves", "--per-image"),
            ),
        },
        {
            "--format": {"choices": ("text", "json", "csv", "md", "html")},
            "--bootstrap": {
                "type": whole(0),
                "default": None,
                "help": "95 %% intervals from N replicates of the images (0; in md and html 1000)",
            },
        },
        "examples:\n"
        "  pose-eval results.json --gt annotations.json\n"
        "  pose-eval results.json --gt annotations.json --format html -o report.html\n"
        "  pose-eval results.json --gt annotations.json --fail-below AP=0.74\n\n"
        "other commands: check, errors, compare, nms, pck, sigmas; see pose-eval COMMAND --help\n"
        + EPILOG,
    ),
    "check": Command(
        "Check a results file, or annotations; exit code 1 where they are bad.",
        {"file": "results or COCO annotations; - is stdin"},
        {"annotations": ("--gt", "--area"), "output": ("--format",)},
        {"--gt": {"required": False, "help": "the annotations that the results are for"}},
    ),
    "errors": Command(
        "Show what goes wrong at the keypoints and how much AP each kind of error costs\n"
        "(Ronchi and Perona, ICCV 2017).",
        RESULTS,
        {**SETTINGS, "errors": ("--flip-pairs",), "output": OUTPUT},
    ),
    "compare": Command(
        "Compare results b with results a on the same ground truth.",
        {"a": "the results to compare with", "b": "the results that gates are about"},
        {
            **SETTINGS,
            "comparison": ("--fail-below", "--fail-drop", "--bootstrap", "--seed"),
            "output": OUTPUT,
        },
        {
            "--format": {"choices": ("text", "json", "md", "html")},
            "--fail-below": {"help": "exit with 3 if this number of b is lower; repeatable"},
        },
        EPILOG,
    ),
    "nms": Command(
        "Remove duplicate detections; rows are written image by image, in the order of the NMS, "
        "with all their keys.",
        {"file": "a list of rows; - is stdin"},
        {"NMS and rescoring": (*SUPPRESSION, "--sigmas", "--gt", "--max-dets", "--out")},
        {
            "--nms": {"help": "oks:0.9, soft:0.9, nearby:0.05 or none (oks)"},
            "--gt": {
                "required": False,
                "help": "annotations: the names of categories, if --sigmas has names",
            },
            "--max-dets": {
                "default": None,
                "help": "of an image, for soft (20) and nearby (30, 0: all)",
            },
        },
    ),
    "pck": Command(
        "Print the share of keypoints near their place. Each person is compared with one detection "
        "of its\nimage, pairs of the highest OKS first.",
        RESULTS,
        {**SETTINGS, "distances": ("--norm", "--thr", "--auc-pixels"), "output": OUTPUT},
    ),
    "sigmas": Command(
        "Print the sigmas of keypoints from a COCO annotation file in which the same persons are\n"
        "annotated several times.",
        {"file": "COCO annotations; - is stdin"},
        {"sigmas": ("--by", "--area", "--format", "--out")},
    ),
}


def parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command."""
    command = COMMANDS[name]
    found = argparse.ArgumentParser(
        prog="pose-eval" if name == "evaluate" else f"pose-eval {name}",
        description=command.description,
        epilog=command.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for file, text in command.files.items():
        found.add_argument(file, help=text)
    for title, options in command.groups.items():
        group = found.add_argument_group(title)
        for option in options:
            flags = ("-o", option) if option == "--out" else (option,)
            group.add_argument(*flags, **{**OPTIONS[option], **command.changes.get(option, {})})
    _add_manners(found, has_format=any("--format" in group for group in command.groups.values()))
    if name == "evaluate":
        found.add_argument("--version", action="version", version=f"pose-eval {__version__}")
    return found


def _add_manners(found: argparse.ArgumentParser, *, has_format: bool) -> None:
    """Add what every command takes: how much it says, and whether to a machine."""
    group = found.add_argument_group("messages")
    if has_format:
        group.add_argument(
            "--json",
            action="store_const",
            const="json",
            dest="format",
            default=argparse.SUPPRESS,
            help="same as --format json",
        )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", **_flag("no warnings"))
    loudness.add_argument("-v", "--verbose", **_flag("where in the code an error was raised, too"))
