"""An analysis as one HTML page that needs nothing else: style, charts and pictures are in it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from pose_eval.analysis.error_types import LABELS, NO_FLIPS, REPAIRS
from pose_eval.analysis.overview import Analysis, CategoryAnalysis, worst_images
from pose_eval.coco.report import Report, number
from pose_eval.coco.tables import Ints
from pose_eval.render import svg
from pose_eval.render.overlay import COLOURS, DETECTED, MISSED, WAY, WRONG, figure
from pose_eval.render.table import html_table
from pose_eval.render.text import gain

CURVES = ((0.5, "#2f6fb3"), (0.75, "#3a9d6b"), (0.95, "#d1405a"))
MEANING = {
    "miss": "joint far from its place and from every other",
    "swap": "joint on a joint of somebody else",
    "inversion": "joint on its mirror joint",
    "jitter": "joint near its place",
    "score": "detections in the wrong order",
    "duplicate": "second detection of a person",
    "background": "detection of nobody",
    "missed": "person without a detection",
}
PICTURES = 12
STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --faint: #616e7c; --line: #e4e7eb;
  --paper: #f5f6f8; --card: #fff; --track: #f1f3f5; --warn: #fff8e1; --edge: #f2d88b }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --faint: #9aa5b1; --line: #36414c; --paper: #14191f; --card: #1d242c;
    --track: #2a333d; --warn: #332b12; --edge: #6b5a1e }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px }
h1 { font-size: 25px; margin: 0 0 2px; overflow-wrap: anywhere }
h2 { font-size: 19px; margin: 34px 0 12px }
h3 { font-size: 15px; margin: 0 0 10px }
.sub, figcaption, .note { color: var(--faint); font-size: 13px }
.sub { margin: 0 0 18px }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr));
  gap: 16px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; min-width: 0 }
.head { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 12px;
  margin-bottom: 12px }
@media (max-width: 640px) { .head { grid-template-columns: repeat(2, minmax(0, 1fr)) } }
.head div { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px }
.head b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums }
.head span { color: var(--faint); font-size: 13px }
.head small { color: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto; display: block; font-size: 12.5px }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums }
th { text-align: right; font-weight: 600; color: var(--faint); font-size: 13px }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--line); text-align: right }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
tr:last-child td { border-bottom: 0 }
@media (max-width: 480px) { main { padding: 16px 10px 40px } .card { padding: 12px }
  th, td { padding: 4px 5px } }
.scroll { overflow-x: auto }
.legend { margin: 8px 0 0; display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 6px; vertical-align: -1px }
.warning { background: var(--warn); border: 1px solid var(--edge); border-radius: 8px;
  padding: 8px 14px; margin: 0 0 8px; font-size: 14px; overflow-wrap: anywhere }
.pictures { columns: 2 460px; column-gap: 16px; margin-top: 14px }
figure { margin: 0 0 16px; break-inside: avoid; background: var(--card); overflow: hidden;
  border: 1px solid var(--line); border-radius: 10px }
.picture { position: relative; line-height: 0 }
.picture img { width: 100%; image-orientation: none }
.picture svg { position: absolute; inset: 0; height: 100% }
figcaption { padding: 8px 12px; overflow-wrap: anywhere }
.absent p { margin: 0; padding: 40px 12px; text-align: center; color: var(--faint) }
@media print { body { background: none } .card, figure { break-inside: avoid } }
"""


def page(analysis: Analysis, digits: int = 3, images_dir: Path | None = None) -> str:
    """Return the page as text; the same input gives the same bytes.

    images_dir: a folder with the pictures by their file_name; the worst of them are drawn.
    """
    report = analysis.report
    parts = [
        f"<h1>{escape(report.results.name)}</h1>",
        f'<p class="sub">{_about(report)}</p>',
        *(f'<p class="warning">{escape(line)}</p>' for line in report.warnings),
        _head(analysis, digits),
    ]
    several = len(report.gt.categories) > 1
    if several:
        table = html_table(report.category_rows(digits))
        parts += ["<h2>Categories</h2>", f'<div class="card scroll">{table}</div>']
    for category in analysis.categories:
        if several:
            parts.append(f"<h2>Category {escape(category.name)}</h2>")
        parts += _category(report, category, digits)
        parts += _worst(report, category, images_dir)
    return document(f"{report.results.name} on {report.gt.name}", parts)


