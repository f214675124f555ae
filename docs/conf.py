"""Settings of Sphinx, which makes site/ of what generate.py writes into .docs/: `./run docs`."""

import re
from pathlib import Path
from typing import Any

project = "Pose networks on plain PyTorch"
html_title = "Pose networks"
extensions = ["myst_parser"]
exclude_patterns = ["extra"]
myst_heading_anchors = 4  # as on the forge
smartquotes = False  # -- opens an option
highlight_language = "text"  # where a fence says none

html_theme = "furo"
html_extra_path = ["../.docs/extra"]
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def setup(app: Any) -> None:
    """Have Sphinx call us when the pages are there."""
    app.connect("build-finished", refuse_other_servers)


def refuse_other_servers(app: Any, error: Exception | None) -> None:
    """Raise ValueError where a page loads something from another server."""
    loads = re.compile(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="(?:\w+:)?//[^"]*')
    for page in sorted(Path(app.outdir).rglob("*.html")):
        if match := loads.search(page.read_text(encoding="utf-8")):
            raise ValueError(f"{page} asks another server: {match[0]}")
