"""The options of all commands, in one table; the reports that they ask for, and how to write."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pose_eval.coco.evaluate import Evaluator
from pose_eval.coco.report import Report
from pose_eval.coco.suppress import AREA_HELP, NMS_HELP, SCORE_HELP, parse_suppression
from pose_eval.coco.tables import SettingsError
from pose_eval.settings import PROTOCOLS


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
    "--protocol": {"default": "coco", "choices": PROTOCOLS, "help": "whose numbers (coco)"},
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
    "--nms": {"metavar": "HOW", "help": f"{NMS_HELP} (none)"},
    "--score": {"metavar": "HOW", "help": f"{SCORE_HELP} (bbox)"},
    "--nms-area": {"metavar": "HOW", "help": f"{AREA_HELP} (joints)"},
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
    "--fail-drop": _gates(drop_gate, "0.002", f"{_DROP}; repeatable"),
    "--bootstrap": {"metavar": "N", "type": whole(1), "default": 1000, "help": "replicates (1000)"},
    "--seed": {"type": int, "default": 0, "help": "of the bootstrap (0)"},
    "--check": _flag("check both files, evaluate nothing"),
    "--format": {"choices": ("text", "json"), "default": "text"},
    "--out": {"type": Path, "help": "write there instead of to stdout"},
    "--digits": {"type": whole(0, 17), "default": 3, "help": "of the numbers in tables (3)"},
    "--quiet": _flag("no warnings"),
    "--breakdown": _flag("keypoints, groups, errors in text and JSON (md and html have them)"),
    "--images-dir": {"type": Path, "metavar": "FOLDER", "help": "show the worst images, in html"},
    "--matches": {"type": Path, "metavar": "F.json", "help": "OKS and matches of every image"},
    "--curves": {"type": Path, "metavar": "F.csv", "help": "precision and score at each recall"},
    "--per-image": {"type": Path, "metavar": "F.csv", "help": "right, wrong, missed of each image"},
}
SETTINGS = {"what is evaluated": EVALUATED, "NMS and rescoring, before the evaluation": SUPPRESSION}
OUTPUT = ("--format", "--out", "--digits", "--quiet")
RESULTS = {"results": "a list of rows as JSON or JSON lines, .gz or not; - is stdin"}


def command_parser(
    name: str,
    description: str,
    files: Mapping[str, str],
    groups: Mapping[str, Iterable[str]],
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Return the parser of a command: its files, and options of the table by group.

    changes: what an option has here instead.
    """
    found = argparse.ArgumentParser(
        prog=f"pose-eval {name}".strip(),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for file, text in files.items():
        found.add_argument(file, help=text)
    for title, options in groups.items():
        group = found.add_argument_group(title)
        for option in options:
            flags = ("-o", option) if option == "--out" else (option,)
            group.add_argument(*flags, **OPTIONS[option] | dict((changes or {}).get(option, {})))
    return found


def evaluator_of(args: argparse.Namespace, results: Sequence[str]) -> Evaluator:
    """Return an evaluator with the settings asked for."""
    if [args.gt, *results].count("-") > 1:
        raise SettingsError("only one file can come from the standard input")
    # The options of the table are its arguments.
    names = [option[2:].replace("-", "_") for option in EVALUATED]
    how = {name: getattr(args, name) for name in names if name not in ("gt", "category")}
    return Evaluator(args.gt, categories=args.category, **how)


def read_reports(args: argparse.Namespace, *results: str) -> list[Report]:
    """Evaluate results files on one ground truth; prints the warnings unless `quiet`.

    Files of the same name are told apart by their paths.
    """
    how = parse_suppression(args.nms, args.score, args.nms_area)
    evaluator = evaluator_of(args, results)
    names = [Path(path).name for path in results]
    reports = []
    for path, name in zip(results, names, strict=True):
        evaluator.reset()
        evaluator.update(path, name=path if names.count(name) > 1 else "")
        reports.append(evaluator.compute(how if args.nms or args.score else None))
    warn((line for report in reports for line in report.warnings), args.quiet)
    return reports


def warn(warnings: Iterable[str], quiet: bool = False) -> None:
    """Print warnings to the standard error, each once."""
    for warning in () if quiet else dict.fromkeys(warnings):
        print(f"warning: {warning}", file=sys.stderr)


def too_low(stats: Mapping[str, float | None], gates: Iterable[tuple[str, float]]) -> list[str]:
    """Return one line for each number below its limit; raises SettingsError for unknown names."""
    lines = []
    for name, limit in gates:
        value = gated(stats, name)
        if value is None:
            lines.append(f"{name} has no value here, so it is not known to reach {limit:g}")
        elif value < limit:
            lines.append(f"{name} is {value:.6f}, below {limit:g}")
    return lines


def gated(stats: Mapping[str, float | None], name: str) -> float | None:
    """Return the number that a gate is about; raises SettingsError that lists the names."""
    if name not in stats:
        known = ", ".join(stats)
        raise SettingsError(f"a gate is about {name!r}, which is not measured; there are {known}")
    return stats[name]


def exit_code(failures: Sequence[str]) -> int:
    """Print the gates that failed; returns the exit code."""
    for failure in failures:
        print(f"pose-eval: gate failed: {failure}", file=sys.stderr)
    return 3 if failures else 0


def as_json(content: Any) -> str:
    """Return a value as JSON."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def by_category(
    report: Report, found: Mapping[str, Any], args: argparse.Namespace, text: Callable[..., str]
) -> str:
    """Return what each category has by its name, in the format asked for; a single one alone."""
    one = len(report.gt.categories) == 1
    if args.format == "json":
        sections = {name: each.section() for name, each in found.items()}
        return as_json(next(iter(sections.values())) if one else sections)
    texts = {name: text(each, args.digits) for name, each in found.items()}
    if one:
        return next(iter(texts.values()))
    return "\n".join(f"category {name}\n{each}" for name, each in texts.items())


def emit(content: str, out: Path | None) -> None:
    """Print, or write a file whole or not at all; raises SettingsError."""
    if out is None:
        sys.stdout.write(content)
        return
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(content, encoding="utf-8", newline="")
        os.replace(temporary, out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {out}: {error.strerror}") from None
