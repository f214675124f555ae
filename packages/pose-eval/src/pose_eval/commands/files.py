"""What needs no evaluation: pose-eval check, nms and sigmas."""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pose_eval.coco.suppress import Suppression, parse_suppression, suppress
from pose_eval.coco.tables import GroundTruth, ResultsError
from pose_eval.commands.evaluate import emit, emit_checked, warn
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.results import parse_rows, read_results
from pose_eval.io.rows import Problem, read_id
from pose_eval.io.source import name_of, parse_json, read_bytes
from pose_eval.render.table import text_table
from pose_eval.settings import Settings
from pose_eval.sigmas import Spread, sigmas_of_categories, spread


def check(args: argparse.Namespace) -> int:
    """Run the command; raises ResultsError."""
    name, area = name_of(args.file, "file"), args.area or "ann"
    content: Any = args.file
    if args.gt is None:
        content = _content(args.file, name, parse_rows)
    if isinstance(content, Mapping):
        gt, warnings = read_ground_truth(content, area_from=area, name=name)
        counts = {"annotations": len(gt.ids), "images": len(gt.image_ids)}
    else:
        gt, warnings = _assumed(content, name), []
        if args.gt is not None:
            gt, warnings = read_ground_truth(args.gt, area_from=area)
        table, notes = read_results(content, gt, name=name)
        warnings += notes
        counts = {"rows": len(table.row), "images": len(set(table.image.tolist()))}
    emit_checked(name, counts, warnings, args)
    return 0


def _content(file: str, name: str, parse: Callable[[bytes, str], Any]) -> Any:
    """Return the list or object in a file; raises ResultsError.

    Text would go on as a path: a file would choose which other file is read.
    """
    content = parse(read_bytes(file, name), name)
    if not isinstance(content, list | dict):
        raise ResultsError(
            f"{name} must be a list of results or a COCO object, got {type(content).__name__}"
        )
    return content


def _assumed(rows: Any, name: str) -> GroundTruth:
    """Return ground truth that knows every image and category of the rows, and no persons.

    The number of keypoints of a category is that of its first row.
    """
    rows = rows if isinstance(rows, list) else []
    images: dict[Any, None] = {}
    joints: dict[Any, int] = {}
    for row in rows:
        keypoints = row.get("keypoints") if isinstance(row, Mapping) else None
        if isinstance(keypoints, list) and keypoints:
            image, category = _id(row.get("image_id")), _id(row.get("category_id"))
            images |= {} if image is None else {image: None}
            if category is not None:
                joints.setdefault(category, len(keypoints) // 3)
    if rows and not (images and joints):
        raise ResultsError(f"{name} holds no row with image_id, category_id and keypoints")
    categories = [
        {"id": key, "keypoints": [f"joint {k}" for k in range(count)]}
        for key, count in (joints or {1: 1}).items()
    ]
    ids = [{"id": key} for key in images or {0: None}]
    content = {"images": ids, "categories": categories, "annotations": []}
    return read_ground_truth(content)[0]


def _id(value: Any) -> Any:
    """Return an id, None for what is none: the row is refused for it elsewhere."""
    try:
        return read_id("id", value, Counter())
    except Problem:
        return None


def nms(args: argparse.Namespace) -> int:
    """Run the command."""
    how = parse_suppression(args.nms or "oks", args.score, args.nms_area, args.max_dets)
    name = name_of(args.file, "results")
    rows = _content(args.file, name, parse_rows)
    found = _suppressed(rows, name, args, how) if rows != [] else []
    text = "[\n" + ",\n".join(json.dumps(row) for row in found) + "\n]\n" if found else "[]\n"
    emit(text, args.out)
    if args.out is not None:
        print(f"{args.out}: {len(found)} of {len(rows)} rows")
    return 0


def _suppressed(
    rows: Any, name: str, args: argparse.Namespace, how: Suppression
) -> list[dict[str, Any]]:
    """Return the rows that remain; raises ResultsError naming the row that is bad."""
    gt = _assumed(rows, name) if args.gt is None else read_ground_truth(args.gt)[0]
    table, warnings = read_results(rows, gt, name=name)
    warn(warnings, args.quiet)
    used = np.unique(table.category)
    settings = Settings(sigmas_of_categories(args.sigmas, gt.categories, None, "coco", used))
    kept = suppress(table, settings, how)
    # Whatever else a row holds stays in it; only the score is new.
    return [
        {**rows[row], "score": score}
        for row, score in zip(kept.row.tolist(), kept.scores.tolist(), strict=True)
    ]


def sigmas(args: argparse.Namespace) -> int:
    """Run the command; raises ResultsError."""
    name = name_of(args.file, "annotations")
    content = _content(args.file, name, parse_json)
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
    emit(json_text if args.format == "json" else _sigmas_text(found, names), args.out)
    return 0


def _sigmas_text(found: Spread, names: Sequence[str]) -> str:
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
