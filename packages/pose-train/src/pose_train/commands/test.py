"""pose-train test SOURCE: evaluate a trained network by the published protocol."""

import argparse
from pathlib import Path

from pose_data.errors import printable
from pose_train.commands.options import COUNT, OFFLINE, add_overrides

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
