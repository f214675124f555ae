"""Associative embedding: bottom-up heatmaps with tags that tell people apart.

Newell et al., "Associative Embedding: End-to-End Learning for Joint Detection and Grouping",
NIPS 2017, as in MMPose 0.29, whose HigherHRNet results are the published ones.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose_codecs._jit import F32
from pose_codecs.blocks import block_maxima
from pose_codecs.candidates import Candidates, check_maps, find_candidates
from pose_codecs.grouping import Assignment, People, check_assignment, group
from pose_codecs.msra import check_size
from pose_codecs.refinement import adjust, refine
from pose_codecs.targets import encode_people, keypoint_indices

# Torso and head first, ankles and wrists last, as published.
COCO_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


@dataclass(frozen=True)
class AssociativeEmbedding:
    """Encode people as heatmaps and tag positions, decode heatmaps and tags into people.

    Sizes are (w, h) in pixels, `sigma` is in heatmap pixels (-1: sqrt(w * h) / 64 of each scale).
    `max_instances` people at most are encoded, and that many candidates per keypoint decoded; the
    people found may be more unless `ignore_too_much`. The other options are those of
    find_candidates and group; `keypoint_order` None is the published order for 17 keypoints, else
    0, 1, 2 ...
    """

    input_size: tuple[int, int]
    heatmap_sizes: Sequence[tuple[int, int]]
    sigma: float = 2.0
    max_instances: int = 30
    detection_threshold: float = 0.1
    tag_threshold: float = 1.0
    use_detection_val: bool = True
    ignore_too_much: bool = False
    nms_kernel: int = 5
    adjust: bool = True
    refine: bool = True
    tag_per_keypoint: bool = True
    keypoint_order: Sequence[int] | None = None
    assignment: Assignment = "munkres"

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        for size in self.heatmap_sizes:
            check_size("heatmap_sizes", size)
        if not (self.sigma > 0 or self.sigma == -1):
            raise ValueError(f"sigma must be positive, or -1 for automatic, got {self.sigma!r}")
        if self.max_instances < 1:
            raise ValueError(f"max_instances must be at least 1, got {self.max_instances}")
        if not self.detection_threshold >= 0:
            # Suppressed pixels count as 0: with a lower threshold they would be candidates.
            raise ValueError(f"detection_threshold must be >= 0, got {self.detection_threshold}")
        check_assignment(self.assignment)

    def encode(
        self, keypoints: ArrayLike, visible: ArrayLike
    ) -> tuple[list[F32], list[NDArray[np.int32]]]:
        """Turn keypoints (P, K, 2) in input pixels and visible (P, K) into targets of every scale.

        Returns heatmaps (K, H, W) and keypoint indices (max_instances, K, 2), one of each per size
        in heatmap_sizes, as encode_people and keypoint_indices make them. Heatmap pixel = input
        pixel * heatmap_size / input_size.
        """
        heatmaps, indices = [], []
        for size in self.heatmap_sizes:
            ratio = np.divide(size, self.input_size, dtype=np.float32)
            points = np.asarray(keypoints, np.float32) * ratio
            heatmaps.append(encode_people(points, visible, size, self.sigma))
            indices.append(
                keypoint_indices(points, visible, size, self.max_instances, self.tag_per_keypoint)
            )
        return heatmaps, indices

    def decode(self, heatmaps: Any, tags: Any) -> People:
        """Find the people of one image, in pixels of the maps.

        Maps may be of any size: heatmaps (K, H, W), tags (K, H, W), (K, H, W, L) or, shared by all
        keypoints, (1, H, W, L). Raises ValueError for other shapes, NaN and inf.
        """
        maps, tag_maps = check_maps(heatmaps, tags)
        maxima = block_maxima(maps)
        candidates = find_candidates(
            maps, tag_maps, self.max_instances, self.nms_kernel, self.detection_threshold, maxima
        )
        people = self.group(candidates)
        if self.adjust:
            people = people._replace(keypoints=adjust(people.keypoints, people.scores, maps))
        if self.refine:
            keypoints, scores = refine(people.keypoints, people.scores, maps, tag_maps, maxima)
            people = people._replace(keypoints=keypoints, scores=scores)
        return people

    def group(self, candidates: Candidates) -> People:
        """Group candidates with the options of this codec: the middle step of decode."""
        order = self.keypoint_order
        if order is None and len(candidates.scores) == len(COCO_ORDER):
            order = COCO_ORDER
        return group(
            candidates,
            max_instances=self.max_instances,
            detection_threshold=self.detection_threshold,
            tag_threshold=self.tag_threshold,
            use_detection_val=self.use_detection_val,
            ignore_too_much=self.ignore_too_much,
            keypoint_order=order,
            assignment=self.assignment,
        )

    def decode_batch(self, heatmaps: Any, tags: Any, threads: int = 1) -> list[People]:
        """Find the people of N images, heatmaps (N, K, H, W), on several threads.

        The kernels release the GIL, so that threads run side by side.
        """
        if len(heatmaps) != len(tags):
            raise ValueError(f"tags must be of {len(heatmaps)} images, got {len(tags)}")
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.decode, heatmaps, tags))
