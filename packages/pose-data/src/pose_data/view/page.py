"""The HTML pages that stats and show write: one file, no scripts, nothing loaded."""

from collections.abc import Sequence
from html import escape

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


def page(title: str, lead: str, body: Sequence[str]) -> str:
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
