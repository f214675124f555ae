"""Settings of Sphinx, which makes site/ of what generate.py writes into .docs/: `./run docs`."""

project = "Pose networks on plain PyTorch"
html_title = "Pose networks"
extensions = ["myst_parser"]
exclude_patterns = ["extra"]
myst_heading_anchors = 4  # as on the forge
smartquotes = False  # -- opens an option

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
