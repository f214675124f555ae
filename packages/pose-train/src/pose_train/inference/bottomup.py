"""Bottom-up: whole images at several scales, forward, flip test, merge, decode, back to the image.

HigherHRNet's test as in MMPose 0.29; Cheng et al., CVPR 2020.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, islice
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_codecs import AssociativeEmbedding
from pose_data import DatasetError, keypoints_to_image, warp_affine
from pose_data.images.channels import in_channels, to_input
from pose_data.samples.scene import resize_for_test
from pose_train.cores import count_cores
from pose_train.files.images import read_pixels
from pose_train.inference.network import (
    Backend,
    Contexts,
    Maps,
    Network,
    Usage,
    finite_maps,
)
from pose_train.inference.people import Floats, Heatmaps, People, map_matrix, number_in_errors

Size = tuple[int, int]  # (w, h)
MapsOfScales = Sequence[Sequence[Any]]  # of each scale the Maps of the image, then of its mirror

MAX_RATIO = 16  # of an image's sides; 3x3000 pixels would be 512x512000


class Scene(NamedTuple):
    """The people found in one image.

    keypoints (P, K, 2) in pixels of the image, scores (P, K), person_scores (P,). A keypoint that
    was not found has score 0 and lies in the corner of what the network saw. heatmaps: the merged
    ones, where they are kept.
    """

    sample: int  # its number in the dataset
    image_id: int
    keypoints: Floats
    scores: Floats
    person_scores: Floats
    heatmaps: Heatmaps | None = None


class Decoding(NamedTuple):
    """How the maps of images become people: the codec, and the scale factors, largest first.

    project: decode at the size of the input, as published, and not at that of the finest maps.
    keep_maps: in the scenes, as they were decoded.
    """

    codec: AssociativeEmbedding
    factors: Sequence[float]
    project: bool = True
    keep_maps: bool = False


def stack_samples(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of BottomUp's test samples of one size; images: (B, h, w, C) of each factor."""
    by_factor = zip(*(sample["images"] for sample in samples), strict=True)
    return {
        "images": [np.stack(images) for images in by_factor],
        "base_size": samples[0]["base_size"],
        **{
            key: np.stack([sample[key] for sample in samples])
            for key in ("center", "scale", "image_id", "index")
        },
    }


def predict_maps(backend: Backend, images: Any, flip_indices: Sequence[int] | None) -> list[Maps]:
    """Run the network on images uint8 (B, h, w, C); return its maps.

    flip_indices: also those of the mirrored images, turned back, without a shift.
    """
    maps, *mirrored = backend.run(images, bool(flip_indices))
    if not flip_indices:
        return [maps]
    return [maps, mirrored_back(backend.codecs, mirrored[0], flip_indices)]


def mirrored_back(codecs: ModuleType, maps: Any, flip_indices: Sequence[int]) -> Maps:
    """Turn the maps of mirrored images into those of the images; codecs: as in Backend."""
    is_shared = maps.tags[0].shape[-3] == 1  # one tag map for all keypoints
    order = (0,) if is_shared else flip_indices
    return Maps(
        tuple(codecs.flip_heatmaps(each, flip_indices, shift=False) for each in maps.heatmaps),
        tuple(codecs.flip_tags(each, order) for each in maps.tags),
    )


def merge_maps(
    codecs: ModuleType, maps: MapsOfScales, factors: Sequence[float], size: Size | None
) -> tuple[Any, Any]:
    """Merge the maps of all scales: heatmaps (..., K, h, w) and tags (..., T, h, w, L).

    codecs: as in Backend. factors: of the scales, largest first. size: (w, h) of the merged maps;
    None is that of the finest map of the largest scale.

    Heatmaps are averaged over stages, mirrored images and scales. Tags are those of factor 1 alone,
    one value for the image and one for its mirror: the tags of two scales do not agree. Of stages
    with maps of one size, such as those of a stacked hourglass, the last is taken. Raises
    ValueError where factors lack 1.
    """
    if len(factors) > 1 and 1 not in factors:
        raise ValueError(f"the factors of a multi-scale test must include 1, got {list(factors)}")
    averages, tags = [], []
    for factor, of_scale in zip(factors, maps, strict=True):
        heatmaps = [each for view in of_scale for each in _last_of_each_size(view.heatmaps)]
        height, width = heatmaps[-1].shape[-2:]
        averages.append(codecs.aggregate(heatmaps, size or (width, height)))  # (..., K, h, w)
        if factor == 1 or len(factors) == 1:
            tags = [_last_of_each_size(view.tags)[-1] for view in of_scale]  # (..., T, h_i, w_i)
    height, width = averages[0].shape[-2:]
    merged = codecs.aggregate(averages, (width, height))
    return merged, codecs.aggregate_tags(tags, (width, height))


def _last_of_each_size(maps: Sequence[Any]) -> list[Any]:
    return list({each.shape[-2:]: each for each in maps}.values())


def find_scenes(
    backend: Backend,
    batches: Iterable[dict[str, Any]],
    decoding: Decoding,
    flip_indices: Sequence[int] | None,
    threads: int | None = None,
) -> list[Scene]:
    """Find the people in the images of batches, as stack_samples makes them, in their order.

    While the network works on a batch, `threads` threads (None: one per core, 8 at most) merge and
    decode the maps of the one before it, image by image: the kernels release the GIL, and only as
    many images as threads have maps of their full size at a time.
    """
    scenes: list[Scene] = []
    waiting: deque[Future[Scene]] = deque()
    with ThreadPoolExecutor(threads or min(8, count_cores())) as pool:
        for batch in batches:
            maps = [predict_maps(backend, images, flip_indices) for images in batch["images"]]
            beside, count = backend.mark(), len(batch["index"])
            waiting.extend(
                pool.submit(_decode, backend, beside, batch, i, maps, decoding)
                for i in range(count)
            )
            while len(waiting) > count:  # the batch before is done
                scenes.append(waiting.popleft().result())
        scenes += [future.result() for future in waiting]
    return sorted(scenes, key=lambda scene: scene.sample)


