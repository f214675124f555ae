"""Files and images that users give, in whatever form they have them, and how files are written.

One reader for each format; everything is written whole or not at all (`write.py`).
"""
