"""The HTML pages that stats and show write, with charts as SVG: no scripts, nothing loaded."""

from collections.abc import Sequence
from html import escape

WIDTH = 460
_ROW, _LETTER, _VALUE = 18, 7, 60  # pixels: height of a bar's row, its name's letters, its number
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #667282; --line: #d5dbe3; --card: #fff;
  --ground: #f3f5f8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #97a3b3; --line: #39424f;
  --card: #1e242d; --ground: #14181e } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  margin: 0; padding: 28px 24px }
h1 { font-size: 22px; margin: 0 0 4px } h2 { font-size: 15px; margin: 0 0 10px }
p { margin: 0 0 10px; color: var(--soft) } p.lead { color: var(--ink); white-space: pre-line }
.cards { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 18px; align-items: flex-start }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px }
.cards:has(.card) { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)) }
.card svg { display: block; width: 100%; max-width: 760px; height: auto }
figure { display: table; margin: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; overflow: hidden } figure img { display: block; max-width: 100% }
figcaption { padding: 6px 10px; font-size: 13px; overflow-wrap: anywhere }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) } svg .note { fill: var(--soft);
  font-size: 11px } svg .axis { stroke: var(--soft); fill: none } svg .box { fill: none;
  stroke: var(--line) }
svg .number { font-size: 11px; font-weight: 600; paint-order: stroke; stroke: var(--card);
  stroke-width: 3px }
.key { display: flex; flex-wrap: wrap; column-gap: 16px } .key b { font-weight: 400 }
.key span { display: inline-block; width: 11px; height: 11px; margin-right: 5px }
"""


def html_page(title: str, lead: str, body: Sequence[str]) -> str:
    """Return a whole page; `lead` is text, `body` parts are HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{"".join(body)}</body></html>\n'
    )


def colour_key(entries: Sequence[tuple[str, str]]) -> str:
    """Return what colours mean, as HTML."""
    parts = [f'<b><span style="background:{c}"></span>{escape(text)}</b>' for c, text in entries]
    return f'<p class="key">{"".join(parts)}</p>'


def card(title: str, text: str, content: str) -> str:
    """Return one box of a page; `content` is HTML, the rest text."""
    note = f"<p>{escape(text)}</p>" if text else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{note}{content}</section>'


def cards(parts: Sequence[str]) -> str:
    """Lay boxes or figures out side by side."""
    return f'<div class="cards">{"".join(parts)}</div>'


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
