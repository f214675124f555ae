"""pose-eval sigmas FILE: sigmas from repeated annotations of the same persons."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pose_eval.analysis.spread import Spread, spread
from pose_eval.coco.tables import GroundTruth, ResultsError
from pose_eval.commands import options
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.source import name_of, parse_json, read_bytes
from pose_eval.render.table import text_table


def run(argv: Sequence[str]) -> int:
    """Run the command; raises ResultsError."""
    args = parser().parse_args(argv)
    name = name_of(args.file, "annotations")
    content = parse_json(read_bytes(args.file, name), name)
    rows = content.get("annotations") if isinstance(content, dict) else None
    if isinstance(rows, list) and any(isinstance(r, dict) and r.get("id") is None for r in rows):
        rows = [{**r, "id": n} if isinstance(r, dict) else r for n, r in enumerate(rows)]
        content = {**content, "annotations": rows}
    gt, _ = read_ground_truth(content, area_from=args.area or "ann", name=name)
    if len(gt.categories) != 1:
        raise ResultsError(f"{name} has {len(gt.categories)} categories with keypoints; give one")
    person = _persons(content["annotations"], gt, args.by, name)
    found = spread(gt.keypoints, gt.area, person)
    names = gt.categories[0].joint_names
    without = [names[k] for k in np.flatnonzero(found.repeats == 0)]
    if without:
        raise ResultsError(f"{name}: no person has {', '.join(without)} annotated twice")
    json_text = json.dumps(found.sigmas.tolist()) + "\n"
    options.emit(json_text if args.format == "json" else text(found, names), args.out)
    return 0


def text(found: Spread, names: Sequence[str]) -> str:
    """Return a line for each keypoint, and the list that --sigmas takes."""
    rows = [["keypoint", "sigma", "+-", "repeats"]]
    for name, sigma, repeats in zip(names, found.sigmas, found.repeats, strict=True):
        # d^2 has two normal parts, so sigma^2 has 2 degrees of freedom for each repeat.
        error = sigma / np.sqrt(4 * repeats)
        rows.append([name, f"{sigma:.4f}", f"{error:.4f}", str(repeats)])
    listed = ",".join(f"{sigma:.4f}" for sigma in found.sigmas)
    count = f"{found.persons} persons are annotated more than once"
    return "\n".join([*text_table(rows), "", count, "", f"--sigmas {listed}", ""])


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
    return options.command_parser(
        "sigmas",
        "Print the sigmas of keypoints from a COCO annotation file in which the same persons are\n"
        "annotated several times.",
        {"file": "COCO annotations; - is stdin"},
        {"sigmas": ("--by", "--area", "--format", "--out")},
    )
