"""Pictures to people, in three lines of Python."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pose_codecs import AssociativeEmbedding
from pose_data import DatasetError, keypoints_to_image, warp_affine
from pose_data.images.decode import read_picture
from pose_data.samples.crop import box_to_center_scale, crop_matrix, fix_aspect, udp_matrix
from pose_data.samples.scene import resize_for_test
from pose_data.samples.topdown import PADDING
from pose_eval import rescore
from pose_train.people import find_people, stack_test_samples
from pose_train.predict import finite_maps, predict_heatmaps
from pose_train.trained import Trained, load_trained

Image = NDArray[np.uint8]
Detector = Callable[[Image], ArrayLike]

MAX_RATIO = 16  # of a picture's sides, bottom-up; 3x3000 pixels would be 512x512000


class People(NamedTuple):
    """The P people of a picture.

    keypoints (P, K, 2) in its pixels, scores (P, K), person_scores (P,), bboxes (P, 4) xyxy: those
    given, or the extent of the keypoints found.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    person_scores: NDArray[np.float32]
    bboxes: NDArray[np.float32]


@dataclass(frozen=True)
class Predictor:
    """Find people with a trained network: `Predictor.from_checkpoint(path)(image)`."""

    trained: Trained
    flip_test: bool = True
    batch_size: int = 32

    @classmethod
    def from_checkpoint(
        cls,
        source: str | Path,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        flip_test: bool | None = None,
        overrides: Sequence[str] = (),
    ) -> "Predictor":
        """Load a network: a run directory, a checkpoint of ours, or a preset and its weights.

        flip_test: average with the mirrored picture; None is as in the config. overrides: of the
        config, `key.sub=value`. Raises ConfigError or CheckpointError.
        """
        trained = load_trained(source, weights=weights, overrides=overrides, device=device)
        flip = trained.config.eval.flip_test if flip_test is None else flip_test
        return cls(trained, flip)

    def __call__(
        self, image: str | Path | Image, bboxes: ArrayLike | Detector | None = None
    ) -> People:
        """Return the people in an image: a file, or an array (H, W, 3) uint8 BGR as OpenCV reads.

        A file is seen upright, by its EXIF orientation, and so are the results.

        bboxes: (P, 4) xyxy of the persons, or (P, 5) with the boxes' scores, or a function that
        returns them for a BGR array. Without them a top-down network takes the whole image for one
        person; a bottom-up network needs none, and takes none.

        Raises DatasetError for a file that cannot be read and for a strip that bottom-up would not
        fit into memory, ValueError for wrong shapes.
        """
        if not isinstance(image, np.ndarray):
            image = read_picture(Path(image)).pixels
        pixels = check_image(image)
        if self.trained.config.recipe == "bottomup":
            if bboxes is not None:
                raise ValueError("a bottom-up network finds people by itself: leave bboxes out")
            return self._whole(pixels)
        if bboxes is None:
            boxes = np.array([[0, 0, pixels.shape[1], pixels.shape[0], 1]], np.float32)
        else:
            boxes = check_boxes(bboxes(pixels) if callable(bboxes) else bboxes)
        return self._boxes(pixels, boxes)

    def _boxes(self, image: Image, boxes: NDArray[np.float32]) -> People:
        """Run a top-down network in boxes (P, 5) of an image."""
        config, count = self.trained.config, self.trained.skeleton.num_keypoints
        size, codec = config.model.input_size, self.trained.codec
        assert not isinstance(codec, AssociativeEmbedding)
        matrix_of = udp_matrix if config.codec.udp else crop_matrix
        keypoints = np.empty((len(boxes), count, 2), np.float32)
        scores = np.empty((len(boxes), count), np.float32)
        for start in range(0, len(boxes), self.batch_size):
            part = slice(start, start + self.batch_size)
            places = [box_to_center_scale(box, PADDING) for box in boxes[part, :4]]
            center = np.stack([place[0] for place in places])
            scale = np.stack([fix_aspect(place[1], size) for place in places])
            crops = [
                warp_affine(image, matrix_of(c, s, 0.0, size), size, config.data.chosen_warp)
                for c, s in zip(center, scale, strict=True)
            ]
            heatmaps = predict_heatmaps(
                self.trained.net,
                self._to_rgb(crops),
                self.trained.skeleton.flip_indices if self.flip_test else None,
                shift=not config.codec.udp,
            )
            with finite_maps():
                points, scores[part] = codec.decode(heatmaps.cpu().numpy())
            keypoints[part] = keypoints_to_image(points, center, scale, size)
        person_scores = rescore(boxes[:, 4], scores, "bbox_keypoint").astype(np.float32)
        return People(keypoints, scores, person_scores, boxes[:, :4])

    def _whole(self, image: Image) -> People:
        """Run a bottom-up network on an image."""
        config, codec = self.trained.config, self.trained.codec
        assert isinstance(codec, AssociativeEmbedding)
        factors = sorted(config.eval.multi_scale, reverse=True)
        size, short = (image.shape[1], image.shape[0]), min(config.model.input_size)
        if max(size) > MAX_RATIO * min(size):
            raise DatasetError(
                f"a picture of {size[0]}x{size[1]} is too narrow for a bottom-up network, which "
                f"sees its short side with {short} pixels: up to 1:{MAX_RATIO}"
            )
        base = resize_for_test(size, short, 1.0, factors[-1])
        seen = [resize_for_test(size, short, factor, factors[-1]) for factor in factors]
        sample = {
            "images": [
                cv2.cvtColor(
                    warp_affine(image, each.matrix(), each.size, config.data.chosen_warp),
                    cv2.COLOR_BGR2RGB,
                )
                for each in seen
            ],
            "base_size": base.size,
            "center": base.center,
            "scale": base.scale,
            "image_id": 0,
            "index": 0,
        }
        (scene,) = find_people(
            self.trained.net,
            [stack_test_samples([sample])],
            codec,
            factors,
            device=self.trained.device,
            flip_indices=self.trained.skeleton.flip_indices if self.flip_test else None,
            threads=1,
        )
        return People(
            scene.keypoints,
            scene.scores,
            scene.person_scores,
            extent(scene.keypoints, scene.scores),
        )

    def _to_rgb(self, crops: Sequence[Image]) -> torch.Tensor:
        """Return BGR crops as one RGB batch (B, h, w, 3) on the network's device."""
        batch = np.ascontiguousarray(np.stack(crops)[..., ::-1])
        return torch.from_numpy(batch).to(self.trained.device, non_blocking=True)


