"""Evaluate a trained network by the published protocol."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pose_train.config import Config, ConfigError

MULTI_SCALE = (2, 1, 0.5)  # of the published tests at several sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("source", help="a preset, a YAML file, a run directory or a checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. eval.boxes=gt")
    parser.add_argument("--weights", help="checkpoint to test; not needed for a run directory")
    parser.add_argument("--data-root", help="the folder laid out like COCO; same as data.root=")
    parser.add_argument(
        "--multi-scale", action="store_true", help="bottom-up: at 2, 1 and 0.5 times the size"
    )
    parser.add_argument("--out", type=Path, help="write the results (COCO rows) to this JSON file")
    parser.add_argument("--batch-size", type=int, help="same as eval.batch_size=")
    parser.add_argument("--workers", type=int, help="same as train.num_workers=")


def main(args: argparse.Namespace) -> int:
    """Run the command; under torchrun the processes share the work, and the first one prints."""
    import json

    from pose_train.ranks import joined
    from pose_train.rundir import write_text
    from pose_train.testing import evaluate_rows
    from pose_train.trained import load_tested, load_trained, predict_rows

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
    # On the CPU first: which GPU is this process's own shows once the processes have met.
    trained = load_trained(args.source, weights=args.weights, overrides=overrides, device="cpu")
    config = trained.config
    if args.multi_scale and config.recipe == "topdown":
        raise ConfigError(f"--multi-scale is for bottom-up networks, and {args.source} is top-down")
    with joined(config.train.device) as (ranks, device):
        trained.net.to(device)
        val, boxes = load_tested(config)
        if ranks.is_first:
            count = f", {len(boxes)} boxes" if config.recipe == "topdown" else ""
            print(
                f"{trained.weights} on {val.annotation_file}: {len(val.image_ids)} pictures{count}",
                flush=True,
            )
        rows = predict_rows(trained, val, boxes, ranks, device)
        report = evaluate_rows(rows, val)
    if not ranks.is_first:
        return 0
    for text in report.warnings:
        print(f"warning: {text}")
    published = published_stats(trained.preset, config.eval.multi_scale)
    print(beside_published(report.stats, published))
    if trained.preset is not None:
        for text in departures(config, trained.preset, trained.weights):
            print(f"note: {text}")
    if args.out is not None:
        write_text(args.out, json.dumps(rows))
        print(f"{len(rows)} rows in {args.out}")
    return 0


def beside_published(
    stats: Mapping[str, float | None], published: Mapping[str, float] | None
) -> str:
    """Return the ten numbers, one a line, beside those published, if any, and the difference."""
    lines = [f"{'':6}{'ours':>7}" + (f"{'published':>12}{'difference':>13}" if published else "")]
    for name, value in stats.items():
        line = f"{name:6}{'-' if value is None else f'{value:.3f}':>7}"
        theirs = published.get(name) if published else None
        if theirs is not None:
            line += f"{theirs:>12.3f}"
            line += "" if value is None else f"{value - theirs:>+13.3f}"
        lines.append(line)
    return "\n".join(lines)


def published_stats(
    preset: str | None, multi_scale: Sequence[float] = (1.0,)
) -> Mapping[str, float] | None:
    """Return what was published for a preset of the zoo, tested at one size or at several."""
    from pose_backbones import ZOO

    if preset is None:
        return None
    several = sorted(multi_scale) == sorted(MULTI_SCALE)
    return ZOO[preset].stats_multi_scale if several else ZOO[preset].stats


def departures(config: Config, preset: str, weights: Path) -> list[str]:
    """Say in what a test is not the one whose numbers were published."""
    from pose_backbones import ZOO, local_weights
    from pose_backbones.reading import sha256
    from pose_train.read_config import load_config

    published, ours = (_of_the_test(each) for each in (load_config(preset), config))
    if sorted(config.eval.multi_scale) == sorted(MULTI_SCALE):  # published, too
        published["eval.multi_scale"] = config.eval.multi_scale
    notes = []
    changed = [f"{key}={ours[key]}" for key in ours if ours[key] != published.get(key)]
    if changed:
        notes.append(f"not the published test: {', '.join(changed)}")
    if weights != local_weights(preset):  # which was verified when it was found
        prefix, digest = ZOO[preset].sha256_prefix, sha256(weights)
        if not digest.startswith(prefix):
            notes.append(
                f"not the published file: the SHA-256 of {weights} starts with {digest[:8]}, that "
                f"of the published one with {prefix}"
            )
    return notes


def _of_the_test(config: Config) -> dict[str, Any]:
    """Return what decides over the result of a test, by key."""
    data, evaluation, whole = config.data, config.eval, asdict(config)
    values = {
        f"{section}.{key}": value
        for section in ("model", "codec", "grouping")
        for key, value in whole[section].items()
        if key not in ("weights", "reinit_head")
    }
    for key in ("flip_test", "boxes", "nms", "nms_threshold", "multi_scale"):
        values[f"eval.{key}"] = getattr(evaluation, key)
    for key in ("score_threshold", "per_image"):
        values[f"data.detections.{key}"] = getattr(data.detections, key)
    if data.detections.file is not None:  # wherever it lies
        values["data.detections.file"] = Path(data.detections.file).name
    values |= {"data.warp": data.warp, "data.decode": data.decode, "train.amp": config.train.amp}
    return values
