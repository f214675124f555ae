"""From whole pictures to people: forward at several sizes, flip test, decode, back to the picture.

HigherHRNet's test as in MMPose 0.29; Cheng et al., CVPR 2020.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import pose_codecs.torch
from pose_codecs import AssociativeEmbedding, People
from pose_codecs.torch import decode_people
from pose_data import BottomUp, start_worker
from pose_data.samples.scene import resize_for_test
from pose_train.cores import allowed_workers
from pose_train.predict import normalize
from pose_train.scenes import (
    Arithmetic,
    Decoding,
    Looks,
    Scene,
    Size,
    find_scenes,
    merge_with,
    mirrored_back,
    stack_samples,
)


@torch.inference_mode()
def look_at(
    model: nn.Module, images: Sequence[Tensor], flip_indices: Sequence[int] | None
) -> list[list[Any]]:
    """Return the maps of pictures seen at several sizes: for each size those of every view.

    images: uint8 (B, h_i, w_i, C), RGB or grey, of each size. With flip_indices the second view is
    the mirrored picture, its maps turned back, without a shift.
    """
    looks = []
    for batch in images:
        inputs = normalize(batch)  # (B, C, h_i, w_i)
        views = [model(inputs)]
        if flip_indices is not None:
            mirrored = model(inputs.flip(-1))
            views.append(mirrored_back(pose_codecs.torch, mirrored, flip_indices))
        looks.append(views)
    return looks


@torch.inference_mode()
def merge_maps(looks: Looks, factors: Sequence[float], size: Size | None) -> tuple[Tensor, Tensor]:
    """Merge what look_at returns, as scenes.merge_with says."""
    heatmaps, tags = merge_with(pose_codecs.torch, looks, factors, size)
    return heatmaps, tags


@torch.inference_mode()
def decode_maps(codec: AssociativeEmbedding, heatmaps: Tensor, tags: Tensor) -> People:
    """Find the people of an image's maps (K, h, w) and (T, h, w, L), on their device."""
    if heatmaps.device.type == "cpu":
        return codec.decode(heatmaps.numpy(), tags.numpy())
    (people,) = decode_people(codec, heatmaps[None], tags[None])
    return people


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
    """Make a batch of BottomUp's test samples of one size; images: tensors (B, h, w, 3)."""
    batch = stack_samples(samples)
    return batch | {"images": [torch.from_numpy(images) for images in batch["images"]]}


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
    """Find the people in pictures, in the order of the samples.

    batches: of scene_loader, or of scenes.stack_samples. factors: those of the dataset. project,
    keep_maps: as in Decoding. threads: as in find_scenes.
    """
    model.eval()
    tensors = Arithmetic(merge_maps, decode_maps, lambda maps: maps.cpu().numpy())
    decoding = Decoding(codec, sorted(factors, reverse=True), tensors, project, keep_maps)

    def look(images: Sequence[Any]) -> Looks:
        on_device = [torch.as_tensor(each).to(device, non_blocking=True) for each in images]
        return look_at(model, on_device, flip_indices)

    return find_scenes(look, batches, decoding, threads)


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
