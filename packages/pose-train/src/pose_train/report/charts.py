"""Line charts as SVG text, without a plotting library."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 320, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 34, 40  # margins around the plot
COLORS = ("#1f6feb", "#d1495b", "#2a9d5c")

Series = Mapping[str, Sequence[tuple[float, float]]]  # name -> (x, y) points


def line_chart(title: str, x_label: str, series: Series) -> str:
    """Return an SVG chart of one or more named lines with common axes."""
    points = [point for line in series.values() for point in line]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    ticks = round_ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))
    y_low, y_span = ticks[0], ticks[-1] - ticks[0]
    x_span = (x_high - x_low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / x_span * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - y_low) / y_span * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, title, size=14),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, anchor="middle"),
    ]
    for tick in ticks:
        _, y = place(x_low, tick)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        )
        parts.append(_text(LEFT - 6, y + 4, f"{tick:.4g}", anchor="end"))
    for x in sorted({x_low, round((x_low + x_high) / 2), x_high}):
        parts.append(_text(place(x, 0)[0], HEIGHT - BOTTOM + 16, f"{x:g}", anchor="middle"))
    legend = WIDTH - RIGHT  # where the next name ends
    for number, (name, line) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>'
            for x, y in (place(*point) for point in line)
        ]
        if len(series) > 1:
            parts.append(_text(legend, 20, name, anchor="end", fill=color))
            legend -= round(6.5 * len(name)) + 10
    return "\n".join([*parts, "</svg>"])


def round_ticks(low: float, high: float) -> list[float]:
    """Return a few round values, evenly spaced, from low or below to high or above."""
    span = (high - low) or 1.0
    unit = 10.0 ** math.floor(math.log10(span))
    step = next(s * unit for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5) if span / (s * unit) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, fill: str = "#333"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">'
        f"{escape(text)}</text>"
    )
