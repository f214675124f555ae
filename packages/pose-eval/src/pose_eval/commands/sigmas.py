"""pose-eval sigmas FILE: sigmas from repeated annotations of the same persons."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_eval.analysis.spread import Spread, spread
from pose_eval.coco.tables import GroundTruth, ResultsError
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.source import name_of, parse_json, read_bytes
from pose_eval.render.text import emit


def run(argv: Sequence[str]) -> int:
    """Run the command; raises ResultsError."""
    args = parser().parse_args(argv)
    name = name_of(args.file, "annotations")
    content = parse_json(read_bytes(args.file, name), name)
    rows = content.get("annotations") if isinstance(content, dict) else None
    if isinstance(rows, list) and any(isinstance(r, dict) and r.get("id") is None for r in rows):
        rows = [{**r, "id": n} if isinstance(r, dict) else r for n, r in enumerate(rows)]
        content = {**content, "annotations": rows}
    gt, _ = read_ground_truth(content, area_from=args.area, name=name)
    if len(gt.categories) != 1:
        raise ResultsError(f"{name} has {len(gt.categories)} categories with joints; give one")
    person = _persons(content["annotations"], gt, args.by, name)
    found = spread(gt.keypoints, gt.area, person)
    names = gt.categories[0].joint_names
    without = [names[k] for k in np.flatnonzero(found.repeats == 0)]
    if without:
        raise ResultsError(f"{name}: no person has {', '.join(without)} annotated twice")
    if args.format == "json":
        output = json.dumps(found.sigmas.tolist()) + "\n"
    else:
        output = text(found, names)
    emit(output, args.out)
    return 0


def text(found: Spread, names: Sequence[str]) -> str:
    """Return a line for each joint, and the list that --sigmas takes."""
    wide = max(5, *(len(name) for name in names))
    lines = [f"{'joint':{wide}s}   sigma  +-      repeats"]
    for name, sigma, repeats in zip(names, found.sigmas, found.repeats, strict=True):
        # d^2 has two normal parts, so sigma^2 has 2 degrees of freedom for each repeat.
        lines.append(
            f"{name:{wide}s} {sigma:7.4f} {sigma / np.sqrt(4 * repeats):7.4f} {repeats:8d}"
        )
    lines += ["", f"{found.persons} persons are annotated more than once", ""]
    return "\n".join(lines) + "--sigmas " + ",".join(f"{s:.4f}" for s in found.sigmas) + "\n"


def _persons(rows: Any, gt: GroundTruth, key: str, name: str) -> Any:
    """Return the number of the person of each annotation of gt; raises ResultsError."""
    by_id = {
        row["id"]: (number, row)
        for number, row in enumerate(rows)
        if isinstance(row["id"], int | float | str)  # boxes of other categories may have any
    }
    numbers: dict[tuple[Any, str], int] = {}
    found = []
    for annotation, image in zip(gt.ids.tolist(), gt.image.tolist(), strict=True):
        number, row = by_id[annotation]
        value = _value(row, key)
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise ResultsError(
                f"{name} annotation {number} (id {annotation}): {key} must be an integer or a "
                f"string that the annotations of one person share, got {value!r}"
            )
        found.append(numbers.setdefault((image, repr(value)), len(numbers)))
    return np.array(found, np.int64)


def _value(row: Any, path: str) -> Any:
    """Return what a row holds under a key, or under KEY.KEY in the objects within."""
    if path in row:
        return row[path]
    key, dot, rest = path.partition(".")
    inner = row.get(key)
    return _value(inner, rest) if dot and isinstance(inner, dict) else None


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    found = argparse.ArgumentParser(
        prog="pose-eval sigmas",
        description="Print the sigmas of joints from a COCO annotation file in which the same "
        "persons are annotated several times.",
    )
    found.add_argument("file", help="COCO annotations; - is stdin")
    found.add_argument(
        "--by",
        metavar="KEY",
        default="person_id",
        help="key of an annotation that is the same for one person of an image (person_id); "
        "attributes.KEY for one of its attributes",
    )
    found.add_argument("--area", choices=("ann", "bbox"), default="ann", help="as in pose-eval")
    found.add_argument("--format", choices=("text", "json"), default="text")
    found.add_argument("-o", "--out", type=Path, help="write there instead of to stdout")
    return found
