"""Which part of its image a sample can show, and how finely, whatever its augmentation draws."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.persons import Persons
from pose_data.samples.crop import Augmentation
from pose_data.samples.scene import SceneAugmentation, SceneParams, scene_matrix
from pose_data.skeleton import Skeleton

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Size = tuple[int, int]

PADDING = 1.25  # of a box, as TopDown has it
_HALF_PADDING = 1.5  # of half a body
_FINEST = 2.0  # stored pixels per pixel of the input, before augmentation, at most
_SEAM = 2  # pixels that interpolation and rounding may reach beyond a sample


class Reach(NamedTuple):
    """What N samples can show of their images.

    boxes (N, 4): left, top, right, bottom in whole pixels, the last two exclusive. steps (N,): how
    many pixels of the image one stored pixel may stand for, at least 1. sizes (N, 2): the images'.
    """

    boxes: Ints
    steps: Doubles
    sizes: Ints

    def at_steps(self, steps: Doubles) -> Ints:
        """Return the boxes with a stored pixel more on each side, where these have such steps.

        Samples interpolate between the middles of stored pixels.
        """
        more = np.where(steps > 1, np.ceil(steps), 0).astype(np.int64)[:, None]
        low, high = self.boxes[:, :2] - more, self.boxes[:, 2:] + more
        return np.concatenate([np.maximum(low, 0), np.minimum(high, self.sizes)], axis=1)


def extremes(augment: Augmentation | SceneAugmentation | None) -> dict[str, Any]:
    """Return the numbers of an augmentation that decide what can be seen; larger ones see more."""
    if isinstance(augment, SceneAugmentation):
        return {"zoom": 1 / augment.scale[0], "side": augment.side}
    aug = augment or Augmentation(half_body_prob=0, shift_prob=0, scale_prob=0, rotate_prob=0)
    return {
        "scale": aug.scale if aug.scale_prob else 0.0,
        "rotate": aug.rotate if aug.rotate_prob else 0.0,
        "shift": aug.shift if aug.shift_prob else 0.0,
        "half_body": aug.half_body_prob > 0,
    }


def reach_of_persons(persons: Persons, input_size: Size, augment: Augmentation | None) -> Reach:
    """Return what the top-down samples of persons can show; see `TopDown`."""
    extreme = extremes(augment)
    boxes = persons.bbox_xyxy.astype(np.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    bases = [((low + high) / 2, (high - low) * PADDING)]  # centers and scales, each (N, 2)
    if augment is not None and extreme["half_body"]:
        bases += _half_bodies(persons, augment)
    low, high = np.full((len(persons), 2), np.inf), np.full((len(persons), 2), -np.inf)
    for center, scale in bases:
        sides = _fix_aspect(scale * (1 + extreme["scale"]), input_size)
        reach = _half_extent(sides, extreme["rotate"]) + extreme["shift"] * scale + _SEAM
        low, high = np.fmin(low, center - reach), np.fmax(high, center + reach)  # NaN: no such half
    size = persons.image_sizes[persons.image_index]
    box = np.concatenate([np.clip(np.floor(low), 0, size), np.clip(np.ceil(high), 0, size)], axis=1)
    density = _fix_aspect(bases[0][1], input_size)[:, 0] / input_size[0]  # pixels per input pixel
    steps = _steps(density, 1 / (1 - extreme["scale"]))
    return Reach(box.astype(np.int64), steps, size)


def reach_of_images(
    persons: Persons, rows: Ints, input_size: Size, augment: SceneAugmentation
) -> Reach:
    """Return what the bottom-up samples of images, rows of those of `persons`, can show: all."""
    sizes = persons.image_sizes[rows]
    middle = SceneParams(1.0, 0.0, (0, 0), False)
    density = [
        1 / scene_matrix((w, h), middle, input_size, augment.side)[0, 0] for w, h in sizes.tolist()
    ]
    steps = _steps(np.array(density, np.float64), extremes(augment)["zoom"])
    return Reach(np.concatenate([np.zeros_like(sizes), sizes], axis=1), steps, sizes)


def _steps(density: Doubles, zoom: float) -> Doubles:
    """Return how many pixels may become one: no sample is then sharper than its pixels."""
    return np.maximum(1.0, density / min(_FINEST, max(1.0, zoom)))


def _half_bodies(persons: Persons, augment: Augmentation) -> list[tuple[Doubles, Doubles]]:
    """Return centers and scales (N, 2) around half of each body, NaN where there are none.

    All that crop.half_body_box can choose, in the image and in its mirror image.
    """
    skeleton, halves = persons.skeleton, []
    labelled = persons.visible > 0  # (N, K)
    enough = labelled.sum(axis=1) >= augment.half_body_min_keypoints
    for half, least in ((skeleton.upper_body, 2), (skeleton.lower_body, 3)):
        for chosen in _both_ways(skeleton, half):
            used = labelled[:, chosen]
            used &= (enough & (used.sum(axis=1) >= least))[:, None]  # (N, n)
            points = np.where(used[..., None], persons.keypoints[:, chosen], np.nan)  # (N, n, 2)
            there = used.any(axis=1)
            center, extent = np.full((2, len(persons), 2), np.nan)
            center[there] = np.nanmean(points[there], axis=1)
            extent[there] = np.nanmax(points[there], axis=1) - np.nanmin(points[there], axis=1)
            halves.append((center, extent * _HALF_PADDING))
    return halves


def _both_ways(skeleton: Skeleton, half: tuple[int, ...]) -> list[list[int]]:
    """Return the keypoints of half a body, and those at their places in a mirrored image."""
    ways = {tuple(sorted(half)), tuple(sorted(skeleton.flip_indices[k] for k in half))}
    return [list(way) for way in sorted(ways) if way]


def _fix_aspect(scale: Doubles, input_size: Size) -> Doubles:
    """Enlarge widths and heights (N, 2) to the aspect ratio of the input."""
    ratio = input_size[0] / input_size[1]
    width = np.maximum(scale[:, 0], scale[:, 1] * ratio)
    return np.stack([width, width / ratio], axis=1)


def _half_extent(sides: Doubles, rotate: float) -> Doubles:
    """Return how far boxes (N, 2) reach from their middle at most, turned by up to `rotate`."""
    extents = []
    for along, across in (sides.T, sides.T[::-1]):
        angle = np.minimum(np.arctan2(across, along), np.deg2rad(rotate))
        extents.append((along * np.cos(angle) + across * np.sin(angle)) / 2)
    return np.stack(extents, axis=1)
