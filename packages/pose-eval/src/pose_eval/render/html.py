"""An analysis as one HTML page that needs nothing else: style, charts and images are in it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pose_eval.analysis.breakdown import Analysis, CategoryAnalysis, analyse, worst_images
from pose_eval.analysis.error_types import LABELS, REPAIRS
from pose_eval.coco.report import Report
from pose_eval.render import parts, svg
from pose_eval.render.overlay import COLOURS, DETECTED, MISSED, WAY, WRONG, figure
from pose_eval.render.table import gain, html_table, number

CURVES = (0.5, 0.75, 0.95)
Sections = Sequence[tuple[str, str]]  # title and HTML of each
SHOWN = 12


def page(
    report: Report | Analysis | None,
    digits: int = 3,
    images_dir: Path | None = None,
    *,
    title: str = "",
    facts: Sequence[tuple[str, str]] = (),
    published: Mapping[str, float | None] | None = None,
    above: Sections = (),
    below: Sections = (),
) -> str:
    """Return the page of an evaluation as text; the same input gives the same bytes.

    report: a Report is analysed without intervals (`analyse` gives them); None is for what was not
    evaluated, a page of the other arguments. images_dir: the folder with the images by their
    file_name, of which the worst are shown. title: that of the results file by default. facts:
    names and values that stand below the title. published: numbers to compare with, by name. above,
    below: further sections (title and HTML) before and after those of the analysis; `cards`,
    `line_chart` and `figures` make some.
    """
    analysis = analyse(report, replicates=0) if isinstance(report, Report) else report
    found = []
    if facts:
        items = "".join(f"<span>{escape(k)} <b>{escape(v)}</b></span>" for k, v in facts)
        found.append(f'<p class="legend facts">{items}</p>')
    if analysis is not None:
        report = analysis.report
        title = title or report.results.name
        found.insert(0, f'<p class="sub">{_about(report)}</p>')
        found += [f'<p class="warning">{escape(line)}</p>' for line in report.warnings]
        found.append(_head(analysis, digits))
        found += [_card("", _beside(report, published, digits))] if published else []
    found += [_section(*each) for each in above]
    found += [] if analysis is None else _analysis(analysis, digits, images_dir)
    found += [_section(*each) for each in below]
    return document(title, [f"<h1>{escape(title)}</h1>", *found])


def figures(
    analysis: Analysis, shown: Sequence[tuple[Any, str]], folder: Path, category: int = 0
) -> str:
    """Return images with the annotated and detected skeletons over them, as HTML for a section.

    shown: id and caption (text) of each. category: a position in analysis.categories.
    """
    chosen = analysis.categories[category]
    colours = {"annotated": "#dee2e6", "missed person": MISSED, "detection": DETECTED}
    colours |= {"confident background": WRONG, "way to its place": WAY}
    colours |= {f"{name} keypoint": COLOURS[n + 1] for n, name in enumerate(LABELS[1:])}
    drawn = (figure(analysis.report, chosen, key, text, folder) for key, text in shown)
    return f'{svg.legend(colours)}<div class="images">{"".join(drawn)}</div>'


def cards(*contents: tuple[str, str]) -> str:
    """Return cards that stand side by side where there is room: title and HTML of each."""
    return f'<div class="grid">{"".join(_card(*each) for each in contents)}</div>'


def document(title: str, elements: Sequence[str]) -> str:
    """Return a page of some elements; its style is page.css."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>"
    )
    return "\n".join([head, *elements, "</main>\n</body>\n</html>\n"])


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _card(title: str, content: str) -> str:
    head = f"<h3>{escape(title)}</h3>" if title else ""
    return f'<section class="card scroll">{head}{content}</section>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


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
    """Return the numbers as tiles."""
    tiles = []
    for name, value in analysis.report.stats.items():
        each = analysis.intervals.get(name)
        ends = f"{each.low:.{digits}f} &ndash; {each.high:.{digits}f}" if each else "&nbsp;"
        small = f"<small>{ends}</small>" if analysis.intervals else ""
        tiles.append(f"<div><span>{escape(name)}</span><b>{number(value, digits)}</b>{small}</div>")
    note = (
        f"Small: 95 % interval, bootstrap over images ({analysis.replicates:,} replicates, seed "
        f"{analysis.seed})."
    )
    return f'<div class="head">{"".join(tiles)}</div>{_note(note) if analysis.intervals else ""}'


def _beside(report: Report, published: Mapping[str, float | None], digits: int) -> str:
    """Return the numbers beside published ones."""
    pairs = [(value, published.get(name)) for name, value in report.stats.items()]
    rows = [
        ["", *report.stats],
        ["this", *(number(ours, digits) for ours, _ in pairs)],
        ["published", *(number(theirs, digits) for _, theirs in pairs)],
        ["difference", *(gain(theirs, ours, digits) for ours, theirs in pairs)],
    ]
    return html_table(rows)


