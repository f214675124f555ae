"""Drawings, charts and pages."""
