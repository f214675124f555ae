"""The page that shows a run: numbers, curves, pictures, config."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from pose_data import Persons
from pose_eval import Report
from pose_train.config.schema import Config
from pose_train.files.write import make_folder, write_bytes, write_text
from pose_train.report.charts import line_chart
from pose_train.report.images import (
    draw_pair,
    find_mistakes,
    spread,
    what_went_wrong,
    worst,
)
from pose_train.report.published import is_multi_scale, published_row

SPREAD, WORST = 8, 8  # pictures at most
STYLE = """
:root { color-scheme: light; --ink: #1f2933; --faint: #616e7c; --line: #e4e7eb }
* { box-sizing: border-box }
body { margin: 0; background: #f5f6f8; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { max-width: 1380px; margin: 0 auto; padding: 28px 20px 60px }
h1 { font-size: 25px; margin: 0 0 2px; overflow-wrap: anywhere }
h2 { font-size: 19px; margin: 34px 0 4px }
.sub, .note, figcaption { color: var(--faint); font-size: 13px }
.sub { margin: 0 0 18px } .note { margin: 4px 0 12px; max-width: 75em }
.card, figure { background: #fff; border: 1px solid var(--line); border-radius: 10px }
.card { padding: 14px 18px; overflow-x: auto }
.ap { font-size: 30px; line-height: 1.2; margin: 0 0 8px; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right }
th { color: var(--faint); font-size: 13px } tr:last-child td { border-bottom: 0 }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
.curves { display: flex; flex-wrap: wrap; gap: 14px; margin-top: 10px }
.curves svg { flex: 1 1 240px; max-width: 430px; height: auto }
.pictures { display: grid; gap: 16px; align-items: start; margin-top: 10px;
  grid-template-columns: repeat(auto-fill, minmax(min(460px, 100%), 1fr)) }
figure { margin: 0; break-inside: avoid; overflow: hidden }
figure img { width: 100%; max-height: 400px; object-fit: contain; background: #23272e;
  display: block }
figcaption { padding: 7px 12px }
figcaption, pre { overflow-wrap: anywhere } figcaption b { color: var(--ink) }
.warning { background: #fff8e1; border: 1px solid #f2d88b; border-radius: 8px; padding: 8px 14px;
  margin: 0 0 8px; font-size: 14px; overflow-wrap: anywhere }
pre { font-size: 13px; margin: 0; white-space: pre-wrap }
"""


class Figure(NamedTuple):
    """A picture of the page: its file, its name in words, and what there is to say of it."""

    path: Path
    name: str
    caption: str


def write_report(
    run_dir: Path,
    config: Config,
    metrics: Sequence[Mapping[str, Any]],
    evaluation: Report | None = None,
    persons: Persons | None = None,
) -> Path:
    """Write curve_*.svg, pictures/ and the self-contained report.html; return the page's path.

    metrics: the records of metrics.jsonl. persons: the evaluated set. Without an evaluation the
    page has the curves of the training alone. Raises RunDirError.
    """
    curves = _curves(metrics)
    for name, svg in curves.items():
        write_text(run_dir / f"curve_{name}.svg", svg)
    head = ['<p class="note">Not evaluated: the config says eval: null.</p>']
    sections: list[str] = []
    if evaluation is not None and persons is not None:
        head = [f'<p class="warning">{escape(text)}</p>' for text in evaluation.warnings]
        head.append(_numbers(config, evaluation, persons))
        folder = run_dir / "pictures"
        sections = _pictures(folder, config, evaluation, persons)
    page = run_dir / "report.html"
    about = f"recipe {config.recipe}, {config.model.name}"
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run_dir.name)}</title>\n<style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(run_dir.name)}</h1>",
        f'<p class="sub">{escape(about)}{_of_preset(config)}</p>',
        *head,
        f'<h2>Learning curves</h2><div class="curves">{"".join(curves.values())}</div>',
        *sections,
        f'<h2>Config</h2><div class="card"><pre>{_config(run_dir)}</pre></div>',
        "</main></body></html>\n",
    ]
    write_text(page, "\n".join(parts))
    return page


def _of_preset(config: Config) -> str:
    return "" if config.preset is None else f", preset {escape(config.preset)}"


def _config(run_dir: Path) -> str:
    return escape((run_dir / "config.yaml").read_text(encoding="utf-8"))


def _curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Draw the learning curves: losses, AP and AR, learning rate, speed."""
    train = [record for record in metrics if record["kind"] == "train"]
    val = [record for record in metrics if record["kind"] == "val"]

    def line(records: list[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
        return [(r["epoch"], r[key] or 0.0) for r in records if key in r]

    losses = {
        "training": line(train, "loss"),
        "validation": line(val, "loss"),
        "heatmaps": line(train, "heatmap_loss"),
    }
    tags = {name: line(train, f"{name}_loss") for name in ("push", "pull")}
    charts = {
        "loss": ("loss" if losses["validation"] else "training loss", losses),
        "tags": ("losses of tags", tags),
        "ap": ("evaluation", {"AP": line(val, "AP"), "AR": line(val, "AR")}),
        "lr": ("learning rate", {"lr": line(train, "lr")}),
        "speed": ("images per second", {"": line(train, "images_per_s")}),
    }
    drawn = {}
    for name, (title, series) in charts.items():
        there = {label: points for label, points in series.items() if points}
        if there:
            drawn[name] = line_chart(title, "epoch", there)
    return drawn


def _numbers(config: Config, evaluation: Report, persons: Persons) -> str:
    """Return AP, and the table of all numbers beside the published ones, if there are any."""
    ours, theirs = evaluation.stats, published_row(config, persons.skeleton)
    rows: list[tuple[str, Iterable[str]]] = [("this run", map(_number, ours.values()))]
    if theirs is not None:
        pairs = [(value, theirs.get(name)) for name, value in ours.items()]
        rows.append(("published", (_number(b, "") for _, b in pairs)))
        rows.append(("difference", (_difference(a, b) for a, b in pairs)))
    head = "".join(f"<th>{escape(name)}</th>" for name in ours)
    body = "".join(
        f"<tr><td>{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    counts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in evaluation.counts.items())
    note = f"COCO keypoint metrics by pose-eval over {counts}; {_protocol(config)}."
    if theirs is not None:
        how = "boxes of a detector with person AP 56.4"
        if config.recipe == "bottomup":
            how = "scales 2, 1, 0.5" if is_multi_scale(config) else "scale 1"
        note += (
            f" Published for {escape(str(config.preset))}: COCO val2017 (5,000 images), {how}, "
            "flip test. The difference means something where the same was evaluated alike."
        )
    return (
        f'<div class="card"><p class="ap">AP {_number(ours["AP"])}</p>'
        f'<table><tr><th></th>{head}</tr>{body}</table></div><p class="note">{note}</p>'
    )


def _number(value: float | None, missing: str = "-") -> str:
    return missing if value is None else f"{value:.3f}"


def _difference(ours: float | None, theirs: float | None) -> str:
    return "" if ours is None or theirs is None else f"{ours - theirs:+.3f}"


def _protocol(config: Config) -> str:
    """Say how it was evaluated."""
    settings = config.chosen_eval
    boxes = {"gt": "annotated boxes", "detections": "detected boxes", "image": "whole pictures"}
    words = [boxes[settings.boxes]] if config.recipe == "topdown" else []
    if config.recipe == "bottomup":
        words.append("scales " + ", ".join(f"{factor:g}" for factor in settings.multi_scale))
    words.append("flip test" if settings.flip_test else "no flip test")
    return ", ".join(words)


def _pictures(
    folder: Path,
    config: Config,
    evaluation: Report,
    persons: Persons,
) -> list[str]:
    """Draw the pictures of the page into a folder; return its sections about them."""
    make_folder(folder)
    mistakes = find_mistakes(evaluation)
    of_wrong = evaluation.gt.image_ids[evaluation.results.image[mistakes.wrong]]
    names = dict(zip(persons.image_ids.tolist(), map(str, persons.file_names), strict=True))
    drawn: dict[int, Path] = {}

    def figure(image_id: int, caption: str) -> Figure:
        if image_id not in drawn:
            stem = re.sub(r"[^\w.-]+", "_", str(Path(names[image_id]).with_suffix("")))
            drawn[image_id] = folder / f"{stem}.jpg"
            data = config.data
            pair = draw_pair(evaluation, persons, image_id, mistakes, data.exif, data.bits)
            _, encoded = cv2.imencode(".jpg", pair, [cv2.IMWRITE_JPEG_QUALITY, 88])
            write_bytes(drawn[image_id], encoded.tobytes())
        return Figure(drawn[image_id], names[image_id], caption)

    def judged(row: dict[str, Any]) -> Figure:
        wrong = int(np.count_nonzero(of_wrong == row["image_id"]))
        return figure(row["image_id"], what_went_wrong(row, wrong))

    losing = [judged(row) for row in worst(evaluation, WORST)]
    some = [judged(row) for row in spread(evaluation, SPREAD)]
    for path in set(folder.glob("*.jpg")) - set(drawn.values()):
        path.unlink()  # of an earlier evaluation
    return [
        _section(
            "Pictures of the evaluation set",
            "Annotated on the left, found on the right. Left side of the body orange, right side "
            "blue. Red boxes, on the left: persons that no detection matches (OKS 0.5). On the "
            "right: detections of nobody that score as high as the middle one of the others.",
            some,
        ),
        _section(
            "Worst pictures",
            "Those that lose most: the sum over their persons of 1 - OKS, where OKS of a missed "
            "person is 0.",
            losing,
        ),
    ]


def _section(title: str, note: str, figures: Sequence[Figure]) -> str:
    shown = "".join(
        f'<figure><img alt="{escape(name)}" src="data:image/jpeg;base64,{_base64(path)}">'
        f"<figcaption><b>{escape(name)}</b> {escape(caption)}</figcaption></figure>"
        for path, name, caption in figures
    )
    return f'<h2>{title}</h2><p class="note">{note}</p><div class="pictures">{shown}</div>'


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
