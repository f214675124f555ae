"""From the maps of whole images to their people, whatever computed the maps; without torch.

HigherHRNet's test as in MMPose 0.29; Cheng et al., CVPR 2020.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pose_codecs
from pose_codecs import AssociativeEmbedding, People
from pose_data import keypoints_to_image
from pose_train.cores import count_cores
from pose_train.finite import finite_maps
from pose_train.found import Floats, Heatmaps, map_matrix

Size = tuple[int, int]
Arrays = Sequence[Any]  # numpy arrays or torch tensors


class Scene(NamedTuple):
    """The people found in one picture.

    keypoints (P, K, 2) in pixels of the picture, scores (P, K), person_scores (P,). A keypoint that
    was not found has score 0 and lies in the corner of what the network saw. seconds: what merging
    the maps and decoding took, on a GPU from when its turn came; NaN where not measured. heatmaps:
    the merged ones, where they are kept.
    """

    sample: int  # its number in the dataset
    image_id: int
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    person_scores: NDArray[np.float32]
    seconds: float = math.nan
    heatmaps: Heatmaps | None = None


class Maps(NamedTuple):
    """What a network makes of a batch: heatmaps (B, K, h, w) and tags (B, T, h, w), coarse first.

    It has the names of pose_backbones.PoseOutput, which comes with torch.
    """

    heatmaps: tuple[Any, ...]
    tags: tuple[Any, ...]


Looks = Sequence[Sequence[Any]]  # of each size the Maps, or PoseOutput, of every view


class Arithmetic(NamedTuple):
    """How the maps of one image are merged and decoded, where they lie.

    merge: (looks, factors, size) -> heatmaps (K, h, w) and tags (T, h, w, L). decode: (codec,
    heatmaps, tags) -> people. fetch: maps -> the same as a numpy array.
    """

    merge: Callable[[Looks, Sequence[float], Size | None], tuple[Any, Any]]
    decode: Callable[[AssociativeEmbedding, Any, Any], People]
    fetch: Callable[[Any], Floats]


class Decoding(NamedTuple):
    """Of every image: the codec, the factors of its sizes, largest first, and what is wanted.

    project: decode at the size of the input, as published, and not at that of the finest maps.
    keep_maps: in the scenes, as they were decoded.
    """

    codec: AssociativeEmbedding
    factors: Sequence[float]
    arithmetic: Arithmetic
    project: bool = True
    keep_maps: bool = False


def stack_samples(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of BottomUp's test samples of one size; images: (B, h, w, 3) of each factor."""
    by_factor = zip(*(sample["images"] for sample in samples), strict=True)
    return {
        "images": [np.stack(images) for images in by_factor],
        "base_size": samples[0]["base_size"],
        **{
            key: np.stack([sample[key] for sample in samples])
            for key in ("center", "scale", "image_id", "index")
        },
    }


def merge_with(
    functions: ModuleType, looks: Looks, factors: Sequence[float], size: Size | None
) -> tuple[Any, Any]:
    """Merge the maps of all sizes and views: heatmaps (..., K, h, w) and tags (..., T, h, w, L).

    functions: pose_codecs for numpy arrays, pose_codecs.torch for tensors. factors: those of the
    sizes, largest first. size: (w, h) of the merged maps; None is that of the finest map of the
    largest image.

    Heatmaps are averaged over stages, views and factors. Tags are those of factor 1 alone, one
    value per view: the tags of two sizes do not agree. Of stages with maps of one size, such as
    those of a stacked hourglass, the last is taken. Raises ValueError where factors lack 1.
    """
    if len(factors) > 1 and 1 not in factors:
        raise ValueError(f"the factors of a multi-scale test must include 1, got {list(factors)}")
    averages, tags = [], []
    for factor, views in zip(factors, looks, strict=True):
        heatmaps = [maps for view in views for maps in _last_of_each_size(view.heatmaps)]
        height, width = heatmaps[-1].shape[-2:]
        averages.append(functions.aggregate(heatmaps, size or (width, height)))  # (..., K, h, w)
        if factor == 1 or len(factors) == 1:
            tags = [_last_of_each_size(view.tags)[-1] for view in views]  # (..., T, h_i, w_i)
    height, width = averages[0].shape[-2:]
    merged = functions.aggregate(averages, (width, height))
    return merged, functions.aggregate_tags(tags, (width, height))


def _last_of_each_size(maps: Arrays) -> list[Any]:
    return list({each.shape[-2:]: each for each in maps}.values())


def mirrored_back(functions: ModuleType, maps: Any, flip_indices: Sequence[int]) -> Maps:
    """Turn the maps of mirrored images into those of the images; functions: as in merge_with."""
    shared = maps.tags[0].shape[-3] == 1  # one tag map for all keypoints
    return Maps(
        tuple(functions.flip_heatmaps(each, flip_indices, shift=False) for each in maps.heatmaps),
        tuple(functions.flip_tags(each, (0,) if shared else flip_indices) for each in maps.tags),
    )


NUMPY = Arithmetic(partial(merge_with, pose_codecs), AssociativeEmbedding.decode, np.asarray)


def find_scenes(
    look: Callable[[Sequence[Any]], Looks],
    batches: Iterable[dict[str, Any]],
    decoding: Decoding,
    threads: int | None = None,
) -> list[Scene]:
    """Find the people in the images of batches, as stack_samples makes them, in their order.

    look: images uint8 RGB (B, h_i, w_i, 3) of each size -> the maps of every view of them. While
    the network works on a batch, `threads` threads (None: one per core, 8 at most) merge and decode
    the maps of the one before it, picture by picture: the kernels release the GIL, and only as many
    pictures as threads have maps of their full size at a time.
    """
    threads = threads or min(8, count_cores())
    scenes: list[Scene] = []
    waiting: deque[Future[Scene]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for number, batch in enumerate(batches):
            looks, count = look(batch["images"]), len(batch["index"])
            for i in range(count):
                # The first batch compiles and chooses kernels: it is not timed.
                waiting.append(pool.submit(_decode, batch, i, looks, decoding, number > 0))
            while len(waiting) > count:  # the batch before is done
                scenes.append(waiting.popleft().result())
        scenes += [future.result() for future in waiting]
    return sorted(scenes, key=lambda scene: scene.sample)


def _decode(
    batch: dict[str, Any], i: int, looks: Looks, decoding: Decoding, is_timed: bool
) -> Scene:
    """Merge and decode the maps of picture i of a batch, where they are."""
    began = time.perf_counter()
    codec, factors, arithmetic, project, keep_maps = decoding
    own = [
        [Maps(*(tuple(m[i] for m in maps) for maps in view)) for view in views] for views in looks
    ]
    heatmaps, tags = arithmetic.merge(own, factors, batch["base_size"] if project else None)
    with finite_maps():
        people = arithmetic.decode(codec, heatmaps, tags)
    height, width = heatmaps.shape[-2:]
    region = np.asarray(batch["center"][i]), np.asarray(batch["scale"][i]), (width, height)
    keypoints = keypoints_to_image(people.keypoints, *region)
    number = int(batch["index"][i]), int(batch["image_id"][i])
    seconds = time.perf_counter() - began if is_timed else math.nan
    kept = None
    if keep_maps:
        kept = Heatmaps(arithmetic.fetch(heatmaps)[None], map_matrix(*region)[None])
    return Scene(*number, keypoints, people.scores, people.person_scores, seconds, kept)
