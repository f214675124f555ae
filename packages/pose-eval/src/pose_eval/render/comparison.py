"""What changed between two results, as text, Markdown or HTML."""

from html import escape

from pose_eval.analysis.compare import Comparison
from pose_eval.render.html import document
from pose_eval.render.table import html_table, markdown_table, plain, text_table

SHOWN = 10


def text(comparison: Comparison, digits: int = 3) -> str:
    """Return a table of the numbers and one of the images that changed most."""
    lines = [f"a = {comparison.name_a}", f"b = {comparison.name_b}", ""]
    lines += [*text_table(_numbers(comparison, digits)), "", _how(comparison)]
    if comparison.images:
        lines += ["", f"{IMAGES}:", *text_table(_images(comparison, digits))]
    return "\n".join(lines) + "\n"


def markdown(comparison: Comparison, digits: int = 3) -> str:
    """Return the same for a pull request; numbers that are surely worse or better are bold."""
    lines = [f"# {plain(comparison.name_b)} against {plain(comparison.name_a)}", ""]
    head, *rows = _numbers(comparison, digits)
    for row in rows:
        change = comparison.changes.get(row[0])
        if change is not None and change.low * change.high > 0:
            row[3] = f"**{row[3]}**"
    lines += [*markdown_table([head, *rows]), "", f"{_how(comparison)}."]
    if comparison.images:
        lines += ["", f"{IMAGES[0].upper()}{IMAGES[1:]}:", ""]
        lines += markdown_table(_images(comparison, digits))
    return "\n".join(lines) + "\n"


def page(comparison: Comparison, digits: int = 3) -> str:
    """Return the same as a page that stands alone."""
    title = f"{comparison.name_b} against {comparison.name_a}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="card scroll">{html_table(_numbers(comparison, digits))}</div>',
        f'<p class="note">{escape(_how(comparison))}.</p>',
    ]
    if comparison.images:
        table = html_table(_images(comparison, digits))
        parts += [f"<h2>{IMAGES[0].upper()}{IMAGES[1:]}</h2>"]
        parts += [f'<div class="card scroll">{table}</div>']
    return document(title, parts)


IMAGES = "images that changed most (sum over persons of the change in OKS)"


def _numbers(comparison: Comparison, digits: int) -> list[list[str]]:
    rows = [["", "a", "b", "b - a", "95 % interval", "p"]]
    for name, c in comparison.changes.items():
        low, high = f"{c.low:+.{digits}f}", f"{c.high:+.{digits}f}"
        values = f"{c.a:.{digits}f}", f"{c.b:.{digits}f}", f"{c.delta:+.{digits}f}"
        rows.append([name, *values, f"[{low}, {high}]", f"{c.p:.3f}"])
    return rows + [[name, "-", "-", "-", "", ""] for name in comparison.unmeasured]


def _images(comparison: Comparison, digits: int) -> list[list[str]]:
    rows = [["image", "file", "change", "persons", "mean OKS a", "mean OKS b"]]
    for image in comparison.images[:SHOWN]:
        values = f"{image.a:.{digits}f}", f"{image.b:.{digits}f}"
        change = f"{image.change:+.{digits}f}"
        rows.append([str(image.image_id), image.file_name, change, str(image.persons), *values])
    return rows


def _how(comparison: Comparison) -> str:
    return (
        f"paired bootstrap over images, {comparison.replicates} replicates, "
        f"seed {comparison.seed}; persons are found better or worse in {len(comparison.images)} "
        "images"
    )
