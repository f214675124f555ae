"""Keypoints to heatmaps and tags and back: MSRA, DARK, UDP and associative embedding."""

from pose_codecs.associative import AssociativeEmbedding
from pose_codecs.candidates import Candidates, find_candidates
from pose_codecs.flip import flip_heatmaps
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
    "assign",
    "encode_people",
    "find_candidates",
    "flip_heatmaps",
    "group",
    "keypoint_indices",
    "refine",
]