def _decode(
    backend: Backend,
    beside: Contexts,
    batch: dict[str, Any],
    i: int,
    maps: MapsOfScales,
    decoding: Decoding,
) -> Scene:
    """Merge and decode the maps of image i of a batch, where they are."""
    codec, factors, project, keep_maps = decoding
    own = [
        [Maps(*(tuple(m[i] for m in each) for each in view)) for view in of_scale]
        for of_scale in maps
    ]
    size = batch["base_size"] if project else None
    with beside(), finite_maps():
        heatmaps, tags = merge_maps(backend.codecs, own, factors, size)
        people = backend.decode(codec, heatmaps, tags)
        kept_maps = backend.fetch(heatmaps) if keep_maps else None
    height, width = heatmaps.shape[-2:]
    region = np.asarray(batch["center"][i]), np.asarray(batch["scale"][i]), (width, height)
    keypoints = keypoints_to_image(people.keypoints, *region)
    kept = None if kept_maps is None else Heatmaps(kept_maps[None], map_matrix(*region)[None])
    number = int(batch["index"][i]), int(batch["image_id"][i])
    return Scene(*number, keypoints, people.scores, people.person_scores, kept)


def find(
    network: Network,
    images: Sequence[Any],
    boxes: Sequence[Any],
    flip_indices: Sequence[int] | None,
    *,
    batch_size: int,
    keep_maps: bool,
) -> list[People]:
    """Return the people in each image, at the scales of the network's usage.

    boxes: None of each. batch_size: of boxes, unused here: `usage.batch_size` images go through the
    network at once, where they have one size and follow each other. Raises as Predictor.
    """
    if any(each is not None for each in boxes):
        raise ValueError("a bottom-up network finds people by itself: leave bboxes out")
    usage = network.usage
    assert isinstance(usage.codec, AssociativeEmbedding)
    factors = sorted(usage.multi_scale, reverse=True)
    decoding = Decoding(usage.codec, factors, keep_maps=keep_maps)
    threads = 1 if len(images) == 1 else None
    scenes = find_scenes(network.backend, _batches(usage, images), decoding, flip_indices, threads)
    return [
        People(
            scene.keypoints,
            scene.scores,
            scene.person_scores,
            extent(scene.keypoints, scene.scores),
            usage.skeleton,
            scene.heatmaps,
        )
        for scene in scenes
    ]


def _batches(usage: Usage, images: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Yield batches of images that the network sees at the same sizes."""
    samples = (_sample(usage, images, number) for number in range(len(images)))
    for _, group in groupby(samples, _sizes):
        while batch := list(islice(group, usage.batch_size)):
            yield stack_samples(batch)


def _sample(usage: Usage, images: Sequence[Any], number: int) -> dict[str, Any]:
    """Return an image as BottomUp's test samples are."""
    factors = sorted(usage.multi_scale, reverse=True)
    with number_in_errors(number, len(images)):
        image = read_pixels(images[number], usage.bits)
        size, short = (image.shape[1], image.shape[0]), min(usage.input_size)
        if max(size) > MAX_RATIO * min(size):
            raise DatasetError(
                f"an image of {size[0]}x{size[1]} is too narrow for a bottom-up network, which "
                f"sees its short side with {short} pixels: up to 1:{MAX_RATIO}"
            )
    image = in_channels(image, usage.channels)
    base = resize_for_test(size, short, 1.0, factors[-1])
    resized = [resize_for_test(size, short, factor, factors[-1]) for factor in factors]
    views = [warp_affine(image, each.matrix(), each.size, usage.warp) for each in resized]
    return {
        "images": [to_input(view) for view in views],
        "base_size": base.size,
        "center": base.center,
        "scale": base.scale,
        "image_id": number,
        "index": number,
    }


def _sizes(sample: dict[str, Any]) -> list[tuple[int, ...]]:
    return [sample["base_size"], *(image.shape for image in sample["images"])]


def extent(keypoints: Floats, scores: Floats) -> Floats:
    """Return the boxes (P, 4) xyxy around the keypoints (P, K, 2) that have a score above 0."""
    found = (scores > 0)[..., None]
    low = np.where(found, keypoints, np.inf).min(axis=1)
    high = np.where(found, keypoints, -np.inf).max(axis=1)
    boxes: NDArray[np.float32] = np.concatenate([low, high], axis=1).astype(np.float32)
    return np.where(np.isfinite(boxes), boxes, np.float32(0))


def scene_rows(scenes: Iterable[Scene], category_id: int = 1) -> list[dict[str, Any]]:
    """Return COCO result rows, as MMPose 0.29 writes them: no NMS, no rescoring.

    The box is that of all K keypoints. Quirk kept: those that were not found count, too, at the
    corner where they lie.
    """
    rows = []
    for scene in scenes:
        for points, values, score in zip(*scene[2:5], strict=True):
            left_top = points.min(axis=0)
            rows.append(
                {
                    "image_id": scene.image_id,
                    "category_id": category_id,
                    "keypoints": np.column_stack([points, values]).ravel().tolist(),  # (3 K,)
                    "score": float(score),
                    "bbox": [*left_top.tolist(), *(points.max(axis=0) - left_top).tolist()],
                }
            )
    return rows
