"""Images to people, in three lines of Python."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple, overload

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pose_codecs import AssociativeEmbedding
from pose_data import DatasetError, Skeleton, keypoints_to_image, warp_affine
from pose_data.samples.crop import box_to_center_scale, crop_matrix, fix_aspect, udp_matrix
from pose_data.samples.scene import resize_for_test
from pose_data.samples.topdown import PADDING
from pose_eval import rescore
from pose_train.found import Floats, Heatmaps, People, map_matrix
from pose_train.people import find_people, stack_test_samples
from pose_train.pixels import Image, read_pixels
from pose_train.predict import finite_maps, predict_heatmaps
from pose_train.trained import Trained, load_trained

Detector = Callable[[Image], ArrayLike]
Boxes = ArrayLike | Detector | None

MAX_RATIO = 16  # of an image's sides, bottom-up; 3x3000 pixels would be 512x512000


class _Crop(NamedTuple):
    """What a top-down network sees of a box: BGR pixels (h, w, 3) of a region of its image."""

    pixels: Image
    center: Floats
    scale: Floats


class _Pose(NamedTuple):
    """What it finds there; maps (K, h, w) and matrix as in Heatmaps, where they are kept."""

    keypoints: Floats
    scores: Floats
    maps: Floats | None = None
    matrix: NDArray[np.float64] | None = None


class Predictor:
    """Find people with a trained network: `Predictor("runs/mine")("photo.jpg")`."""

    def __init__(
        self,
        source: str | Path | Trained,
        flip_test: bool | None = None,
        batch_size: int = 32,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        overrides: Sequence[str] = (),
    ) -> None:
        """Load a network: a run directory, a checkpoint of ours, or a preset and its weights.

        A network that `load_trained` returned is taken as it is. flip_test: average with the
        mirrored image; None is as in the config. batch_size: boxes that go through the network at
        once. overrides: of the config, `key.sub=value`. Raises ConfigError or CheckpointError.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not isinstance(source, Trained):
            source = load_trained(source, weights=weights, overrides=overrides, device=device)
        self.trained, self.batch_size = source, batch_size
        self.flip_test = source.config.chosen_eval.flip_test if flip_test is None else flip_test

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
        """Do what Predictor(source, ...) does."""
        return cls(source, flip_test, weights=weights, device=device, overrides=overrides)

    @property
    def skeleton(self) -> Skeleton:
        """The names of the K keypoints, what mirrors what, and the links between them."""
        return self.trained.skeleton

    @overload
    def __call__(
        self,
        image: list[Any] | tuple[Any, ...],
        bboxes: Sequence[ArrayLike | None] | Detector | None = None,
        *,
        heatmaps: bool = False,
    ) -> list[People]: ...

    @overload
    def __call__(self, image: Any, bboxes: Boxes = None, *, heatmaps: bool = False) -> People: ...

    def __call__(
        self, image: Any, bboxes: Any = None, *, heatmaps: bool = False
    ) -> People | list[People]:
        """Return the people in an image, or of each image in a list or tuple, in its order.

        image: a path, the bytes of a file, an array (H, W, 3) uint8 BGR as OpenCV reads, a PIL
        image, or a torch tensor uint8 RGB, (3, H, W) or (H, W, 3); see `read_pixels`. A file is
        seen upright, by its EXIF orientation, and so are the results.

        bboxes: (P, 4) xyxy of the persons, or (P, 5) with the boxes' scores, or a function that
        returns them for a BGR array; for a list of images a list of these arrays. Without them
        (None) a top-down network takes the whole image for one person; a bottom-up network needs
        none, and takes none.

        heatmaps: keep them in `people.heatmaps`. The boxes of all images go through the network
        `batch_size` at once; bottom-up, images of one size that follow each other, as many as
        `eval.batch_size`. In another batch the last bits of a result may be others.

        Raises DatasetError for a file that cannot be read and for a strip that bottom-up would not
        fit into memory, ValueError for wrong shapes, TypeError for what is no image.
        """
        is_list = isinstance(image, list | tuple)
        images = image if is_list else [image]
        is_shared = not is_list or bboxes is None or callable(bboxes)
        given = [bboxes] * len(images) if is_shared else list(bboxes)
        if len(given) != len(images):
            raise ValueError(f"{len(images)} images need as many bboxes, got {len(given)}")
        if self.trained.config.recipe != "bottomup":
            found = self._in_boxes(images, given, heatmaps)
        elif any(each is not None for each in given):
            raise ValueError("a bottom-up network finds people by itself: leave bboxes out")
        else:
            found = self._whole(images, heatmaps)
        return found if is_list else found[0]

    def _in_boxes(self, images: Sequence[Any], given: Sequence[Boxes], keep: bool) -> list[People]:
        """Run a top-down network in the boxes of images, of which it holds no more than a batch."""
        boxes: list[Floats] = []  # (P, 5) of each image
        crops, poses = self._crops(images, given, boxes), list[_Pose]()
        while batch := list(islice(crops, self.batch_size)):
            poses += self._poses(batch, keep)
        waiting = iter(poses)
        return [self._people(each, list(islice(waiting, len(each))), keep) for each in boxes]

    def _crops(
        self, images: Sequence[Any], given: Sequence[Boxes], boxes: list[Floats]
    ) -> Iterator[_Crop]:
        """Yield the crops of image after image, and add the boxes of each to `boxes`."""
        config = self.trained.config
        size, matrix_of = config.model.input_size, udp_matrix if config.codec.udp else crop_matrix
        for number, (image, bboxes) in enumerate(zip(images, given, strict=True)):
            with _noting(number, len(images)):
                pixels = read_pixels(image)
                if bboxes is None:
                    bboxes = [[0, 0, pixels.shape[1], pixels.shape[0]]]
                boxes.append(check_boxes(bboxes(pixels) if callable(bboxes) else bboxes))
            for box in boxes[-1]:
                center, scale = box_to_center_scale(box[:4], PADDING)
                scale = fix_aspect(scale, size)
                matrix = matrix_of(center, scale, 0.0, size)
                crop = warp_affine(pixels, matrix, size, config.data.chosen_warp)
                yield _Crop(crop, center, scale)

    def _poses(self, crops: Sequence[_Crop], keep: bool) -> list[_Pose]:
        """Run a top-down network on a batch."""
        config, codec = self.trained.config, self.trained.codec
        assert not isinstance(codec, AssociativeEmbedding)
        pixels, center, scale = (np.stack(each) for each in zip(*crops, strict=True))
        rgb = np.ascontiguousarray(pixels[..., ::-1])  # (B, h, w, 3)
        heatmaps = predict_heatmaps(
            self.trained.net,
            torch.from_numpy(rgb).to(self.trained.device, non_blocking=True),
            self._flip_indices,
            shift=not config.codec.udp,
        )
        maps = heatmaps.cpu().numpy()  # (B, K, h, w)
        with finite_maps():
            points, scores = codec.decode(maps)
        keypoints = keypoints_to_image(points, center, scale, config.model.input_size)
        if not keep:
            return [_Pose(*each) for each in zip(keypoints, scores, strict=True)]
        w, h = codec.heatmap_size
        # The ends of a box are the outer pixel centres of a UDP map (see UDPHeatmap.decode).
        size = (w - 1, h - 1) if config.codec.udp else (w, h)
        matrix = map(map_matrix, center, scale, [size] * len(crops))
        return [_Pose(*each) for each in zip(keypoints, scores, maps, matrix, strict=True)]

    def _people(self, boxes: Floats, poses: Sequence[_Pose], keep: bool) -> People:
        """Return the people of an image from the poses in its boxes (P, 5)."""
        count, codec = self.skeleton.num_keypoints, self.trained.codec
        keypoints = np.array([pose.keypoints for pose in poses], np.float32)
        scores = np.array([pose.scores for pose in poses], np.float32).reshape(-1, count)
        heatmaps = None
        if keep:
            assert not isinstance(codec, AssociativeEmbedding)
            maps = np.array([pose.maps for pose in poses], np.float32)
            heatmaps = Heatmaps(
                maps.reshape(-1, count, *codec.heatmap_size[::-1]),
                np.array([pose.matrix for pose in poses], np.float64).reshape(-1, 2, 3),
            )
        person_scores = rescore(boxes[:, 4], scores, "bbox_keypoint").astype(np.float32)
        keypoints = keypoints.reshape(-1, count, 2)
        return People(keypoints, scores, person_scores, boxes[:, :4], self.skeleton, heatmaps)

    def _whole(self, images: Sequence[Any], keep: bool) -> list[People]:
        """Run a bottom-up network on images."""
        config, codec = self.trained.config, self.trained.codec
        assert isinstance(codec, AssociativeEmbedding)
        factors = sorted(config.chosen_eval.multi_scale, reverse=True)
        scenes = find_people(
            self.trained.net,
            self._batches(images, factors),
            codec,
            factors,
            device=self.trained.device,
            flip_indices=self._flip_indices,
            threads=1 if len(images) == 1 else None,
            keep_maps=keep,
        )
        return [
            People(
                scene.keypoints,
                scene.scores,
                scene.person_scores,
                extent(scene.keypoints, scene.scores),
                self.skeleton,
                scene.heatmaps,
            )
            for scene in scenes
        ]

    def _batches(self, images: Sequence[Any], factors: Sequence[float]) -> Iterator[dict[str, Any]]:
        """Yield batches of images that the network sees at the same sizes."""
        samples = (self._sample(images, number, factors) for number in range(len(images)))
        for _, group in groupby(samples, _sizes):
            while batch := list(islice(group, self.trained.config.chosen_eval.batch_size)):
                yield stack_test_samples(batch)

    def _sample(
        self, images: Sequence[Any], number: int, factors: Sequence[float]
    ) -> dict[str, Any]:
        """Return an image as BottomUp's test samples are."""
        config = self.trained.config
        with _noting(number, len(images)):
            image = read_pixels(images[number])
            size, short = (image.shape[1], image.shape[0]), min(config.model.input_size)
            if max(size) > MAX_RATIO * min(size):
                raise DatasetError(
                    f"an image of {size[0]}x{size[1]} is too narrow for a bottom-up network, which "
                    f"sees its short side with {short} pixels: up to 1:{MAX_RATIO}"
                )
        base = resize_for_test(size, short, 1.0, factors[-1])
        seen = [resize_for_test(size, short, factor, factors[-1]) for factor in factors]
        views = [
            warp_affine(image, each.matrix(), each.size, config.data.chosen_warp) for each in seen
        ]
        return {
            "images": [cv2.cvtColor(view, cv2.COLOR_BGR2RGB) for view in views],
            "base_size": base.size,
            "center": base.center,
            "scale": base.scale,
            "image_id": number,
            "index": number,
        }

    @property
    def _flip_indices(self) -> tuple[int, ...] | None:
        return self.skeleton.flip_indices if self.flip_test else None


@contextmanager
def _noting(number: int, count: int) -> Iterator[None]:
    """Add to errors within it which image of a list they are of."""
    try:
        yield
    except Exception as error:
        if count > 1:
            error.add_note(f"image {number} of the list, from 0")
        raise


def _sizes(sample: dict[str, Any]) -> list[tuple[int, ...]]:
    return [sample["base_size"], *(image.shape for image in sample["images"])]


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
