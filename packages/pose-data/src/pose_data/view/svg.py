"""Draw small charts as SVG text: bars and histograms, for pages without scripts."""

from collections.abc import Sequence
from html import escape

WIDTH = 460
_ROW, _LETTER, _VALUE = 18, 7, 60  # pixels: height of a bar's row, its name's letters, its number


def stacked_bars(
    names: Sequence[str],
    rows: Sequence[Sequence[float]],
    colours: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return one horizontal bar per name, cut into as many parts as there are colours."""
    longest = max((sum(row) for row in rows), default=0) or 1
    start = min(WIDTH // 2, 12 + _LETTER * max(map(len, names), default=0))
    room = WIDTH - start - _VALUE
    parts = []
    for i, (name, row, note) in enumerate(zip(names, rows, notes, strict=True)):
        y, x = i * _ROW, float(start)
        parts.append(_text(start - 6, y + 13, name, "end"))
        for value, colour in zip(row, colours, strict=True):
            width = room * value / longest
            parts.append(_bar(x, y + 3, width, _ROW - 5, colour, f"{name}: {value:g}"))
            x += width
        parts.append(_text(x + 5, y + 13, note, "start", "note"))
    return _svg(WIDTH, len(rows) * _ROW + 4, parts)


def histogram(edges: Sequence[float], counts: Sequence[int], unit: str, colour: str) -> str:
    """Return vertical bars for counts (n) between edges (n + 1), with the edges' numbers below."""
    height, bottom, left = 150, 24, 8
    most = max(counts, default=0) or 1
    step = (WIDTH - 2 * left) / max(len(counts), 1)
    every = max(1, -(-len(counts) // 9))  # labels do not fit under each bar
    parts = []
    for i, count in enumerate(counts):
        x, bar = left + i * step, (height - 18) * count / most
        title = f"{edges[i]:g} to {edges[i + 1]:g} {unit}: {count}"
        parts.append(_bar(x + 1, height - bar, step - 2, bar, colour, title))
        if i % every == 0:
            parts.append(_text(x, height + 14, f"{edges[i]:g}", "start", "note"))
    parts.append(_text(WIDTH - left, 12, f"most: {most:g}", "end", "note"))
    parts.append(f'<path d="M{left} {height}H{WIDTH - left}" class="axis"/>')
    return _svg(WIDTH, height + bottom, parts)


def points_in_box(
    names: Sequence[str],
    places: Sequence[tuple[float, float, float]],
    links: Sequence[tuple[int, int]],
    colours: Sequence[str],
) -> str:
    """Return dots at x, y (fractions of a box) with a ring of radius r, joined by links.

    A radius below 0 is of a keypoint that is never labelled, and left out.
    """
    side, margin = 260, 60
    pixels = [(margin + x * side, margin + y * side, r * side) for x, y, r in places]
    parts = [f'<rect x="{margin}" y="{margin}" width="{side}" height="{side}" class="box"/>']
    for (xa, ya, ra), (xb, yb, rb) in ((pixels[a], pixels[b]) for a, b in links):
        if ra >= 0 and rb >= 0:
            parts.append(f'<path d="M{xa:.1f} {ya:.1f}L{xb:.1f} {yb:.1f}" class="axis"/>')
    numbers = []
    for k, (name, (x, y, r), colour) in enumerate(zip(names, pixels, colours, strict=True), 1):
        if r >= 0:
            disc = f'<circle cx="{x:.1f}" cy="{y:.1f}" fill="{colour}"'
            title = f"<title>{escape(name)}</title></circle>"
            parts += [f'{disc} fill-opacity="0.07" r="{r:.1f}">{title}', f'{disc} r="4">{title}']
            numbers.append(_text(x + 5, y - 4, str(k), "start", "number"))
    return _svg(side + 2 * margin, side + 2 * margin, parts + numbers)


def _bar(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{colour}"><title>{escape(title)}</title></rect>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} class="{style}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return f'<svg {size} role="img">{"".join(parts)}</svg>'
