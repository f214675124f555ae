"""pose-eval nms RAW -o OUT: remove duplicate detections from a results file, and rescore."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pose_eval.coco.suppress import Suppression, parse_suppression, suppress
from pose_eval.commands import options
from pose_eval.commands.check import assumed
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.results import parse_rows, read_results
from pose_eval.io.source import name_of, read_bytes
from pose_eval.settings import Settings
from pose_eval.sigmas import sigmas_of_categories


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    how = parse_suppression(args.nms or "oks", args.score, args.nms_area, args.max_dets)
    name = name_of(args.file, "results")
    rows = parse_rows(read_bytes(args.file, name), name)
    found = _suppressed(rows, name, args, how) if rows != [] else []
    text = "[\n" + ",\n".join(json.dumps(row) for row in found) + "\n]\n" if found else "[]\n"
    options.emit(text, args.out)
    if args.out is not None:
        print(f"{args.out}: {len(found)} of {len(rows)} rows")
    return 0


def _suppressed(
    rows: Any, name: str, args: argparse.Namespace, how: Suppression
) -> list[dict[str, Any]]:
    """Return the rows that remain; raises ResultsError naming the row that is bad."""
    gt = assumed(rows, name) if args.gt is None else read_ground_truth(args.gt)[0]
    table, warnings = read_results(rows, gt, name=name)
    options.warn(warnings)
    used = np.unique(table.category)
    settings = Settings(sigmas_of_categories(args.sigmas, gt.categories, None, "coco", used))
    kept = suppress(table, settings, how)
    # Whatever else a row holds stays in it; only the score is new.
    return [
        {**rows[row], "score": score}
        for row, score in zip(kept.row.tolist(), kept.scores.tolist(), strict=True)
    ]


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    names = "annotations: the names of categories, if --sigmas has names"
    most = "of an image, for soft (20) and nearby (30, 0: all)"
    return options.command_parser(
        "nms",
        "Remove duplicate detections; rows are written image by image, in the order of the NMS, "
        "with all their keys.",
        {"file": "a list of rows; - is stdin"},
        {"NMS and rescoring": (*options.SUPPRESSION, "--sigmas", "--gt", "--max-dets", "--out")},
        {
            "--nms": {"help": "oks:0.9, soft:0.9, nearby:0.05 or none (oks)"},
            "--gt": {"required": False, "help": names},
            "--max-dets": {"default": None, "help": most},
        },
    )
