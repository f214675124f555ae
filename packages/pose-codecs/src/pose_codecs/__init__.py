"""Keypoints to heatmaps and tags and back: MSRA, DARK, UDP and associative embedding."""

from pose_codecs.aggregation import aggregate, aggregate_tags, resize
from pose_codecs.associative import AssociativeEmbedding
from pose_codecs.candidates import Candidates, find_candidates
from pose_codecs.flip import flip_heatmaps, flip_tags
from pose_codecs.grouping import People, assign, group
from pose_codecs.msra import MSRAHeatmap
from pose_codecs.refinement import adjust, refine
from pose_codecs.targets import encode_people, keypoint_indices
from pose_codecs.udp import UDPHeatmap
from pose_codecs.warmup import warmup

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
