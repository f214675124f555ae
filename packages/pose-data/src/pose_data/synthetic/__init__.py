"""Cartoon people, drawn and labelled: for demos and tests."""
