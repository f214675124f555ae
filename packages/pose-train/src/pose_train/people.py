"""From whole pictures to people: forward at several sizes, flip test, decode, back to the picture.

HigherHRNet's test as in MMPose 0.29; Cheng et al., CVPR 2020.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pose_backbones import PoseOutput
from pose_codecs import AssociativeEmbedding, People
from pose_codecs.torch import aggregate, aggregate_tags, decode_people, flip_heatmaps, flip_tags
from pose_data import BottomUp, keypoints_to_image, start_worker
from pose_data.samples.scene import resize_for_test
from pose_train.cores import allowed_workers, count_cores
from pose_train.found import Heatmaps, map_matrix
from pose_train.predict import finite_maps, normalize

Size = tuple[int, int]


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


@torch.inference_mode()
def look_at(
    model: nn.Module, images: Sequence[Tensor], flip_indices: Sequence[int] | None
) -> list[list[PoseOutput]]:
    """Return the maps of pictures seen at several sizes: for each size those of every view.

    images: uint8 (B, h_i, w_i, C), RGB or grey, of each size. With flip_indices the second view is
    the mirrored picture, its maps turned back, without a shift.
    """
    looks = []
    for batch in images:
        inputs = normalize(batch)  # (B, C, h_i, w_i)
        views = [model(inputs)]
        if flip_indices is not None:
            views.append(_mirrored_back(model(inputs.flip(-1)), flip_indices))
        looks.append(views)
    return looks


def _mirrored_back(output: PoseOutput, flip_indices: Sequence[int]) -> PoseOutput:
    shared = output.tags[0].shape[-3] == 1  # one tag map for all keypoints
    return PoseOutput(
        tuple(flip_heatmaps(maps, flip_indices, shift=False) for maps in output.heatmaps),
        tuple(flip_tags(maps, (0,) if shared else flip_indices) for maps in output.tags),
    )


@torch.inference_mode()
def merge_maps(
    looks: Sequence[Sequence[PoseOutput]], factors: Sequence[float], size: Size | None
) -> tuple[Tensor, Tensor]:
    """Merge what look_at returns into heatmaps (..., K, h, w) and tags (..., T, h, w, L).

    factors: those of the sizes, largest first. size: (w, h) of the merged maps; None is that of the
    finest map of the largest image.

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
        averages.append(aggregate(heatmaps, size or (width, height)))  # (..., K, h, w)
        if factor == 1 or len(factors) == 1:
            tags = [_last_of_each_size(view.tags)[-1] for view in views]  # (..., T, h_i, w_i)
    height, width = averages[0].shape[-2:]
    return aggregate(averages, (width, height)), aggregate_tags(tags, (width, height))


def _last_of_each_size(maps: Sequence[Tensor]) -> list[Tensor]:
    return list({each.shape[-2:]: each for each in maps}.values())


def scene_loader(
    dataset: BottomUp,
    indices: Iterable[int],
    batch_size: int,
    num_workers: int,
    *,
    pin_memory: bool = False,
) -> DataLoader[dict[str, Any]]:
    """Return a loader of test samples whose batches hold pictures of one size.

    indices: the samples to load, a part of them where several processes share the work.
    """
    batches = same_size_batches(dataset, indices, batch_size)
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset without torch's base class
        batch_sampler=batches,
        collate_fn=stack_test_samples,
        num_workers=allowed_workers(num_workers) if batches else 0,
        pin_memory=pin_memory,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # so that a new loader takes no number from the global one
    )


def same_size_batches(
    dataset: BottomUp, indices: Iterable[int], batch_size: int
) -> list[list[int]]:
    """Group the samples by the sizes at which the network sees them, in order within a size."""
    sizes = dataset.persons.image_sizes[dataset.images].tolist()
    short, smallest = min(dataset.input_size), min(dataset.scale_factors)
    groups: dict[tuple[Size, ...], list[int]] = {}
    for index in indices:
        size = (sizes[index][0], sizes[index][1])
        seen = tuple(
            resize_for_test(size, short, factor, smallest).size
            for factor in (1.0, *dataset.scale_factors)
        )
        groups.setdefault(seen, []).append(index)
    return [
        group[start : start + batch_size]
        for group in groups.values()
        for start in range(0, len(group), batch_size)
    ]


