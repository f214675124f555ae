"""Reports and analyses as text, Markdown, HTML, CSV and JSON; nothing is measured here."""
