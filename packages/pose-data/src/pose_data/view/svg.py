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
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 5}" '
                f'fill="{colour}"><title>{escape(name)}: {value:g}</title></rect>'
            )
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
        bar = (height - 18) * count / most
        x = left + i * step
        title = f"{edges[i]:g} to {edges[i + 1]:g} {unit}: {count}"
        parts.append(
            f'<rect x="{x + 1:.1f}" y="{height - bar:.1f}" width="{step - 2:.1f}" '
            f'height="{bar:.1f}" fill="{colour}"><title>{escape(title)}</title></rect>'
        )
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
    """Return dots at x, y (fractions of a box) with a ring of radius r, joined by links."""
    side, margin = 260, 60

    def at(value: float) -> float:
        return margin + value * side

    parts = [f'<rect x="{margin}" y="{margin}" width="{side}" height="{side}" class="box"/>']
    for a, b in links:
        (xa, ya, ra), (xb, yb, rb) = places[a], places[b]
        if ra >= 0 and rb >= 0:
            parts.append(
                f'<path d="M{at(xa):.1f} {at(ya):.1f}L{at(xb):.1f} {at(yb):.1f}" class="axis"/>'
            )
    numbers = []
    for k, (name, (x, y, radius), colour) in enumerate(zip(names, places, colours, strict=True), 1):
        if radius >= 0:  # below: never labelled
            disc = f'<circle cx="{at(x):.1f}" cy="{at(y):.1f}" fill="{colour}"'
            title = f"<title>{escape(name)}</title></circle>"
            parts.append(f'{disc} fill-opacity="0.07" r="{radius * side:.1f}">{title}')
            parts.append(f'{disc} r="4">{title}')
            numbers.append(_text(at(x) + 5, at(y) - 4, str(k), "start", "number"))
    return _svg(side + 2 * margin, side + 2 * margin, parts + numbers)


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} class="{style}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img">{"".join(parts)}</svg>'
    )
