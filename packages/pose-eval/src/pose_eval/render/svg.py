"""Charts as SVG text, drawn to be read at a width of about 500 pixels."""

import math
from collections.abc import Mapping, Sequence
from html import escape

# Those of the page, which is light or dark.
INK, FAINT, GRID, TRACK = (f"var(--{name})" for name in ("ink", "faint", "line", "track"))
BLUE = "#2f6fb3"
COLOURS = (BLUE, "#3a9d6b", "#d1405a", INK, "#8f5fbf", "#f2b632")
WIDTH = 500
LIGHT = (
    "<style>svg { --ink: #1f2933; --faint: #616e7c; --line: #e4e7eb; --track: #eef1f4; "
    "background: #fff }</style>"
)

Series = Mapping[str, Sequence[tuple[float, float]]]  # name -> (x, y) points


def line_chart(
    title: str, x_label: str, series: Series, y_label: str = "", *, standalone: bool = False
) -> str:
    """Draw named lines with common axes, whose names stand below; a single "" has none.

    The chart takes its colours from the page that it is on; standalone: it is a file of its own.
    """
    left, top, right, down = 52, 12, 14, 298
    points = [point for line in series.values() for point in line]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    x_high = x_high if x_high > x_low else x_low + 1
    y_ticks = round_ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))
    y_low, y_high = y_ticks[0], y_ticks[-1]
    across = WIDTH - left - right

    def place(x: float, y: float) -> tuple[float, float]:
        right_of = left + (x - x_low) / (x_high - x_low) * across
        return right_of, top + (y_high - y) / (y_high - y_low) * down

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts += [_line(left, y, left + across, y), _text(left - 8, y + 4, f"{tick:.4g}", "end")]
    for tick in (t for t in round_ticks(x_low, x_high) if x_low <= t <= x_high):
        x, _ = place(tick, y_low)
        parts += [_line(x, top, x, top + down), _text(x, top + down + 17, f"{tick:.4g}", "middle")]
    parts.append(_text(left + across / 2, top + down + 34, x_label, "middle", INK))
    middle = top + down / 2
    turned = f' transform="rotate(-90 12 {middle:.1f})"'
    parts += [_text(12, middle, y_label, "middle", INK, turned)] if y_label else []
    x, y = float(left), top + down + 56.0  # of the next name
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*point) for point in line))
        parts.append(
            f'<polyline points="{path}" fill="none" style="stroke:{colour}" stroke-width="2.2" '
            'stroke-linejoin="round"/>'
        )
        if name:
            wide = 34 + 6.6 * len(name)
            x, y = (left, y + 20) if x > left and x + wide > WIDTH else (x, y)
            parts += [_box(x, y - 10, 11, 11, colour), _text(x + 17, y, name, "start", INK)]
            x += wide
    style = [LIGHT] if standalone else []
    return _svg(y + 10 if any(series) else y - 12, title, [*style, *parts])


def bars(
    rows: Sequence[tuple[str, Sequence[float], str]],
    colours: Sequence[str] = (BLUE,),
    *,
    title: str,
    right: int = 112,
) -> str:
    """Draw bars of shares that sum to at most 1: (name, shares, what stands behind it)."""
    step, left = 22, min(190, 22 + 7 * max((len(name) for name, _, _ in rows), default=0))
    across = WIDTH - left - right
    parts = []
    for number, (name, shares, behind) in enumerate(rows):
        x, y = float(left), 5 + step * number
        parts += [_text(left - 8, y + 15, name, "end", INK)]
        parts += [_box(left, y + 3, across, step - 6, TRACK)]
        for share, colour in zip(shares, colours, strict=True):
            parts.append(_box(x, y + 3, across * share, step - 6, colour))
            x += across * share
        parts.append(_text(WIDTH - right + 8, y + 15, behind, "start", INK))
    return _svg(step * len(rows) + 10, title, parts)


def legend(entries: Mapping[str, str]) -> str:
    """Return colours by their meaning as a line of HTML."""
    keys = (
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in entries.items()
    )
    return f'<p class="legend">{"".join(keys)}</p>'


def round_ticks(low: float, high: float) -> list[float]:
    """Return a few round values, evenly spaced, from low or below to high or above."""
    span = (high - low) or 1.0
    unit = 10.0 ** math.floor(math.log10(span))
    step = next(s * unit for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5) if span / (s * unit) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}" '
        f'font-family="sans-serif" font-size="12.5" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} style="stroke:{GRID}"/>'


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(wide, 0):.1f}" height="{high:.1f}"'
    return f'<rect {place} style="fill:{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = FAINT, turned: str = "") -> str:
    shown = text if len(text) <= 26 else text[:25] + "\u2026"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned} style="fill:{colour}">'
        f"{escape(shown)}</text>"
    )
