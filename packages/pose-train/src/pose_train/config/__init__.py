"""Config files: `schema.py` is their vocabulary, `load.py` reads them, `presets/` are shipped.

A new key is a field in `schema.py` with a comment and, for numbers, its range; nothing else.
"""
