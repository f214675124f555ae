"""Top-down samples: one person's crop with its training target."""

from collections.abc import Callable
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
    ImageCache,
    check_choices,
    possible_reduction,
)
from pose_data.images.headers import Exif
from pose_data.images.warp import Warp, warp_affine
from pose_data.opencv import cv2
from pose_data.packing.read import Pack
from pose_data.persons import Persons
from pose_data.samples import crop
from pose_data.samples.crop import NO_AUGMENTATION, Augmentation, AugmentationParams, Floats
from pose_data.samples.pixels import UNCHANGED, change_pixels

Encode = Callable[[Floats, Floats], tuple[Floats, Floats]]
PADDING = 1.25  # of a box, as published

_MOST_TRIES = 100  # at other persons, where images are broken


@dataclass(frozen=True)
class TopDown:
    """A map-style dataset of one sample per person; fits torch's DataLoader without torch.

    encode: (keypoints (K, 2) in input pixels, labelled (K,) of 0 / 1) -> heatmaps, weights.
    augment: None for testing. Samples are drawn with an rng made from the seed and the key, so they
    do not depend on the number of workers, and a resumed run sees what an uninterrupted one would.
    warp: "cv2" is what the installed OpenCV does; "opencv4" what published results were made with,
    the same bytes under every OpenCV. udp: unbiased crops, for UDP heatmaps.
    decode: "fast" reads a JPEG at 1/2, 1/4 or 1/8 of its size where the boxes of all its persons,
    before augmentation, have at least that many pixels per input pixel; "exact" never does.
    exif: "auto" turns an image upright by its EXIF orientation, unless the annotations' width and
    height are those of the stored pixels; "apply" always does, "ignore" never.
    bits: how many bits of 16-bit images are in use, None for all (`decode_picture`). channels: 1
    makes images grey, by OpenCV's BGR2GRAY.
    cache_mb: decoded images that each process keeps, for the next person in the same image.
    pack: where the pixels come from, if not from the image files; persons must be in it, and what
    `augment` can show of them. exif and bits must be those that it was made with, decode does not
    matter, and nothing is kept in memory.
    max_broken: how many images that cannot be read each process replaces in training (logged, the
    other person drawn from the same key) before it raises DatasetError; testing always raises.
    """

    persons: Persons
    input_size: tuple[int, int]
    encode: Encode | None = None
    augment: Augmentation | None = None
    seed: int = 0
    warp: Warp = "cv2"
    udp: bool = False
    decode: Decode = "exact"
    exif: Exif = "auto"
    bits: int | None = None
    channels: Channels = 3
    cache_mb: float = 96.0
    max_broken: int = 10
    pack: Pack | None = None
    broken: BrokenImages = field(init=False, repr=False, compare=False)
    _images: ImageCache = field(init=False, repr=False, compare=False)
    _image_dir: Path = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choices(self.warp, self.decode, self.exif, self.bits, self.channels)
        object.__setattr__(self, "broken", BrokenImages(self.max_broken))
        object.__setattr__(self, "_images", ImageCache(self.cache_mb))
        object.__setattr__(self, "_image_dir", self.persons.image_dir)
        if self.pack is not None:
            self.pack.check_reading(self.exif, self.bits)
            self._pack_rows  # noqa: B018  # found now, or refused

    def __len__(self) -> int:
        return len(self.persons)

    def image_row(self, index: int) -> int:
        """Return the row of a sample's image among those of `persons`."""
        return int(self.persons.image_index[index])

    def __getitem__(self, key: int | tuple[int, ...]) -> dict[str, Any]:
        """Return a sample; key is the person's index, or (epoch, index[, repeat]) when training.

        image (h, w, 3) uint8 RGB, or (h, w, 1); matrix (2, 3) from the file's image to it, for
        `inverse`; mirrored; center, scale (2,) of the crop, for keypoints_to_image; index; with
        `encode` also heatmaps (K, h', w') and weights (K,). In a mirrored sample, `matrix` undoes
        that too, but left keypoints are the right ones of the file; center and scale are of the
        mirrored image.
        """
        drawn = key if isinstance(key, tuple) else (0, key)
        index = drawn[1]
        if self.augment is None:
            return self.sample(index, NO_AUGMENTATION)
        rng = np.random.default_rng((self.seed, *drawn))
        params = crop.sample_augmentation(rng, self.augment)
        for _ in range(_MOST_TRIES):
            try:
                return self.sample(index, params)
            except DatasetError as error:
                self.broken.skip(self.persons.image_path(index), error)
                index = int(rng.integers(len(self)))
        raise DatasetError(f"{self.persons.annotation_file}: hardly any image can be read")

    def sample(self, index: int, params: AugmentationParams) -> dict[str, Any]:
        """Make the sample of one person with the given parameters; no randomness in here."""
        persons, skeleton, flip = self.persons, self.persons.skeleton, params.flip
        row = persons.image_index[index]
        width, height = persons.image_sizes[row].tolist()
        keypoints, visible = persons.keypoints[index], persons.visible[index]
        center, scale = crop.box_to_center_scale(persons.bbox_xyxy[index], PADDING)
        if flip:
            order = np.array(skeleton.flip_indices, np.intp)
            keypoints, visible = crop.flip_points(keypoints[order], width), visible[order]
            center = crop.flip_points(center, width)
        if params.half_body and self.augment is not None:
            least = self.augment.half_body_min_keypoints
            half = crop.half_body_box(keypoints, visible, skeleton, params.prefer_upper, least)
            center, scale = half or (center, scale)
        center, scale = crop.move_box(center, scale, params)
        scale = crop.fix_aspect(scale, self.input_size)

        make_matrix = crop.udp_matrix if self.udp else crop.crop_matrix
        matrix = make_matrix(center, scale, params.rotation, self.input_size)  # (2, 3)
        whole = matrix @ crop.mirror_matrix(width) if flip else matrix
        reduce = int(self._reduce[row]) if self.decode == "fast" else 1
        options = reduce, self.exif, self.bits, self.channels
        try:
            if self.pack is not None:
                decoded = self._read_part(index, whole)
            else:
                path = self._image_dir / str(persons.file_names[row])
                decoded = self._images.read(path, (width, height), *options)
        except DatasetError as error:
            raise DatasetError(f"{persons.where(index)}: {error}") from error
        to_crop = matrix
        if self.pack is not None or reduce > 1:  # not the image as it is
            to_crop = matrix @ decoded.matrix(width if flip else None)
        # Pixels are mirrored, not the matrix: rounding differs.
        image = warp_affine(decoded.pixels, to_crop, self.input_size, self.warp, mirrored=flip)
        if self.channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)  # type: ignore[assignment]
        image = np.atleast_3d(image)  # (h, w, 3) or (h, w, 1)
        if params.pixel_params != UNCHANGED:
            image = change_pixels(image, params.pixel_params)
        sample = {
            "image": image,
            "matrix": whole,
            "mirrored": flip,
            "center": center,
            "scale": scale,
            "index": index,
        }
        if self.encode is not None:
            # COCO's 1 (occluded) and 2 (visible) both train with weight 1.
            labelled = np.minimum(visible, np.float32(1))
            heatmaps, weights = self.encode(crop.transform_points(keypoints, matrix), labelled)
            sample |= {"heatmaps": heatmaps, "weights": weights}
        return sample

    def _read_part(self, index: int, matrix: NDArray[np.float64]) -> Decoded:
        """Return what the pack holds of a person, as far as a crop shows it."""
        assert self.pack is not None
        back = cv2.invertAffineTransform(matrix)  # (2, 3)
        arms = back[:, :2] * np.subtract(self.input_size, 1)
        left, top = np.floor(back[:, 2] + np.minimum(arms, 0).sum(axis=1)).astype(int).tolist()
        right, bottom = np.ceil(back[:, 2] + np.maximum(arms, 0).sum(axis=1)).astype(int).tolist()
        box = left, top, right + 1, bottom + 1
        return self.pack.read(int(self._pack_rows[index]), box, self.channels)

    @cached_property
    def _pack_rows(self) -> NDArray[np.int64]:
        """Where each person (N,) is in the pack."""
        assert self.pack is not None
        return self.pack.rows_of_persons(self.persons, self.input_size, self.augment)

    @cached_property
    def _reduce(self) -> NDArray[np.int64]:
        """By how much each image (I,) can be reduced: 1, 2, 4 or 8; one for all its persons."""
        persons = self.persons
        sides = (persons.bbox_xyxy[:, 2:] - persons.bbox_xyxy[:, :2]) * PADDING / self.input_size
        sharpest = np.full(len(persons.image_ids), np.inf)
        np.minimum.at(sharpest, persons.image_index, sides.max(axis=1))
        return possible_reduction(sharpest)
