"""Packs: what training can see of each image, in a few large files; the format is in the README."""
