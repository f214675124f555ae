"""pose-train test SOURCE: evaluate a trained network by the published protocol."""

import argparse
import json
from pathlib import Path

from pose_train.commands.options import COUNT, JSON, OFFLINE, add_overrides, aside
from pose_train.words import note

HELP = "Evaluate a trained network by the published protocol."
EXAMPLES = """pose-train test runs/mine --out results.json
pose-train test hrnet_w32_coco_256x192 --data-root COCO"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", help="a preset, a YAML file, a run directory, a checkpoint or hf://USER/NAME")
    add_overrides(parser, "e.g. eval.boxes=gt")
    add("--weights", help="checkpoint to test; not needed for a run directory")
    add("--data-root", help="the folder laid out like COCO; same as data.root=")
    add("--multi-scale", action="store_true", help="bottom-up: at scales 2, 1 and 0.5")
    add("--out", type=Path, help="write the result rows: COCO's JSON (.json) or .csv")
    add("--digits", **COUNT, default=3, choices=range(1, 9), help="1 to 8; default 3")
    add("--batch-size", type=int, help="same as eval.batch_size=")
    add("--workers", type=int, help="same as train.num_workers=")
    add("--offline", **OFFLINE)
    add("--json", **JSON)


def run(args: argparse.Namespace) -> int:
    """Run the command; under torchrun the processes share the work, and the first one prints."""
    from pose_train.config.schema import ConfigError
    from pose_train.cores import settle_threads
    from pose_train.distributed import joined
    from pose_train.files.write import write_text
    from pose_train.inference.evaluate import check_evaluation, evaluate_rows
    from pose_train.inference.load import load_tested, load_trained, predict_rows
    from pose_train.inference.rows import WRITERS
    from pose_train.recipes import RECIPES
    from pose_train.recipes.data import notes
    from pose_train.report import MULTI_SCALE, beside_published, departures, published_row

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
    with aside(args):
        settle_threads(config.train.num_threads, config.train.num_workers)
        with joined(config.train.device) as (ranks, device):
            trained.net.to(device)
            val, boxes = load_tested(config)
            check_evaluation(trained.skeleton, val, recipe.unit)
            said = [f"note: {text}" for text in trained.notes]
            count = f", {len(boxes)} boxes" if recipe.unit == "persons" else ""
            epoch = "" if trained.epoch is None else f"; after epoch {trained.epoch}"
            size = f"{len(val.image_ids)} images{count}{epoch}"
            said += [f"{trained.weights} on {val.annotation_file}: {size}", *notes(val, boxes)]
            note(*(said if ranks.is_first else ()))
            rows = predict_rows(trained, val, boxes, ranks, device)
            report = evaluate_rows(rows, val)
    if not ranks.is_first:
        return 0
    published = published_row(config, val.skeleton)
    differing = [] if published is None else departures(config, trained.weights)
    if args.out is not None:
        write_text(args.out, WRITERS[args.out.suffix.lower()](rows, val.skeleton.keypoints))
    if args.json:
        facts = {
            "weights": str(trained.weights),
            "epoch": trained.epoch,
            "annotations": str(val.annotation_file),
            "images": len(val.image_ids),
            "boxes": len(boxes) if recipe.unit == "persons" else None,
            "rows": len(rows),
            "out": None if args.out is None else str(args.out),
            "stats": dict(report.stats),
            "published": None if published is None else dict(published),
            "departures": differing,
            "warnings": list(report.warnings),
        }
        print(json.dumps(facts, indent=1))
        return 0
    note(*(f"warning: {text}" for text in report.warnings))
    print(beside_published(report.stats, published, args.digits))
    note(*(f"note: {text}" for text in differing))
    if args.out is not None:
        print(f"{len(rows)} rows in {args.out}")
    return 0
