"""Charts as SVG text, drawn to be read at a width of about 500 pixels."""

from collections.abc import Sequence
from html import escape

# Those of the page, which is light or dark.
INK, FAINT, GRID, TRACK = (f"var(--{name})" for name in ("ink", "faint", "line", "track"))
BLUE = "#2f6fb3"


def curves(lines: dict[str, tuple[Sequence[float], Sequence[float], str]]) -> str:
    """Draw precision over recall, with a legend; lines: recall, precision and colour by name."""
    width, height, left, top, right, bottom = 500, 350, 46, 12, 14, 40
    across, down = width - left - right, height - top - bottom
    parts = [_open(width, height, "precision over recall")]
    for tick in range(6):
        value = tick / 5
        x, y = left + value * across, top + (1 - value) * down
        parts.append(_line(left, y, left + across, y, GRID))
        parts.append(_line(x, top, x, top + down, GRID))
        parts.append(_text(left - 8, y + 4, f"{value:.1f}", "end", FAINT))
        parts.append(_text(x, top + down + 17, f"{value:.1f}", "middle", FAINT))
    parts.append(_text(left + across / 2, height - 6, "recall", "middle", INK))
    middle = top + down / 2
    parts.append(
        f'<text x="12" y="{middle:.1f}" transform="rotate(-90 12 {middle:.1f})" '
        f'text-anchor="middle" style="fill:{INK}">precision</text>'
    )
    for xs, ys, colour in lines.values():
        points = " ".join(
            f"{left + x * across:.1f},{top + (1 - y) * down:.1f}"
            for x, y in zip(xs, ys, strict=True)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" style="stroke:{colour}" stroke-width="2.2" '
            'stroke-linejoin="round"/>'
        )
    key = legend({name: colour for name, (_, _, colour) in lines.items()})
    return "".join(parts) + "</svg>" + key


def bars(rows: Sequence[tuple[str, float | None, str]], *, title: str) -> str:
    """Draw horizontal bars from 0 to 1: (name, value, what stands behind it)."""
    width, step, left, right = 500, 22, _margin([name for name, _, _ in rows]), 112
    across = width - left - right
    height = step * len(rows) + 10
    parts = [_open(width, height, title)]
    for number, (name, value, behind) in enumerate(rows):
        y = 5 + step * number
        long = across * min(max(value or 0, 0), 1)
        parts.append(_text(left - 8, y + 15, name, "end", INK))
        parts.append(_box(left, y + 3, across, step - 6, TRACK))
        parts.append(_box(left, y + 3, long, step - 6, BLUE))
        parts.append(_text(width - right + 8, y + 15, behind, "start", INK))
    return "".join(parts) + "</svg>"


def stacks(
    rows: Sequence[tuple[str, Sequence[float], str]], colours: Sequence[str], *, title: str
) -> str:
    """Draw bars made of shares that sum to at most 1: (name, shares, what stands behind it)."""
    width, step, left, right = 500, 22, _margin([name for name, _, _ in rows]), 62
    across = width - left - right
    height = step * len(rows) + 10
    parts = [_open(width, height, title)]
    for number, (name, shares, behind) in enumerate(rows):
        y, x = 5 + step * number, float(left)
        parts.append(_text(left - 8, y + 15, name, "end", INK))
        for share, colour in zip(shares, colours, strict=True):
            parts.append(_box(x, y + 3, across * share, step - 6, colour))
            x += across * share
        parts.append(_text(width - right + 8, y + 15, behind, "start", INK))
    return "".join(parts) + "</svg>"


def legend(entries: dict[str, str]) -> str:
    """Return colours and their meaning as a line of HTML."""
    keys = (
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in entries.items()
    )
    return f'<p class="legend">{"".join(keys)}</p>'


def _margin(names: Sequence[str]) -> int:
    return min(190, 22 + 7 * max((len(name) for name in names), default=0))


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, wide: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke:{colour}" '
        f'stroke-width="{wide:g}"/>'
    )


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(wide, 0):.1f}" height="{high:.1f}" '
        f'style="fill:{colour}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    shown = text if len(text) <= 26 else text[:25] + "\u2026"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill:{colour}">'
        f"{escape(shown)}</text>"
    )
