"""Images to people, in three lines of Python."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose_codecs import AssociativeEmbedding
from pose_data import DatasetError, Skeleton, keypoints_to_image, warp_affine
from pose_data.images.channels import in_channels, to_input
from pose_data.samples.crop import box_to_center_scale, crop_matrix, fix_aspect, udp_matrix
from pose_data.samples.scene import resize_for_test
from pose_eval import rescore
from pose_train.config import ConfigError
from pose_train.finite import finite_maps
from pose_train.found import Floats, Heatmaps, People, map_matrix
from pose_train.network import Network
from pose_train.onnx_network import load_onnx
from pose_train.pixels import Image, read_pixels
from pose_train.scenes import stack_samples

if TYPE_CHECKING:
    from pose_train.trained import Trained

Detector = Callable[[Image], ArrayLike]
Boxes = ArrayLike | Detector | None

MAX_RATIO = 16  # of an image's sides, bottom-up; 3x3000 pixels would be 512x512000


class _Crop(NamedTuple):
    """What a top-down network sees of a box: pixels (h, w, 3) RGB or (h, w, 1) of its image."""

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
        source: "str | Path | Trained | Network",
        flip_test: bool | None = None,
        batch_size: int = 32,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        overrides: Sequence[str] = (),
    ) -> None:
        """Load a network: a run directory, a checkpoint of ours, a preset and its weights, or ONNX.

        A name that ends in .onnx is a file of `pose-train export`, run without torch. A network
        that is loaded already is taken as it is. flip_test: average with the mirrored image; None
        is as in the config. batch_size: boxes that go through the network at once. device: as in
        `load_trained`; of an ONNX file as in `load_onnx`. overrides: of the config,
        `key.sub=value`. Raises ConfigError, RunError or CheckpointError.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.network = load_network(source, weights=weights, device=device, overrides=overrides)
        self.batch_size = batch_size
        self.flip_test = self.network.usage.flip_test if flip_test is None else flip_test

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

    @classmethod
    def from_onnx(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        providers: Sequence[str | tuple[str, Any]] | None = None,
        flip_test: bool | None = None,
        batch_size: int = 32,
    ) -> "Predictor":
        """Load an ONNX file of `pose-train export` under any name, without torch.

        device, providers: as in `load_onnx`. Raises ConfigError or RunError.
        """
        return cls(load_onnx(Path(path).expanduser(), device, providers), flip_test, batch_size)

    @property
    def skeleton(self) -> Skeleton:
        """The names of the K keypoints, what mirrors what, and the links between them."""
        return self.network.usage.skeleton

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

        image: a path, the bytes of a file, an array (H, W, 3) BGR as OpenCV reads or (H, W) grey,
        a PIL image, or a torch tensor uint8 RGB, (3, H, W) or (H, W, 3); see `read_pixels`. A file
        is seen upright, by its EXIF orientation, and so are the results. Of 16-bit images as many
        bits are in use as `data.bits` of the config says.

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
        if not self.network.usage.is_bottomup:
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
        usage = self.network.usage
        size, matrix_of = usage.input_size, udp_matrix if usage.udp else crop_matrix
        for number, (image, bboxes) in enumerate(zip(images, given, strict=True)):
            with _noting(number, len(images)):
                pixels = read_pixels(image, usage.bits)
                if bboxes is None:
                    bboxes = [[0, 0, pixels.shape[1], pixels.shape[0]]]
                boxes.append(check_boxes(bboxes(pixels) if callable(bboxes) else bboxes))
            seen = in_channels(pixels, usage.channels)
            for box in boxes[-1]:
                center, scale = box_to_center_scale(box[:4], usage.padding)
                scale = fix_aspect(scale, size)
                matrix = matrix_of(center, scale, 0.0, size)
                crop = warp_affine(seen, matrix, size, usage.warp)
                yield _Crop(to_input(crop), center, scale)

    def _poses(self, crops: Sequence[_Crop], keep: bool) -> list[_Pose]:
        """Run a top-down network on a batch."""
        usage = self.network.usage
        codec = usage.codec
        assert not isinstance(codec, AssociativeEmbedding)
        pixels, center, scale = (np.stack(each) for each in zip(*crops, strict=True))
        maps = self.network.predict_heatmaps(pixels, self._flip_indices)  # (B, K, h, w)
        with finite_maps():
            points, scores = codec.decode(maps)
        keypoints = keypoints_to_image(points, center, scale, usage.input_size)
        if not keep:
            return [_Pose(*each) for each in zip(keypoints, scores, strict=True)]
        w, h = codec.heatmap_size
        # The ends of a box are the outer pixel centres of a UDP map (see UDPHeatmap.decode).
        size = (w - 1, h - 1) if usage.udp else (w, h)
        matrix = map(map_matrix, center, scale, [size] * len(crops))
        return [_Pose(*each) for each in zip(keypoints, scores, maps, matrix, strict=True)]

    def _people(self, boxes: Floats, poses: Sequence[_Pose], keep: bool) -> People:
        """Return the people of an image from the poses in its boxes (P, 5)."""
        count, codec = self.skeleton.num_keypoints, self.network.usage.codec
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
        scenes = self.network.find_people(
            self._batches(images),
            self._flip_indices,
            1 if len(images) == 1 else None,
            keep,
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

    def _batches(self, images: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Yield batches of images that the network sees at the same sizes."""
        samples = (self._sample(images, number) for number in range(len(images)))
        for _, group in groupby(samples, _sizes):
            while batch := list(islice(group, self.network.usage.batch_size)):
                yield stack_samples(batch)

    def _sample(self, images: Sequence[Any], number: int) -> dict[str, Any]:
        """Return an image as BottomUp's test samples are."""
        usage = self.network.usage
        factors = sorted(usage.multi_scale, reverse=True)
        with _noting(number, len(images)):
            image = read_pixels(images[number], usage.bits)
            size, short = (image.shape[1], image.shape[0]), min(usage.input_size)
            if max(size) > MAX_RATIO * min(size):
                raise DatasetError(
                    f"an image of {size[0]}x{size[1]} is too narrow for a bottom-up network, which "
                    f"sees its short side with {short} pixels: up to 1:{MAX_RATIO}"
                )
        image = in_channels(image, usage.channels)
        base = resize_for_test(size, short, 1.0, factors[-1])
        seen = [resize_for_test(size, short, factor, factors[-1]) for factor in factors]
        views = [warp_affine(image, each.matrix(), each.size, usage.warp) for each in seen]
        return {
            "images": [to_input(view) for view in views],
            "base_size": base.size,
            "center": base.center,
            "scale": base.scale,
            "image_id": number,
            "index": number,
        }

    @property
    def _flip_indices(self) -> tuple[int, ...] | None:
        return self.skeleton.flip_indices if self.flip_test else None


def load_network(
    source: "str | Path | Trained | Network",
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    overrides: Sequence[str] = (),
    threads: int | None = None,
) -> Network:
    """Load a network to predict with, as Predictor says; torch is imported unless it is ONNX's.

    threads: to compute with on a CPU; None leaves them as they are.
    """
    if isinstance(source, Network):
        return source
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".onnx":
        if weights is not None or overrides:
            raise ConfigError(
                f"{source} holds its weights and settings: leave other weights and overrides out"
            )
        return load_onnx(Path(source).expanduser(), device, threads=threads)
    import torch

    from pose_train.trained import Trained, as_network, load_trained

    if not isinstance(source, Trained):
        source = load_trained(source, weights=weights, overrides=overrides, device=device)
    if threads is not None:
        torch.set_num_threads(threads)
    return as_network(source)


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
