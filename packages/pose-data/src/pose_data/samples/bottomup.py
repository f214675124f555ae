"""Bottom-up samples: a whole picture with targets and masks for every output of the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.images.channels import Channels, in_channels, to_input
from pose_data.images.decode import (
    BrokenPictures,
    Decode,
    Picture,
    check_choices,
    possible_reduction,
    read_picture,
)
from pose_data.images.headers import Exif
from pose_data.images.warp import Warp, warp_affine
from pose_data.persons import Persons
from pose_data.regions import trained_pixels
from pose_data.samples import scene
from pose_data.samples.crop import Floats, flip_points, mirror_matrix, transform_points
from pose_data.samples.pixels import UNCHANGED, PixelParams, change_pixels, sample_pixels
from pose_data.samples.scene import SceneAugmentation, SceneParams, Size

EncodePeople = Callable[[Floats, Floats, Size], tuple[Floats, NDArray[np.int32]]]
Rows = NDArray[np.int64]

_MOST_TRIES = 100  # at other pictures, where some are broken


@dataclass(frozen=True)
class BottomUp:
    """A map-style dataset of one sample per picture; fits torch's DataLoader without torch.

    Training (`augment`) takes the pictures with annotations, at `input_size`, with targets and
    masks for maps of each of `heatmap_sizes`. Testing (None) takes all pictures, resized so that
    the short side is about the smaller of `input_size`, once for each of `scale_factors`.

    encode: (keypoints (P, K, 2) in pixels of the map, visible (P, K), map size (w, h)) -> heatmaps
    (K, h, w), tag indices (max_people, K, 2). It is called for each map because a mirrored map
    mirrors about its own middle, as published: half a pixel of the input from the input's.
    max_people: of more with labelled keypoints, those with a keypoint in the sample come first and
    the others are left out (the published code raises).

    Samples are drawn with an rng made from the seed and the key. warp, decode, exif, bits, channels
    and max_broken are those of TopDown; decode="fast" reads a JPEG at a fraction of its size where
    even the smallest region that `augment` can draw, or the largest test size, has fewer pixels.
    """

    persons: Persons
    input_size: Size = (512, 512)
    heatmap_sizes: Sequence[Size] = ((128, 128), (256, 256))
    encode: EncodePeople | None = None
    augment: SceneAugmentation | None = None
    scale_factors: Sequence[float] = (1.0,)
    max_people: int = 30
    seed: int = 0
    warp: Warp = "cv2"
    decode: Decode = "exact"
    exif: Exif = "auto"
    bits: int | None = None
    channels: Channels = 3
    max_broken: int = 10
    broken: BrokenPictures = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choices(self.warp, self.decode, self.exif, self.bits, self.channels)
        if self.augment is not None and self.persons.regions is None:
            raise ValueError("persons have no regions to train on: they are boxes, not annotations")
        if not all(factor > 0 for factor in self.scale_factors) or not self.scale_factors:
            raise ValueError(f"scale_factors must be above 0, got {self.scale_factors}")
        object.__setattr__(self, "broken", BrokenPictures(self.max_broken))

    def __len__(self) -> int:
        return len(self.images)

    def image_row(self, index: int) -> int:
        """Return the row of a sample's image among those of `persons`."""
        return int(self.images[index])

    def __getitem__(self, key: int | tuple[int, ...]) -> dict[str, Any]:
        """Return a sample; key is its index, or (epoch, index[, repeat]) when training.

        Training: image (h, w, 3) uint8 RGB, or (h, w, 1); matrix (2, 3) from the picture to it, for
        `inverse`; mirrored; image_id; index; masks, one bool (H, W) for each map, False where the
        loss must not look; and heatmaps and indices from `encode`, one for each map, or without it
        keypoints (P, K, 2) for each map and visible (P, K).

        Testing: images, one for each scale factor, largest first; center, scale (2,) and base_size,
        for keypoints_to_image; matrices; image_id; index.
        """
        drawn = key if isinstance(key, tuple) else (0, key)
        index = drawn[1]
        if self.augment is None:
            return self.test_sample(index)
        aug, rng = self.augment, np.random.default_rng((self.seed, *drawn))
        for _ in range(_MOST_TRIES):
            size = self._image_size(index)
            params = scene.sample_scene(rng, aug, size)
            pixels = sample_pixels(rng, aug.colour, aug.blur, aug.noise, aug.erase)
            try:
                return self.sample(index, params, pixels)
            except DatasetError as error:
                self.broken.skip(self._image_path(index), error)
                index = int(rng.integers(len(self)))
        raise DatasetError(f"{self.persons.annotation_file}: hardly any picture can be read")

    def sample(
        self, index: int, params: SceneParams, pixels: PixelParams = UNCHANGED
    ) -> dict[str, Any]:
        """Make a training sample with the given parameters; no randomness in here."""
        side = self.augment.side if self.augment is not None else "short"
        size = self._image_size(index)
        matrix = scene.scene_matrix(size, params, self.input_size, side)
        image = self._warp(self._read(index), matrix, self.input_size)
        if params.flip:
            # OpenCV leaves out a last dimension of 1.
            image = cv2.flip(image, 1).reshape(image.shape)  # type: ignore[assignment]
            matrix = (mirror_matrix(self.input_size[0]) @ np.vstack([matrix, [0, 0, 1]]))[:2]
        (order, first), row = self._by_image, self.images[index]
        rows = order[first[row] : first[row + 1]]
        keypoints, visible = self._people(rows, matrix)
        if params.flip:
            swapped = np.array(self.persons.skeleton.flip_indices, np.intp)
            keypoints, visible = keypoints[:, swapped], visible[:, swapped]
        trained = trained_pixels(self.persons.regions, rows, size)  # (H, W), 0 or 255
        masks, points = [], []
        for map_size in self.heatmap_sizes:
            to_map = scene.scene_matrix(size, params, map_size, side)
            mask = warp_affine(trained, to_map, map_size, self.warp) > 127
            masks.append(np.ascontiguousarray(mask[:, ::-1]) if params.flip else mask)
            moved = transform_points(keypoints, to_map)  # (P, K, 2)
            points.append(flip_points(moved, map_size[0]) if params.flip else moved)
        sample: dict[str, Any] = {
            "image": change_pixels(image, pixels),
            "matrix": matrix,
            "mirrored": params.flip,
            "image_id": int(self.persons.image_ids[row]),
            "index": index,
            "masks": masks,
        }
        if self.encode is None:
            return sample | {"keypoints": points, "visible": visible}
        maps = zip(points, self.heatmap_sizes, strict=True)
        targets = [self.encode(moved, visible, map_size) for moved, map_size in maps]
        heatmaps, indices = zip(*targets, strict=True)
        return sample | {"heatmaps": heatmaps, "indices": indices}

    def test_sample(self, index: int) -> dict[str, Any]:
        """Make the sample of one picture for a test at each of the scale factors."""
        size, short_side = self._image_size(index), min(self.input_size)
        factors = sorted(self.scale_factors, reverse=True)
        base = scene.resize_for_test(size, short_side, 1.0, factors[-1])
        resized = [scene.resize_for_test(size, short_side, f, factors[-1]) for f in factors]
        picture = self._read(index)
        return {
            "images": [self._warp(picture, each.matrix(), each.size) for each in resized],
            "matrices": [each.matrix() for each in resized],
            "center": base.center,
            "scale": base.scale,
            "base_size": base.size,
            "image_id": int(self.persons.image_ids[self.images[index]]),
            "index": index,
        }

    @cached_property
    def images(self) -> Rows:
        """The pictures of the samples, rows of those of `persons`."""
        persons = self.persons
        if self.augment is None or persons.regions is None:
            return np.arange(len(persons.image_ids))
        return np.unique(persons.regions.image_index)

    def _warp(self, picture: Picture, matrix: NDArray[np.float64], size: Size) -> NDArray[np.uint8]:
        """Return a part of a picture: (h, w, 3) RGB, or (h, w, 1)."""
        if picture.reduced_by > 1:
            matrix = matrix @ picture.matrix()
        return to_input(warp_affine(picture.pixels, matrix, size, self.warp))

    def _people(self, rows: Rows, matrix: NDArray[np.float64]) -> tuple[Floats, Floats]:
        """Return the keypoints (P, K, 2) in the picture and visible (P, K) of those to learn."""
        regions = self.persons.regions
        assert regions is not None
        rows = rows[~regions.is_crowd[rows] | (regions.num_keypoints[rows] > 0)]
        keypoints = regions.keypoints[rows].astype(np.float32, copy=False)
        visible = regions.visible[rows]
        labelled = visible > 0
        if labelled[self.max_people :].any():  # else the slots behind are empty, and allowed
            points = transform_points(keypoints, matrix)
            inside = ((points > -1) & (points < self.input_size)).all(axis=2) & labelled
            rank = 2 - inside.any(axis=1) - labelled.any(axis=1).astype(int)
            chosen = np.sort(np.argsort(rank, kind="stable")[: self.max_people])
            keypoints, visible = keypoints[chosen], visible[chosen]
        return keypoints, visible

    @cached_property
    def _by_image(self) -> tuple[Rows, Rows]:
        """Return the regions ordered by picture, and where each picture's begin (I + 1,)."""
        assert self.persons.regions is not None
        image_index = self.persons.regions.image_index
        order = np.argsort(image_index, kind="stable")
        pictures = np.arange(len(self.persons.image_ids) + 1)
        return order, np.searchsorted(image_index[order], pictures)

    def _read(self, index: int) -> Picture:
        size, reduce = self._image_size(index), 1
        if self.decode == "fast" and self.augment is not None:
            smallest = SceneParams(self.augment.scale[0], 0.0, (0, 0), False)
            matrix = scene.scene_matrix(size, smallest, self.input_size, self.augment.side)
            reduce = int(possible_reduction(1 / matrix[0, 0]))
        elif self.decode == "fast":
            factors = max(self.scale_factors), min(self.scale_factors)
            out = scene.resize_for_test(size, min(self.input_size), *factors)
            reduce = int(possible_reduction(out.scale[0] / out.size[0]))
        try:
            picture = read_picture(self._image_path(index), size, reduce, self.exif, self.bits)
            return picture._replace(pixels=in_channels(picture.pixels, self.channels))
        except DatasetError as error:
            row, file = self.images[index], self.persons.annotation_file
            if sources := self.persons.sources:
                last = np.cumsum([source.num_images for source in sources])
                file = sources[int(np.searchsorted(last, row, side="right"))].annotation_file
            image_id = self.persons.image_ids[row]
            raise DatasetError(f"{file} image id {image_id}: {error}") from error

    def _image_size(self, index: int) -> Size:
        width, height = self.persons.image_sizes[self.images[index]].tolist()
        return width, height

    def _image_path(self, index: int) -> Path:
        return self.persons.image_dir / str(self.persons.file_names[self.images[index]])
