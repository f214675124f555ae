"""The frame of the pages that stats and show write: one file, no scripts, nothing loaded."""

from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #667282; --line: #d5dbe3; --card: #fff;
  --ground: #f3f5f8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #97a3b3; --line: #39424f;
  --card: #1e242d; --ground: #14181e } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  margin: 0 auto; padding: 28px 24px; max-width: 1500px }
h1 { font-size: 22px; margin: 0 0 4px } h2 { font-size: 15px; margin: 0 0 10px }
p { margin: 0 0 10px; color: var(--soft) } p.lead { color: var(--ink); white-space: pre-line }
.cards { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 18px; align-items: flex-start }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px }
.card svg, .card img { display: block; max-width: 100%; height: auto }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden } figure img { display: block } figcaption { padding: 6px 10px; font-size: 12px;
  color: var(--soft); max-width: 420px }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) } svg .note { fill: var(--soft);
  font-size: 11px } svg .axis { stroke: var(--soft); fill: none } svg .box { fill: none;
  stroke: var(--line) }
.key span { display: inline-block; width: 11px; height: 11px; border-radius: 2px;
  margin: 0 5px 0 12px }
"""


def page(title: str, lead: str, body: Sequence[str]) -> str:
    """Return a whole page; `lead` is text, `body` parts are HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{"".join(body)}</body></html>\n'
    )


def card(title: str, text: str, content: str) -> str:
    """Return one box of a page; `content` is HTML, the rest text."""
    note = f"<p>{escape(text)}</p>" if text else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{note}{content}</section>'


def cards(parts: Sequence[str]) -> str:
    """Lay boxes or figures out side by side."""
    return f'<div class="cards">{"".join(parts)}</div>'