def check_image(image: Image) -> Image:
    """Return the image if it is (H, W, 3) uint8; raises ValueError."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"an image must be (H, W, 3) uint8 in BGR order, got {image.shape} {image.dtype}"
        )
    return image


def check_boxes(bboxes: ArrayLike) -> NDArray[np.float32]:
    """Return boxes as (P, 5): x1, y1, x2, y2, score (1 where not given); raises ValueError."""
    boxes = np.asarray(bboxes, np.float32)
    if boxes.size == 0:
        return np.empty((0, 5), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f"bboxes must be (P, 4) xyxy or (P, 5) with scores, got {boxes.shape}")
    is_bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:4] <= boxes[:, :2]).any(axis=1)
    if is_bad.any():
        bad = int(is_bad.argmax())
        raise ValueError(
            f"bboxes are x1, y1, x2, y2 with x1 < x2 and y1 < y2, got {boxes[bad, :4].tolist()} in "
            f"row {bad}; is it x, y, width, height?"
        )
    if boxes.shape[1] == 4:
        boxes = np.concatenate([boxes, np.ones((len(boxes), 1), np.float32)], axis=1)
    return boxes


def extent(keypoints: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the boxes (P, 4) xyxy around the keypoints (P, K, 2) that have a score above 0."""
    found = (scores > 0)[..., None]
    low = np.where(found, keypoints, np.inf).min(axis=1)
    high = np.where(found, keypoints, -np.inf).max(axis=1)
    boxes: NDArray[np.float32] = np.concatenate([low, high], axis=1).astype(np.float32)
    return np.where(np.isfinite(boxes), boxes, np.float32(0))
