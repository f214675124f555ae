"""What changed between two results, as text, Markdown or HTML."""

from html import escape

from pose_eval.analysis.compare import Comparison
from pose_eval.render.html import document
from pose_eval.render.table import Part, as_html, as_markdown, as_text, plain

SHOWN = 10


def text(comparison: Comparison, digits: int = 3) -> str:
    """Return a table of the numbers and one of the images that changed most."""
    head = f"a = {comparison.name_a}\nb = {comparison.name_b}\n\n"
    return head + as_text(_parts(comparison, digits))


def markdown(comparison: Comparison, digits: int = 3) -> str:
    """Return the same for a pull request; numbers that are surely worse or better are bold."""
    title = f"# {plain(comparison.name_b)} against {plain(comparison.name_a)}\n\n"
    return title + as_markdown(_parts(comparison, digits, bold="**"))


def page(comparison: Comparison, digits: int = 3) -> str:
    """Return the same as a page that stands alone."""
    title = f"{comparison.name_b} against {comparison.name_a}"
    return document(title, [f"<h1>{escape(title)}</h1>", *as_html(_parts(comparison, digits))])


def _parts(comparison: Comparison, digits: int, bold: str = "") -> list[Part]:
    rows = [["", "a", "b", "b - a", "95 % interval", "p"]]
    for name, c in comparison.changes.items():
        mark = bold if c.low * c.high > 0 else ""
        values = f"{c.a:.{digits}f}", f"{c.b:.{digits}f}", f"{mark}{c.delta:+.{digits}f}{mark}"
        rows.append([name, *values, f"[{c.low:+.{digits}f}, {c.high:+.{digits}f}]", f"{c.p:.3f}"])
    rows += [[name, "-", "-", "-", "", ""] for name in comparison.unmeasured]
    note = (
        f"paired bootstrap over images, {comparison.replicates} replicates, "
        f"seed {comparison.seed}; persons are found better or worse in {len(comparison.images)} "
        "images"
    )
    parts = [Part("", rows, note)]
    if comparison.images:
        head = ["image", "file", "change", "persons", "mean OKS a", "mean OKS b"]
        title = "images that changed most (sum over persons of the change in OKS)"
        images = [
            [
                *(str(image.image_id), image.file_name, f"{image.change:+.{digits}f}"),
                *(str(image.persons), f"{image.a:.{digits}f}", f"{image.b:.{digits}f}"),
            ]
            for image in comparison.images[:SHOWN]
        ]
        parts.append(Part(title, [head, *images]))
    return parts
