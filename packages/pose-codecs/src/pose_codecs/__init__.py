"""Keypoints to heatmaps and tags and back: MSRA, DARK, UDP and associative embedding."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pose_codecs.__main__ import warmup
    from pose_codecs.aggregation import aggregate, aggregate_tags, resize
    from pose_codecs.associative import AssociativeEmbedding
    from pose_codecs.candidates import Candidates, find_candidates
    from pose_codecs.flip import flip_heatmaps, flip_tags
    from pose_codecs.grouping import People, assign, group
    from pose_codecs.msra import MSRAHeatmap
    from pose_codecs.refinement import adjust, refine
    from pose_codecs.targets import encode_people, keypoint_indices
    from pose_codecs.udp import UDPHeatmap

__version__ = "0.1.0"

__all__ = [
    "AssociativeEmbedding",
    "Candidates",
    "MSRAHeatmap",
    "People",
    "UDPHeatmap",
    "adjust",
    "aggregate",
    "aggregate_tags",
    "assign",
    "encode_people",
    "find_candidates",
    "flip_heatmaps",
    "flip_tags",
    "group",
    "keypoint_indices",
    "refine",
    "resize",
    "warmup",
]

# Imported at their first use: whoever asks for help does not wait for numpy.
_LATER = {
    "__main__": ("warmup",),
    "aggregation": ("aggregate", "aggregate_tags", "resize"),
    "associative": ("AssociativeEmbedding",),
    "candidates": ("Candidates", "find_candidates"),
    "flip": ("flip_heatmaps", "flip_tags"),
    "grouping": ("People", "assign", "group"),
    "msra": ("MSRAHeatmap",),
    "refinement": ("adjust", "refine"),
    "targets": ("encode_people", "keypoint_indices"),
    "udp": ("UDPHeatmap",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            globals()[name] = getattr(import_module(f"pose_codecs.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module 'pose_codecs' has no attribute {name!r}")