def _analysis(analysis: Analysis, digits: int, images_dir: Path | None) -> list[str]:
    """Return the sections of every category."""
    report = analysis.report
    several = len(report.gt.categories) > 1
    found = []
    if several:
        found.append(_section("Categories", _card("", html_table(report.category_rows(digits)))))
    for position, category in enumerate(analysis.categories):
        found += [f"<h2>Category {escape(category.name)}</h2>"] if several else []
        found += _category(report, category, digits)
        rows = worst_images(category.images, SHOWN)
        if not rows:
            continue
        if images_dir is None:
            keys = ("persons", "found", "detections", "wrong")
            head = ["image", "persons", "found", "detections", "matched to nobody", "mean OKS"]
            cells = [
                [f"{r['image_id']} {r['file_name']}", *(r[k] for k in keys), f"{r['oks']:.3f}"]
                for r in rows
            ]
            content = _card("", html_table([head, *cells]))
        else:
            text = "{found} of {persons} persons found, mean OKS {oks:.2f}"
            shown = [(row["image_id"], text.format_map(row)) for row in rows]
            content = figures(analysis, shown, images_dir, position)
        found.append(_section("Images that lose most", content))
    return found


def _category(report: Report, category: CategoryAnalysis, digits: int) -> list[str]:
    joints = [
        (row["name"], [row["ap"] or 0.0], f"{number(row['ap'], digits)}  ({row['labelled']})")
        for row in category.joints
    ]
    found = []
    for title, members in category.groups.items():
        rows = [(g.name, [g.ar], f"{g.ar:.{digits}f}  ({g.persons})") for g in members]
        found.append((f"AR by {title}", svg.bars(rows, title=title)))
    seen = [
        (v["name"], [v["good"]], f"{100 * v['good']:.1f} %  ({v['joints']})")
        for v in category.visibility
    ]
    found.append(("Good keypoints by visibility", svg.bars(seen, title="good by visibility")))
    curves = cards(
        ("Precision and recall", _curves(report, category.index)),
        ("AP of each keypoint (labelled)", svg.bars(joints, title="AP of each keypoint")),
    )
    wrong = cards(
        ("Keypoints of matched detections", _stacks(category)),
        ("AP that a repair gives back", _repairs(category, digits)),
    )
    note = f"{parts.found(category.diagnosis)} Kinds of errors: Ronchi and Perona, ICCV 2017."
    table = html_table(parts.joints(category, digits)) + _note(parts.PER_JOINT)
    return [
        _section("Curves and keypoints", curves),
        _section("What goes wrong", wrong + _note(note)),
        _section("Who is found", cards(*found)),
        _section("Keypoints in numbers", _card("", table)),
    ]


def _curves(report: Report, index: int) -> str:
    curves, thresholds = report.curves, np.asarray(report.settings.thresholds)
    if curves.recall[0, index, 0] < 0:
        return _note("No person of this category counts, so there is no curve.")
    precision = curves.precision[..., index, 0]  # (T, R)
    named = {f"OKS {oks:.2f}": precision[thresholds == oks] for oks in CURVES}
    named[f"mean of {len(thresholds)}"] = precision
    lines = {}
    for name, values in named.items():
        if len(values):
            mean = values.mean(axis=0)
            points = list(zip(curves.recalls.tolist(), mean.tolist(), strict=True))
            lines[f"{name}, AP {mean.mean():.3f}"] = points
    return svg.line_chart("precision over recall", "recall", lines, "precision")


def _stacks(category: CategoryAnalysis) -> str:
    counts = category.diagnosis.counts()[1:]
    names = [*category.diagnosis.joint_names, "all"]
    rows = []
    for name, column in zip(names, [*counts.T, counts.sum(axis=1)], strict=True):
        total = int(column.sum())
        good = f"{100 * column[0] / total:.0f} %" if total else "-"
        rows.append((name, (column / max(total, 1)).tolist(), good))
    key = svg.legend(dict(zip(LABELS[1:], COLOURS[1:], strict=True)))
    return svg.bars(rows, COLOURS[1:], title="errors of each keypoint", right=62) + key


def _repairs(category: CategoryAnalysis, digits: int) -> str:
    head, nothing, *rows = parts.repairs(category.diagnosis, digits)
    for row in rows:
        row[0] = f'{row[0]}<br><span class="note">{escape(REPAIRS[row[0]])}</span>'
    return html_table([head, nothing, *rows], safe=True)
