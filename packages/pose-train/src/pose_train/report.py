"""The page of a run: pose-eval's page of its evaluation, with facts, curves and config.

And the published numbers beside it: of which row they are, and where a test departs from that.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pose_backbones import ZOO, local_weights
from pose_backbones.checkpoint_files import sha256
from pose_data import COCO, DatasetError, Persons, Skeleton
from pose_data.images.decode import read_picture
from pose_data.opencv import cv2
from pose_eval import Report, analyse, cards, figures, line_chart, page
from pose_eval.analysis.breakdown import worst_images
from pose_eval.render.html import SHOWN
from pose_train.config.load import load_config
from pose_train.config.schema import Config
from pose_train.files.write import write_text

MULTI_SCALE = (2, 1, 0.5)  # of the published tests at several sizes
SPREAD = 8  # images at most, besides the worst
WIDEST = 960  # pixels of an image
Metrics = Sequence[Mapping[str, Any]]
# What records of training hold and the named charts show, or nobody wants to see; whatever else a
# recipe records gets a chart of its own.
DRAWN = {"kind", "epoch", "step", "lr", "images_per_s", "data_share", "seconds"}
DRAWN |= {"loss", "heatmap_loss", "push_loss", "pull_loss"}


def write_report(
    run_dir: Path,
    config: Config,
    metrics: Metrics,
    facts: Sequence[tuple[str, str]] = (),
    evaluation: Report | None = None,
    persons: Persons | None = None,
) -> Path:
    """Write curve_*.svg and the self-contained report.html; return the page's path.

    metrics: the records of metrics.jsonl. facts: names and values that stand below the title.
    persons: the evaluated set. Without an evaluation the page has the curves of the training alone.
    Raises RunDirError.
    """
    charts = _charts(metrics)
    for name, (title, series) in charts.items():
        svg = line_chart(title, "epoch", series, standalone=True)
        write_text(run_dir / f"curve_{name}.svg", svg)
    curves = cards(*((title, line_chart(title, "epoch", s)) for title, s in charts.values()))
    text = escape((run_dir / "config.yaml").read_text(encoding="utf-8"))
    above = [("Learning curves", curves)]
    below = [("Config", cards(("", f"<pre>{text}</pre>")))]
    if evaluation is None or persons is None:
        facts = [*facts, ("not evaluated", "the config says eval: null")]
        html = page(None, title=run_dir.name, facts=facts, above=above, below=below)
    else:
        facts = [*facts, ("evaluated with", _protocol(config))]
        published = published_row(config, persons.skeleton)
        if published is not None:
            note = f'<p class="note">{_about_published(config)}</p>'
            above.insert(0, ("Published numbers", note))
        analysis = analyse(evaluation, replicates=0)
        with TemporaryDirectory() as images:
            folder, rows = Path(images), analysis.categories[0].images
            shown = _spread(rows)
            worst = [row["image_id"] for row in worst_images(rows, SHOWN)]
            _write_images(folder, config, persons, [*worst, *(image_id for image_id, _ in shown)])
            below.insert(0, ("Images of the evaluated set", figures(analysis, shown, folder)))
            html = page(
                analysis,
                images_dir=folder,
                title=run_dir.name,
                facts=facts,
                published=published,
                above=above,
                below=below,
            )
    write_text(run_dir / "report.html", html)
    return run_dir / "report.html"


def _write_images(folder: Path, config: Config, persons: Persons, image_ids: Sequence[int]) -> None:
    """Write images by their names, as the network reads them and no larger than a page needs.

    Browsers show neither TIFF nor the bits that are in use of 16, and turn images by EXIF whatever
    the annotations are of. What cannot be read is left out.
    """
    rows = {int(image_id): row for row, image_id in enumerate(persons.image_ids.tolist())}
    for image_id in set(image_ids):
        name = str(persons.file_names[rows[image_id]])
        width, height = persons.image_sizes[rows[image_id]].tolist()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):  # a name may lead out of its folder
            path = folder / path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(DatasetError):
            image = read_picture(
                persons.image_dir / name,
                (width, height),
                exif=config.data.exif,
                bits=config.data.bits,
            ).pixels
            factor = min(1.0, WIDEST / max(image.shape[:2]))
            small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 88])
            path.write_bytes(encoded.tobytes())


def _charts(metrics: Metrics) -> dict[str, tuple[str, dict[str, list[tuple[float, float]]]]]:
    """Return the learning curves: title and named lines of each."""
    train = [record for record in metrics if record["kind"] == "train"]
    val = [record for record in metrics if record["kind"] == "val"]

    def line(records: Metrics, key: str) -> list[tuple[float, float]]:
        return [(record["epoch"], record[key] or 0.0) for record in records if key in record]

    losses = {
        "training": line(train, "loss"),
        "validation": line(val, "loss"),
        "heatmaps": line(train, "heatmap_loss"),
    }
    charts = {
        "loss": ("loss" if losses["validation"] else "training loss", losses),
        "tags": (
            "losses of tags",
            {name: line(train, f"{name}_loss") for name in ("push", "pull")},
        ),
        "ap": ("evaluation", {"AP": line(val, "AP"), "AR": line(val, "AR")}),
        "lr": ("learning rate", {"": line(train, "lr")}),
        "speed": ("images per second", {"": line(train, "images_per_s")}),
    }
    others = sorted({key for record in train for key in record} - DRAWN)
    charts |= {key: (key.replace("_", " "), {"": line(train, key)}) for key in others}
    present = {
        name: (title, {label: points for label, points in series.items() if points})
        for name, (title, series) in charts.items()
    }
    return {name: chart for name, chart in present.items() if chart[1]}


def _spread(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, str]]:
    """Return id and caption of images with persons, spread evenly over the set."""
    rows = [row for row in rows if row["persons"]]
    chosen = np.linspace(0, len(rows) - 1, min(SPREAD, len(rows))).round().astype(int).tolist()
    return [(rows[i]["image_id"], f"mean OKS {rows[i]['oks']:.2f}") for i in chosen]


def _protocol(config: Config) -> str:
    """Return how a run evaluates, in words."""
    settings = config.chosen_eval
    boxes = {"gt": "annotated boxes", "detections": "detected boxes", "image": "whole images"}
    words = [boxes[settings.boxes]] if config.recipe == "topdown" else []
    if config.recipe == "bottomup":
        words.append("scales " + ", ".join(f"{factor:g}" for factor in settings.multi_scale))
    words.append("flip test" if settings.flip_test else "no flip test")
    return ", ".join(words)


def _about_published(config: Config) -> str:
    how = "boxes of a detector with person AP 56.4"
    if config.recipe == "bottomup":
        how = "scales 2, 1, 0.5" if is_multi_scale(config) else "scale 1"
    return (
        f"Published for {escape(str(config.preset))}: COCO val2017 (5,000 images), {how}, flip "
        "test. The difference means something where the same was evaluated alike."
    )


def published_row(config: Config, skeleton: Skeleton) -> Mapping[str, float] | None:
    """Return what was published for a config that is a preset of the zoo or has one as its base.

    skeleton: of the evaluated keypoints; nothing was published for others than COCO's.
    """
    row = ZOO.get(config.preset or "")
    if row is None or skeleton.keypoints != COCO.keypoints:
        return None
    return row.stats_multi_scale if is_multi_scale(config) else row.stats


def departures(config: Config, weights: Path) -> list[str]:
    """Say in what a test is not the one whose row `published_row` returns."""
    preset = str(config.preset)
    published, ours = (_of_the_test(each) for each in (load_config(preset), config))
    if is_multi_scale(config):  # published, too
        published["eval.multi_scale"] = config.chosen_eval.multi_scale
    notes = []
    changed = [f"{key}={ours[key]}" for key in ours if ours[key] != published.get(key)]
    if changed:
        notes.append(f"not the published test: {', '.join(changed)}")
    if weights != local_weights(preset):  # which was verified when it was found
        published_digests, digest = ZOO[preset].digests, sha256(weights)
        if published_digests and not digest.startswith(published_digests):
            notes.append(
                f"not the published file: the SHA-256 of {weights} starts with {digest[:8]}, that "
                f"of the published one with {ZOO[preset].sha256_prefix}"
            )
    return notes


def is_multi_scale(config: Config) -> bool:
    """Return whether a test is at the several sizes of the published ones."""
    return sorted(config.chosen_eval.multi_scale) == sorted(MULTI_SCALE)


def _of_the_test(config: Config) -> dict[str, Any]:
    """Return what decides over the result of a test, by key."""
    data, evaluation, whole = config.data, config.chosen_eval, asdict(config)
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
