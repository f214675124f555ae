"""test: evaluate a trained network by the published protocol."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pose_data.errors import printable
from pose_train.config.schema import ConfigError
from pose_train.cores import settle_threads
from pose_train.distributed import joined
from pose_train.files.write import write_text
from pose_train.inference.evaluate import check_evaluation, evaluate_rows
from pose_train.inference.load import load_tested, load_trained, predict_rows
from pose_train.inference.people import csv_text
from pose_train.recipes import RECIPES
from pose_train.recipes.data import notes
from pose_train.report import MULTI_SCALE, departures, published_row


def main(args: argparse.Namespace) -> int:
    """Run the command; under torchrun the processes share the work, and the first one prints."""
    short = {
        "data.root": args.data_root,
        "eval.batch_size": args.batch_size,
        "train.num_workers": args.workers,
        "eval.multi_scale": list(MULTI_SCALE) if args.multi_scale else None,
    }
    overrides = [f"{key}={value}" for key, value in short.items() if value is not None]
    if args.data_root is not None:
        overrides.append("data.synthetic=null")
    overrides += args.overrides
    if args.out is not None and args.out.suffix.lower() not in WRITERS:
        raise ConfigError(f"--out {args.out}: rows are written as {' or '.join(WRITERS)}")
    # On the CPU first: which GPU is this process's own shows once the processes have met.
    trained = load_trained(args.source, weights=args.weights, overrides=overrides, device="cpu")
    config = trained.config
    recipe = RECIPES[config.recipe]
    if args.multi_scale and recipe.unit == "persons":
        raise ConfigError(f"--multi-scale is for bottom-up networks, and {args.source} is top-down")
    settle_threads(config.train.num_threads, config.train.num_workers)
    with joined(config.train.device) as (ranks, device):
        trained.net.to(device)
        val, boxes = load_tested(config)
        check_evaluation(trained.skeleton, val, recipe.unit)
        if ranks.is_first:
            count = f", {len(boxes)} boxes" if recipe.unit == "persons" else ""
            epoch = "" if trained.epoch is None else f"; after epoch {trained.epoch}"
            size = f"{len(val.image_ids)} images{count}{epoch}"
            lines = [f"note: {note}" for note in trained.notes]
            lines += [f"{trained.weights} on {val.annotation_file}: {size}", *notes(val, boxes)]
            print(printable("\n".join(lines)), flush=True)
        rows = predict_rows(trained, val, boxes, ranks, device)
        report = evaluate_rows(rows, val)
    if not ranks.is_first:
        return 0
    for text in report.warnings:
        print(printable(f"warning: {text}"))
    published = published_row(config, val.skeleton)
    print(beside_published(report.stats, published, args.digits))
    if published is not None:
        for text in departures(config, trained.weights):
            print(f"note: {text}")
    if args.out is not None:
        write_text(args.out, WRITERS[args.out.suffix.lower()](rows, val.skeleton.keypoints))
        print(f"{len(rows)} rows in {args.out}")
    return 0


def beside_published(
    stats: Mapping[str, float | None], published: Mapping[str, float] | None, digits: int = 3
) -> str:
    """Return the ten numbers, one a line, beside those published, if any, and the difference."""
    width = digits + 4
    head = f"{'published':>12}{'difference':>{width + 6}}" if published else ""
    lines = [f"{'':6}{'ours':>{width}}{head}"]
    for name, value in stats.items():
        line = f"{name:6}{'-' if value is None else f'{value:.{digits}f}':>{width}}"
        theirs = published.get(name) if published else None
        if theirs is not None:
            line += f"{theirs:>12.3f}"
            line += "" if value is None else f"{value - theirs:>+{width + 6}.{digits}f}"
        lines.append(line)
    return "\n".join(lines)


def as_json(rows: Sequence[Mapping[str, Any]], keypoints: Sequence[str]) -> str:
    """Return result rows as COCO's tools read them."""
    return json.dumps(rows)


def as_csv(rows: Sequence[Mapping[str, Any]], keypoints: Sequence[str]) -> str:
    """Return result rows as a table, with three columns for each keypoint: x, y and score."""
    columns = ["image_id", "category_id", "score", "bbox_x", "bbox_y", "bbox_w", "bbox_h"]
    columns += [f"{name}_{of}" for name in keypoints for of in ("x", "y", "score")]
    lines = []
    for row in rows:
        numbers = [*row.get("bbox", [None] * 4), *row["keypoints"]]
        lines.append([row["image_id"], row["category_id"], row["score"], *numbers])
    return csv_text([columns, *lines])


WRITERS = {".json": as_json, ".csv": as_csv}
