"""The plain versions that samples.py compares with: decode and crop per sample, numpy targets.

Written for the comparison, after the published descriptions of the two pipelines.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from pose_data import Augmentation, Persons, SceneAugmentation
from pose_data.samples.crop import (
    box_to_center_scale,
    crop_matrix,
    fix_aspect,
    flip_points,
    half_body_box,
    move_box,
    sample_augmentation,
    transform_points,
)
from pose_data.samples.scene import sample_scene, scene_matrix


class PlainTopDown:
    """Decode the picture, flip all of it, crop: for every person anew."""

    def __init__(self, persons: Persons, input_size: tuple[int, int], encode: Callable[..., Any]):
        self.persons, self.input_size, self.encode = persons, input_size, encode

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        persons, order = self.persons, list(self.persons.skeleton.flip_indices)
        image = cv2.imread(str(persons.image_path(index)))
        params = sample_augmentation(rng, Augmentation())
        keypoints, visible = persons.keypoints[index].copy(), persons.visible[index].copy()
        center, scale = box_to_center_scale(persons.bbox_xyxy[index])
        if params.flip:
            image = cv2.flip(image, 1)
            keypoints = flip_points(keypoints[order], image.shape[1])
            visible = visible[order]
            center = flip_points(center, image.shape[1])
        if params.half_body:
            half = half_body_box(keypoints, visible, persons.skeleton, params.prefer_upper, 9)
            center, scale = half or (center, scale)
        center, scale = move_box(center, scale, params)
        scale = fix_aspect(scale, self.input_size)
        matrix = crop_matrix(center, scale, params.rotation, self.input_size)
        crop = cv2.warpAffine(image, matrix, self.input_size, flags=cv2.INTER_LINEAR)
        points = transform_points(keypoints, matrix)
        heatmaps, weights = self.encode(points, np.minimum(visible, 1))
        return {
            "image": cv2.cvtColor(crop, cv2.COLOR_BGR2RGB),
            "heatmaps": heatmaps,
            "weights": weights,
        }


class PlainBottomUp:
    """Decode, sum up the masks of ignored people, warp image and masks, draw joint by joint."""

    def __init__(self, persons: Persons, side: int, encode: Callable[..., Any] | None = None):
        assert persons.regions is not None
        self.persons, self.regions, self.side = persons, persons.regions, side
        self.encode = encode or plain_targets
        self.rows: dict[int, list[int]] = {}
        for row, image_row in enumerate(self.regions.image_index.tolist()):
            self.rows.setdefault(image_row, []).append(row)

    def sample(self, image_row: int, rng: np.random.Generator) -> dict[str, Any]:
        persons, regions = self.persons, self.regions
        image = cv2.imread(str(persons.image_dir / str(persons.file_names[image_row])))
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        rows = self.rows[image_row]
        mask = np.zeros((height, width), np.float32)
        for row in rows:
            if regions.is_ignored[row]:
                for one in regions.rles(row, (width, height)):
                    mask += rle.decode(one)
        mask = mask < 0.5
        people = [r for r in rows if not regions.is_crowd[r] or regions.num_keypoints[r] > 0]
        keypoints, visible = regions.keypoints[people], regions.visible[people]

        params = sample_scene(rng, SceneAugmentation(), (width, height))
        size = (self.side, self.side)
        image = cv2.warpAffine(image, scene_matrix((width, height), params, size), size)
        if params.flip:
            image = np.ascontiguousarray(image[:, ::-1])
        masks, targets = [], []
        for side in (self.side // 4, self.side // 2):
            matrix = scene_matrix((width, height), params, (side, side))
            warped = cv2.warpAffine((mask * 255).astype(np.uint8), matrix, (side, side)) / 255
            warped = (warped > 0.5).astype(np.float32)
            points, shown = transform_points(keypoints, matrix), visible
            if params.flip:
                warped = np.ascontiguousarray(warped[:, ::-1])
                order = list(persons.skeleton.flip_indices)
                points, shown = flip_points(points[:, order], side), visible[:, order]
            masks.append(warped)
            targets.append(self.encode(points, shown, (side, side)))
        return {"image": image, "masks": masks, "targets": targets}


def plain_targets(
    keypoints: np.ndarray, visible: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw heatmaps (K, h, w) and list tag indices (30, K, 2), joint by joint."""
    w, h = size
    sigma = 2
    reach = 3 * sigma + 1
    x = np.arange(0, 2 * reach + 1, dtype=np.float32)
    patch = np.exp(-((x[None] - reach) ** 2 + (x[:, None] - reach) ** 2) / (2 * sigma**2))
    heatmaps = np.zeros((keypoints.shape[1], h, w), np.float32)
    indices = np.zeros((30, keypoints.shape[1], 2), np.int32)
    for p in range(len(keypoints)):
        used = 0
        for k in range(keypoints.shape[1]):
            column, row = int(keypoints[p, k, 0]), int(keypoints[p, k, 1])
            if not visible[p, k] > 0 or not (0 <= column < w and 0 <= row < h):
                continue
            left, top, right, bottom = column - 7, row - 7, column + 8, row + 8
            into = heatmaps[k, max(0, top) : min(bottom, h), max(0, left) : min(right, w)]
            part = patch[max(0, -top) : min(bottom, h) - top, max(0, -left) : min(right, w) - left]
            np.maximum(into, part, out=into)
            indices[p, used] = (k * h + row) * w + column, 1
            used += 1
    return heatmaps, indices