def document(title: str, parts: Sequence[str]) -> str:
    """Return a page of some parts that are HTML already."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>"
    )
    return "\n".join([head, *parts, "</main>\n</body>\n</html>\n"])


def _about(report: Report) -> str:
    counts, settings = report.counts, report.settings
    thresholds = f"{settings.thresholds[0]:g} to {settings.thresholds[-1]:g}"
    return (
        f"on {escape(report.gt.name)} &middot; {counts['images']:,} images &middot; "
        f"{counts['persons']:,} persons &middot; {counts['detections']:,} detections &middot; "
        f"protocol {escape(report.protocol)}, OKS {thresholds}, at most {settings.max_dets} "
        "detections of an image"
    )


def _head(analysis: Analysis, digits: int) -> str:
    tiles = []
    for name, value in analysis.report.stats.items():
        found = analysis.intervals.get(name)
        small = (
            f"<small>{found.low:.{digits}f} &ndash; {found.high:.{digits}f}</small>"
            if found
            else "<small>&nbsp;</small>"
        )
        tiles.append(f"<div><span>{escape(name)}</span><b>{number(value, digits)}</b>{small}</div>")
    note = ""
    if analysis.intervals:
        note = (
            f'<p class="note">Small: 95 % interval, bootstrap over images '
            f"({analysis.replicates:,} replicates, seed {analysis.seed}).</p>"
        )
    return f'<div class="head">{"".join(tiles)}</div>{note}'


def _category(report: Report, category: CategoryAnalysis, digits: int) -> list[str]:
    diagnosis = category.diagnosis
    joints = [
        (row["name"], row["ap"], f"{number(row['ap'], digits)}  ({row['labelled']})")
        for row in category.joints
    ]
    groups = "".join(
        _card(
            f"AR by {escape(title)}",
            svg.bars(
                [(g.name, g.ar, f"{g.ar:.{digits}f}  ({g.persons})") for g in found], title=title
            ),
        )
        for title, found in category.groups.items()
    )
    visibility = svg.bars(
        [
            (v["name"], v["good"], f"{100 * v['good']:.1f} %  ({v['joints']})")
            for v in category.visibility
        ],
        title="good joints by visibility",
    )
    return [
        "<h2>Curves and joints</h2>",
        '<div class="grid">',
        _card("Precision and recall", _curves(report, category.index)),
        _card("AP of each joint (labelled)", svg.bars(joints, title="AP of each joint")),
        "</div>",
        "<h2>What goes wrong</h2>",
        '<div class="grid">',
        _card("Joints of matched detections", _stacks(category)),
        _card("AP that a repair gives back", _repairs(category, digits)),
        "</div>",
        f'<p class="note">{len(diagnosis.rows):,} detections belong to a person (OKS 0.1 and more)'
        f", {len(diagnosis.duplicates):,} are duplicates, {len(diagnosis.background):,} are "
        f"background; {len(diagnosis.missed):,} of {diagnosis.counted:,} persons are missed. "
        "Kinds of errors: Ronchi and Perona, ICCV 2017.</p>",
        "<h2>Who is found</h2>",
        f'<div class="grid">{groups}{_card("Good joints by visibility", visibility)}</div>',
        "<h2>Joints in numbers</h2>",
        f'<div class="card scroll">{_joint_table(category, digits)}</div>',
    ]


def _card(title: str, content: str) -> str:
    return f'<section class="card"><h3>{title}</h3>{content}</section>'


def _curves(report: Report, index: int) -> str:
    curves, thresholds = report.curves, np.asarray(report.settings.thresholds)
    recalls = curves.recalls.tolist()
    lines: dict[str, tuple[Sequence[float], Sequence[float], str]] = {}
    if curves.recall[0, index, 0] < 0:
        return '<p class="note">No person of this category counts, so there is no curve.</p>'
    for oks, colour in CURVES:
        at = np.flatnonzero(thresholds == oks)
        if len(at):
            precision = curves.precision[at[0], :, index, 0]
            name = f"OKS {oks:.2f}, AP {precision.mean():.3f}"
            lines[name] = (recalls, precision.tolist(), colour)
    mean = curves.precision[..., index, 0].mean(axis=0)
    lines[f"mean of {len(thresholds)}, AP {mean.mean():.3f}"] = (recalls, mean.tolist(), svg.INK)
    return svg.curves(lines)


def _stacks(category: CategoryAnalysis) -> str:
    counts = category.diagnosis.counts()[1:]
    rows = []
    for name, column in zip(category.diagnosis.joint_names, counts.T, strict=True):
        rows.append((name, *_shares(column)))
    rows.append(("all", *_shares(counts.sum(axis=1))))
    key = svg.legend(dict(zip(LABELS[1:], COLOURS[1:], strict=True)))
    if not category.diagnosis.flips:
        key += f'<p class="note">{NO_FLIPS[0].upper()}{NO_FLIPS[1:]}.</p>'
    return svg.stacks(rows, COLOURS[1:], title="errors of each joint") + key


def _shares(counts: Ints) -> tuple[list[float], str]:
    """Return the share of each label, and that of the first as text."""
    total = int(counts.sum())
    return (counts / max(total, 1)).tolist(), f"{100 * counts[0] / total:.0f} %" if total else "-"


def _repairs(category: CategoryAnalysis, digits: int) -> str:
    diagnosis = category.diagnosis
    now = before = diagnosis.repaired["now"]["AP"]
    rows = []
    for name in REPAIRS:
        alone, together = diagnosis.repaired[name]["AP"], diagnosis.cumulated[name]["AP"]
        cells = (gain(now, alone, digits), gain(before, together, digits), number(together, digits))
        meaning = f'{name}<br><span class="note">{MEANING[name]}</span>'
        rows.append([meaning, *cells])
        before = together
    head = ["repaired", "alone", "after those above", "AP then"]
    nothing = ["nothing", "", "", number(now, digits)]
    return html_table([head, nothing, *rows], safe=True)


def _joint_table(category: CategoryAnalysis, digits: int) -> str:
    rows = [
        [
            row["name"],
            row["labelled"],
            number(row["ap"], digits),
            number(row["pck10"], digits),
            number(row["pck30"], digits),
            number(row["similarity"], digits),
            number(row["median_px"], 1),
            number(row["mean_px"], 1),
            "-" if row["mean_share"] is None else f"{100 * row['mean_share']:.1f} %",
        ]
        for row in category.joints
    ]
    head = ["joint", "labelled", "AP", "PCK 0.1", "PCK 0.3", "similarity"]
    head += ["median px", "mean px", "of person"]
    note = (
        '<p class="note">PCK 0.1: joints nearer than 0.1 of the root of the person\'s area, joints '
        "of missed persons counted as wrong. Similarity, distances: matched persons.</p>"
    )
    return html_table([head, *rows]) + note


def _worst(report: Report, category: CategoryAnalysis, images_dir: Path | None) -> list[str]:
    rows = worst_images(report, category, PICTURES)
    if not rows:
        return []
    parts = ["<h2>Images that lose most</h2>"]
    if images_dir is None:
        cells = [
            [
                f"{row['image_id']} {row['file_name']}",
                row["persons"],
                row["found"],
                row["detections"],
                row["wrong"],
                f"{row['oks']:.3f}",
            ]
            for row in rows
        ]
        head = ["image", "persons", "found", "detections", "matched to nobody", "mean OKS"]
        return [*parts, f'<div class="card scroll">{html_table([head, *cells])}</div>']
    colours = {"annotated": "#dee2e6", "missed person": MISSED, "detection": DETECTED}
    colours |= {"confident background": WRONG, "way to its place": WAY}
    colours |= {f"{name} joint": COLOURS[n + 1] for n, name in enumerate(LABELS[1:])}
    figures = "".join(figure(report, category, row, images_dir) for row in rows)
    return [*parts, svg.legend(colours), f'<div class="pictures">{figures}</div>']
