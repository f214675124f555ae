"""What a network finds on an annotated set, and what that is worth: the published protocols.

The recipes evaluate with these functions while they train, `pose-train test` does afterwards.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch import device as Device
from torch.utils.data import DataLoader
from tqdm import tqdm

from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap
from pose_data import BottomUp, Persons, Skeleton, TopDown
from pose_eval import Report, evaluate
from pose_train.config import Config
from pose_train.ground_truth import ground_truth, kept_joints
from pose_train.people import find_people, scene_loader, scene_rows
from pose_train.predict import join_poses, predict_poses, result_rows
from pose_train.ranks import Ranks, gather
from pose_train.sets import eval_loader
from pose_train.timing import Timing
from pose_train.training import autocast

Rows = list[dict[str, Any]]


def predict_boxes(
    config: Config,
    net: nn.Module,
    skeleton: Skeleton,
    codec: MSRAHeatmap | UDPHeatmap,
    val: Persons,
    boxes: Persons,
    ranks: Ranks,
    device: Device,
    timing: Timing | None = None,
) -> Rows:
    """Predict every box with a top-down network; return COCO result rows.

    skeleton: of the network's keypoints; val: the annotated set, boxes: those in its pictures.
    Several processes share the boxes, and each returns the rows of all. timing: is filled in.
    """
    plan = config.chosen_eval
    dataset = TopDown(
        boxes,
        config.model.input_size,
        warp=config.data.chosen_warp,
        udp=config.codec.udp,
        decode=config.data.decode,
        exif=config.data.exif,
        bits=config.data.bits,
        channels=config.model.channels,
        cache_mb=config.data.cache_mb,
    )
    joints = kept_joints(skeleton, val.skeleton)
    loader = eval_loader(dataset, plan.batch_size, config.train.num_workers, device, ranks)
    timing = timing or Timing()
    with autocast(device, config.train.amp):
        poses = predict_poses(
            net,
            timing.shares(shown(loader, ranks), boxes.image_ids[boxes.image_index]),
            codec.decode,
            input_size=config.model.input_size,
            device=device,
            flip_indices=skeleton.flip_indices if plan.flip_test else None,
            shift=not config.codec.udp,
            joints=joints,
        )
    return result_rows(
        join_poses(gather(poses, ranks)),
        boxes,
        nms=plan.nms,
        nms_threshold=plan.nms_threshold,
    )


def predict_pictures(
    config: Config,
    net: nn.Module,
    skeleton: Skeleton,
    codec: AssociativeEmbedding,
    val: Persons,
    ranks: Ranks,
    device: Device,
    timing: Timing | None = None,
) -> Rows:
    """Find the people in every picture with a bottom-up network; return COCO result rows.

    Several processes share the pictures, and each returns the rows of all. timing: is filled in.
    """
    plan, data = config.chosen_eval, config.data
    dataset = BottomUp(
        val,
        config.model.input_size,
        scale_factors=plan.multi_scale,
        warp=data.chosen_warp,
        decode=data.decode,
        exif=data.exif,
        bits=data.bits,
        channels=config.model.channels,
    )
    first, last = (len(dataset) * (ranks.rank + i) // ranks.world_size for i in (0, 1))
    loader = scene_loader(
        dataset,
        range(first, last),
        plan.batch_size,
        config.train.num_workers if last > first else 0,
        pin_memory=device.type == "cuda",
    )
    with autocast(device, config.train.amp):
        scenes = find_people(
            net,
            shown(loader, ranks),
            codec,
            plan.multi_scale,
            device=device,
            flip_indices=skeleton.flip_indices if plan.flip_test else None,
        )
    if timing is not None:
        for scene in scenes:
            timing.add(scene.image_id, scene.seconds)
    everyone = [scene for part in gather(scenes, ranks) for scene in part]
    joints = kept_joints(skeleton, val.skeleton)
    if joints is not None:
        everyone = [
            scene._replace(keypoints=scene.keypoints[:, joints], scores=scene.scores[:, joints])
            for scene in everyone
        ]
    return scene_rows(everyone, val.categories[0].id)


def shown(
    loader: DataLoader[dict[str, Any]], ranks: Ranks, title: str = "evaluation"
) -> Iterable[dict[str, Any]]:
    """Yield the batches of a loader; the first process shows on a line how far it is."""
    bar: Iterable[dict[str, Any]] = tqdm(
        loader,
        desc=title,
        unit="batch",
        leave=False,
        disable=None if ranks.is_first else True,
    )
    return bar


@torch.inference_mode()
def mean_losses(
    net: nn.Module,
    batches: DataLoader[dict[str, Any]],
    losses_of: Callable[[dict[str, Any]], dict[str, Tensor]],
    ranks: Ranks,
) -> dict[str, float]:
    """Return the means of losses over the samples of all processes, by name.

    losses_of: runs the network on a batch and returns means over its samples, by name.
    """
    net.eval()
    parts: list[dict[str, Tensor]] = []
    counts: list[int] = []
    for batch in shown(batches, ranks, "val loss"):
        parts.append(losses_of(batch))
        counts.append(len(batch["index"]))
    # Read at the end, all at once: until here nothing has waited for a GPU.
    own = {
        name: torch.stack([part[name] for part in parts]).tolist() for name in (parts or [{}])[0]
    }
    everyone = gather((own, counts), ranks)
    total = sum(sum(numbers) for _, numbers in everyone)
    names = next(values for values, _ in everyone if values)
    return {
        name: math.fsum(
            value * count
            for values, numbers in everyone
            for value, count in zip(values.get(name, []), numbers, strict=True)
        )
        / total
        for name in names
    }


def evaluate_rows(rows: Rows, val: Persons) -> Report:
    """Evaluate result rows on the set they are of, with the sigmas of its skeleton."""
    return evaluate(rows, ground_truth(val), sigmas=val.skeleton.sigmas)
