"""Top-down samples: one person's crop with its training target."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data.coco import Persons
from pose_data.errors import DatasetError
from pose_data.transforms import (
    NO_AUGMENTATION,
    Augmentation,
    AugmentationParams,
    Floats,
    box_to_center_scale,
    crop_matrix,
    fix_aspect,
    flip_points,
    half_body_box,
    move_box,
    sample_augmentation,
    transform_points,
)

Encode = Callable[[Floats, Floats], tuple[Floats, Floats]]


@dataclass(frozen=True)
class TopDown:
    """A map-style dataset of one sample per person; fits torch's DataLoader without torch.

    encode: (keypoints (K, 2) in input pixels, labelled (K,) of 0 / 1) -> heatmaps, weights.
    augment: None for testing. Samples are drawn with an rng made from (seed, epoch, index), so they
    do not depend on the number of workers, and a resumed run sees what an unbroken one would.
    """

    persons: Persons
    input_size: tuple[int, int]
    encode: Encode | None = None
    augment: Augmentation | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.persons)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """Return a sample; key is the person's index, or (epoch, index) when training.

        image (h, w, 3) uint8 RGB; center, scale (2,) of the crop in the picture, index; with
        `encode` also heatmaps (K, h', w') and weights (K,).
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        params = NO_AUGMENTATION
        if self.augment is not None:
            rng = np.random.default_rng((self.seed, epoch, index))
            params = sample_augmentation(rng, self.augment)
        return self.sample(index, params)

    def sample(self, index: int, params: AugmentationParams) -> dict[str, Any]:
        """Make the sample of one person with the given parameters; no randomness in here."""
        persons = self.persons
        image: cv2.typing.MatLike = read_image(persons, index)  # (H, W, 3)
        keypoints, visible = persons.keypoints[index], persons.visible[index]
        center, scale = box_to_center_scale(persons.bbox_xyxy[index])
        if params.flip:
            width, order = image.shape[1], list(persons.skeleton.flip_indices)
            image = cv2.flip(image, 1)
            keypoints, visible = flip_points(keypoints[order], width), visible[order]
            center = flip_points(center, width)
        if params.half_body and self.augment is not None:
            least = self.augment.half_body_min_keypoints
            half = half_body_box(keypoints, visible, persons.skeleton, params.prefer_upper, least)
            center, scale = half or (center, scale)
        center, scale = move_box(center, scale, params)
        scale = fix_aspect(scale, self.input_size)

        matrix = crop_matrix(center, scale, params.rotation, self.input_size)
        crop = cv2.warpAffine(image, matrix, self.input_size, flags=cv2.INTER_LINEAR)  # (h, w, 3)
        sample = {
            "image": cv2.cvtColor(crop, cv2.COLOR_BGR2RGB),
            "center": center,
            "scale": scale,
            "index": index,
        }
        if self.encode is not None:
            # COCO's 1 (occluded) and 2 (visible) both train with weight 1.
            labelled = np.minimum(visible, np.float32(1))
            heatmaps, weights = self.encode(transform_points(keypoints, matrix), labelled)
            sample |= {"heatmaps": heatmaps, "weights": weights}
        return sample


def read_image(persons: Persons, index: int) -> NDArray[np.uint8]:
    """Decode the picture of a person as (H, W, 3) BGR; raises DatasetError."""
    path = persons.image_path(index)
    # The EXIF orientation is ignored: COCO's annotations refer to the stored pixels.
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        problem = "cannot be decoded" if path.is_file() else "does not exist"
        raise DatasetError(
            f"{persons.annotation_file} annotation id {persons.ids[index]}: image {path} {problem}"
        )
    return image  # type: ignore[return-value]
