"""Bottom-up samples: a whole image with targets and masks for every output of the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.images.channels import Channels
from pose_data.images.decode import (
    BrokenImages,
    Decode,
    Decoded,
    check_choices,
    possible_reduction,
    read_picture,
)
from pose_data.images.headers import Exif
from pose_data.images.warp import Warp, warp_affine
from pose_data.opencv import cv2
from pose_data.packing.read import Pack
from pose_data.persons import Persons
from pose_data.regions import trained_pixels
from pose_data.samples import scene
from pose_data.samples.crop import Floats, flip_points, mirror_matrix, transform_points
from pose_data.samples.pixels import UNCHANGED, change_pixels
from pose_data.samples.scene import SceneAugmentation, SceneParams, Size

EncodePeople = Callable[[Floats, Floats, Size], tuple[Floats, NDArray[np.int32]]]
Rows = NDArray[np.int64]

_MOST_TRIES = 100  # at other images, where some are broken


@dataclass(frozen=True)
class BottomUp:
    """A map-style dataset of one sample per image; fits torch's DataLoader without torch.

    Training (`augment`) takes the images with annotations, at `input_size`, with targets and masks
    for maps of each of `heatmap_sizes`. Testing (None) takes all images, resized so that the short
    side is about the smaller of `input_size`, once for each of `scale_factors`.

    encode: (keypoints (P, K, 2) in pixels of the map, visible (P, K), map size (w, h)) -> heatmaps
    (K, h, w), tag indices (max_people, K, 2). It is called for each map because a mirrored map
    mirrors about its own middle, as published: half a pixel of the input from the input's.
    max_people: of more with labelled keypoints, those with a keypoint in the sample come first and
    the others are left out (the published code raises).

    Samples are drawn with an rng made from the seed and the key. warp, decode, exif, bits, channels
    and max_broken are those of TopDown; decode="fast" reads a JPEG at a fraction of its size where
    even the smallest region that `augment` can draw, or the largest test size, has fewer pixels.
    pack: as TopDown's; for training alone.
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
    pack: Pack | None = None
    broken: BrokenImages = field(init=False, repr=False, compare=False)
    _image_dir: Path = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choices(self.warp, self.decode, self.exif, self.bits, self.channels)
        if self.augment is not None and self.persons.regions is None:
            raise ValueError("persons have no regions to train on: they are boxes, not annotations")
        if not all(factor > 0 for factor in self.scale_factors) or not self.scale_factors:
            raise ValueError(f"scale_factors must be above 0, got {self.scale_factors}")
        object.__setattr__(self, "broken", BrokenImages(self.max_broken))
        object.__setattr__(self, "_image_dir", self.persons.image_dir)
        if self.pack is not None:
            self.pack.check_reading(self.exif, self.bits)
            self._pack_rows  # noqa: B018  # found now, or refused

    def __len__(self) -> int:
        return len(self.images)

    def image_row(self, index: int) -> int:
        """Return the row of a sample's image among those of `persons`."""
        return int(self.images[index])

    def __getitem__(self, key: int | tuple[int, ...]) -> dict[str, Any]:
        """Return a sample; key is its index, or (epoch, index[, repeat]) when training.

        Training: image (h, w, 3) uint8 RGB, or (h, w, 1); matrix (2, 3) from the file's image to
        it, for `inverse`; mirrored; image_id; index; masks, one bool (H, W) for each map, False
        where the loss must not look; and heatmaps and indices from `encode`, one for each map, or
        without it keypoints (P, K, 2) for each map and visible (P, K).

        Testing: images, one for each scale factor, largest first; center, scale (2,) and base_size,
        for keypoints_to_image; matrices; image_id; index.
        """
        drawn = key if isinstance(key, tuple) else (0, key)
        index = drawn[1]
        if self.augment is None:
            return self.test_sample(index)
        rng = np.random.default_rng((self.seed, *drawn))
        for _ in range(_MOST_TRIES):
            size = self._image_size(self.images[index])
            params = scene.sample_scene(rng, self.augment, size)
            try:
                return self.sample(index, params)
            except DatasetError as error:
                self.broken.skip(self._image_path(self.images[index]), error)
                index = int(rng.integers(len(self)))
        raise DatasetError(f"{self.persons.annotation_file}: hardly any image can be read")

    def sample(self, index: int, params: SceneParams) -> dict[str, Any]:
        """Make a training sample with the given parameters; no randomness in here."""
        persons, row = self.persons, self.images[index]
        side = self.augment.side if self.augment is not None else "short"
        size = self._image_size(row)
        matrix = scene.scene_matrix(size, params, self.input_size, side)
        decoded = self._read(row) if self.pack is None else self._read_packed(index)
        image = self._warp(decoded, matrix, self.input_size)
        if params.flip:
            image = np.atleast_3d(cv2.flip(image, 1))  # OpenCV leaves out a last dimension of 1
            matrix = mirror_matrix(self.input_size[0])[:2] @ np.vstack([matrix, [0, 0, 1]])
        if params.pixel_params != UNCHANGED:
            image = change_pixels(image, params.pixel_params)
        order, first = self._by_image
        rows = order[first[row] : first[row + 1]]
        keypoints, visible = self._people(rows, matrix)
        if params.flip:
            swapped = np.array(persons.skeleton.flip_indices, np.intp)
            keypoints, visible = keypoints[:, swapped], visible[:, swapped]
        trained = trained_pixels(persons.regions, rows, size)  # (H, W), 0 or 255
        masks, points = [], []
        for map_size in self.heatmap_sizes:
            to_map = scene.scene_matrix(size, params, map_size, side)
            mask = warp_affine(trained, to_map, map_size, self.warp) > 127
            masks.append(np.ascontiguousarray(mask[:, ::-1]) if params.flip else mask)
            moved = transform_points(keypoints, to_map)  # (P, K, 2)
            points.append(flip_points(moved, map_size[0]) if params.flip else moved)
        sample: dict[str, Any] = {
            "image": image,
            "matrix": matrix,
            "mirrored": params.flip,
            "image_id": int(persons.image_ids[row]),
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
        """Make the sample of one image for a test at each of the scale factors."""
        row, short_side = self.images[index], min(self.input_size)
        size, factors = self._image_size(row), sorted(self.scale_factors, reverse=True)
        base = scene.resize_for_test(size, short_side, 1.0, factors[-1])
        resized = [scene.resize_for_test(size, short_side, f, factors[-1]) for f in factors]
        decoded = self._read(row)
        return {
            "images": [self._warp(decoded, each.matrix(), each.size) for each in resized],
            "matrices": [each.matrix() for each in resized],
            "center": base.center,
            "scale": base.scale,
            "base_size": base.size,
            "image_id": int(self.persons.image_ids[row]),
            "index": index,
        }

    @cached_property
    def images(self) -> Rows:
        """The images of the samples, rows of those of `persons`."""
        persons = self.persons
        if self.augment is None or persons.regions is None:
            return np.arange(len(persons.image_ids))
        return np.unique(persons.regions.image_index)

    @cached_property
    def _by_image(self) -> tuple[Rows, Rows]:
        """The regions ordered by image, and where those of each image begin (I + 1,)."""
        assert self.persons.regions is not None
        image_index = self.persons.regions.image_index
        order = np.argsort(image_index, kind="stable")
        rows = np.arange(len(self.persons.image_ids) + 1)
        return order, np.searchsorted(image_index[order], rows)

    def _image_size(self, row: int) -> Size:
        width, height = self.persons.image_sizes[row].tolist()
        return width, height

    def _image_path(self, row: int) -> Path:
        return self._image_dir / str(self.persons.file_names[row])

    def _read(self, row: int) -> Decoded:
        size, reduce = self._image_size(row), 1
        if self.decode == "fast" and self.augment is not None:
            smallest = SceneParams(self.augment.scale[0], 0.0, (0, 0), False)
            matrix = scene.scene_matrix(size, smallest, self.input_size, self.augment.side)
            reduce = int(possible_reduction(1 / matrix[0, 0]))
        elif self.decode == "fast":
            factors = max(self.scale_factors), min(self.scale_factors)
            out = scene.resize_for_test(size, min(self.input_size), *factors)
            reduce = int(possible_reduction(out.scale[0] / out.size[0]))
        options = reduce, self.exif, self.bits, self.channels
        try:
            return read_picture(self._image_path(row), size, *options)
        except DatasetError as error:
            where = f"{self.persons.file_of_image(row)} image id {self.persons.image_ids[row]}"
            raise DatasetError(f"{where}: {error}") from error

    def _read_packed(self, index: int) -> Decoded:
        assert self.pack is not None
        return self.pack.read(int(self._pack_rows[index]), channels=self.channels)

    @cached_property
    def _pack_rows(self) -> Rows:
        """Where each of `images` is in the pack."""
        assert self.pack is not None
        if self.augment is None:
            raise ValueError("a pack is for training: give augment, or no pack")
        return self.pack.rows_of_images(self.persons, self.images, self.input_size, self.augment)

    def _warp(self, decoded: Decoded, matrix: NDArray[np.float64], size: Size) -> NDArray[np.uint8]:
        """Return a part of an image: (h, w, 3) RGB, or (h, w, 1)."""
        to_part = matrix @ decoded.matrix()
        image = warp_affine(decoded.pixels, to_part, size, self.warp)
        if self.channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)  # type: ignore[assignment]
        return np.atleast_3d(image)

    def _people(self, rows: Rows, matrix: NDArray[np.float64]) -> tuple[Floats, Floats]:
        """Return the keypoints (P, K, 2) in the image and visible (P, K) of those to learn."""
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