def stack_test_samples(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of BottomUp's test samples of one size; images: (B, h, w, 3) of each factor."""
    by_factor = zip(*(sample["images"] for sample in samples), strict=True)
    batch: dict[str, Any] = {
        "images": [torch.from_numpy(np.stack(images)) for images in by_factor],
        "base_size": samples[0]["base_size"],
    }
    for key in ("center", "scale", "image_id", "index"):
        batch[key] = torch.from_numpy(np.stack([sample[key] for sample in samples]))
    return batch


def find_people(
    model: nn.Module,
    batches: Iterable[dict[str, Any]],
    codec: AssociativeEmbedding,
    factors: Sequence[float],
    *,
    device: torch.device,
    flip_indices: Sequence[int] | None,
    project: bool = True,
    threads: int | None = None,
    keep_maps: bool = False,
) -> list[Scene]:
    """Find the people in the pictures of a scene_loader, in the order of the samples.

    factors: those of the dataset. project: decode at the size of the input, as published, and not
    at that of the finest maps. keep_maps: in the scenes, as they were decoded. While the network
    works on a batch, `threads` threads (None: one per core, 8 at most) merge and decode the maps of
    the one before it, picture by picture: the kernels release the GIL, and only as many pictures as
    threads have maps of their full size at a time.
    """
    model.eval()
    factors = sorted(factors, reverse=True)
    threads = threads or min(8, count_cores())
    scenes: list[Scene] = []
    waiting: deque[Future[Scene]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for number, batch in enumerate(batches):
            images = [each.to(device, non_blocking=True) for each in batch["images"]]
            looks = look_at(model, images, flip_indices)
            for i in range(len(images[0])):
                options = factors, codec, project, number > 0, keep_maps
                waiting.append(pool.submit(_decode, batch, i, looks, *options))
            while len(waiting) > len(images[0]):  # the batch before is done
                scenes.append(waiting.popleft().result())
        scenes += [future.result() for future in waiting]
    return sorted(scenes, key=lambda scene: scene.sample)


@torch.inference_mode()
def _decode(
    batch: dict[str, Any],
    i: int,
    looks: Sequence[Sequence[PoseOutput]],
    factors: Sequence[float],
    codec: AssociativeEmbedding,
    project: bool,
    is_timed: bool,  # not in the first batch, which compiles and chooses kernels
    keep_maps: bool,
) -> Scene:
    """Merge and decode the maps of picture i of a batch, on the device where they are."""
    began = time.perf_counter()
    own = [
        [PoseOutput(*(tuple(m[i] for m in maps) for maps in view)) for view in views]
        for views in looks
    ]
    heatmaps, tags = merge_maps(own, factors, batch["base_size"] if project else None)
    people: People
    with finite_maps():
        if heatmaps.device.type == "cpu":
            people = codec.decode(heatmaps.numpy(), tags.numpy())
        else:
            (people,) = decode_people(codec, heatmaps[None], tags[None])
    height, width = heatmaps.shape[-2:]
    region = batch["center"][i].numpy(), batch["scale"][i].numpy(), (width, height)
    keypoints = keypoints_to_image(people.keypoints, *region)
    number = int(batch["index"][i]), int(batch["image_id"][i])
    seconds = time.perf_counter() - began if is_timed else math.nan
    kept = None
    if keep_maps:
        kept = Heatmaps(heatmaps.cpu().numpy()[None], map_matrix(*region)[None])
    return Scene(*number, keypoints, people.scores, people.person_scores, seconds, kept)


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
