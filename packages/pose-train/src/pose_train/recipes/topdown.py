"""The top-down recipe: crops of persons, heatmaps, and their mean squared error."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pose_backbones import PoseOutput, fuse
from pose_codecs import MSRAHeatmap, UDPHeatmap
from pose_codecs.torch import encode_msra
from pose_data import (
    Augmentation,
    GroupedBatches,
    Persons,
    Skeleton,
    TopDown,
    epoch_rows,
    open_pack,
)
from pose_train.config.schema import Config, ConfigError
from pose_train.distributed import Ranks, gather
from pose_train.inference.evaluate import Rows, kept_keypoints
from pose_train.inference.forward import torch_backend
from pose_train.inference.topdown import find, join_poses, predict_poses, result_rows
from pose_train.recipes.loaders import eval_loader, make_batches, progress_bar
from pose_train.recipes.recipe import Batch, Recipe, create_net

Floats = NDArray[np.float32]
Heatmap = MSRAHeatmap | UDPHeatmap


def build(config: Config, num_keypoints: int) -> tuple[nn.Module, Heatmap]:
    """Build the network, and the codec that turns keypoints into its heatmaps and back."""
    model, codec = config.model, config.codec
    net, output = create_net(model, num_keypoints)
    if output.tags:
        raise ConfigError(f"model.name {model.name} is a bottom-up network; this recipe is topdown")
    height, width = output.heatmaps[-1].shape[-2:]
    if model.heatmap_size not in (None, (width, height)):
        raise ConfigError(
            f"model.heatmap_size is {list(model.heatmap_size or ())}, but {model.name} makes "
            f"heatmaps of {[width, height]} from an input of {list(model.input_size)}"
        )
    sizes = model.input_size, (width, height)
    try:
        if codec.udp:
            return net, UDPHeatmap(*sizes, codec.sigma, codec.blur_size)
        return net, MSRAHeatmap(*sizes, codec.sigma, codec.refine, codec.unbiased, codec.blur_size)
    except ValueError as error:
        raise ConfigError(f"codec: {error}") from error


def samples(
    config: Config, persons: Persons, codec: Heatmap, device: torch.device, augmented: bool
) -> TopDown:
    """Return the training samples: crops with their targets."""
    encode = _keep_keypoints if _encodes_on(device, codec) else codec.encode
    augment = config.train.augment if augmented else None
    return _crops(config, persons, encode, augment, config.data.packed if augmented else None)


def _crops(
    config: Config,
    persons: Persons,
    encode: Callable[..., tuple[Floats, Floats]] | None = None,
    augment: Augmentation | None = None,
    packed: str | None = None,
) -> TopDown:
    data = config.data
    return TopDown(
        persons,
        config.model.input_size,
        encode,
        augment,
        config.seed,
        warp=data.chosen_warp,
        udp=config.codec.udp,
        decode=data.decode,
        exif=data.exif,
        bits=data.bits,
        channels=config.model.channels,
        cache_mb=data.cache_mb,
        max_broken=data.max_broken,
        pack=None if packed is None else open_pack(packed),
    )


def _encodes_on(device: torch.device, codec: Heatmap) -> bool:
    """Whether targets are made on the device: a GPU makes them faster than it receives them."""
    return device.type == "cuda" and isinstance(codec, MSRAHeatmap)


def _keep_keypoints(keypoints: Floats, visible: Floats) -> tuple[Floats, Floats]:
    """Stand in for the codec's encode where targets are made on the device, from these."""
    return keypoints, visible


def batches(config: Config, crops: TopDown, ranks: Ranks) -> GroupedBatches:
    """Return the order of the crops; those of one image follow each other closely."""
    persons = crops.persons
    return make_batches(
        config, persons, persons.image_index, lambda rng: epoch_rows(persons, rng), ranks
    )


def loss(config: Config, codec: Heatmap, output: PoseOutput, batch: Batch) -> dict[str, Tensor]:
    """Return the loss of the stages' heatmaps (B, K, h, w)."""
    device = output.heatmaps[0].device
    targets = batch["heatmaps"].to(device, non_blocking=True)  # (B, K, h, w)
    weights = batch["weights"].to(device, non_blocking=True)  # (B, K)
    if isinstance(codec, MSRAHeatmap) and targets.ndim == 3:  # keypoints (B, K, 2)
        targets, weights = encode_msra(codec, targets, weights)  # (B, K, h, w), (B, K)
    # Every stage learns the same target: intermediate supervision.
    stages = [keypoint_mse(heatmaps, targets, weights) for heatmaps in output.heatmaps]
    return {"loss": torch.stack(stages).sum()}


def keypoint_mse(
    heatmaps: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    mask: Tensor | None = None,
    skip_empty: bool = False,
) -> Tensor:
    """Return the weighted mean squared error of heatmaps (B, K, H, W), a scalar.

    weights (B, K) or (B, K, H, W) and mask (B or 1, K or 1, H, W) multiply the squared error; the
    divisor is always B * K * H * W (MMPose 1.x's KeypointMSELoss; 0.x multiplied prediction and
    target, which is the same for weights 0 and 1). `skip_empty` ignores maps whose target is 0
    everywhere.
    """
    exact = torch.promote_types(heatmaps.dtype, torch.float32)  # autocast may give less
    squared = (heatmaps.to(exact) - targets.to(exact)).square()  # (B, K, H, W)
    if weights is not None:
        squared = squared * (weights[..., None, None] if weights.ndim == 2 else weights)
    if mask is not None:
        squared = squared * mask
    if skip_empty:
        squared = squared * (targets != 0).any(dim=(2, 3), keepdim=True)
    return squared.mean()


def predict(
    config: Config,
    net: nn.Module,
    codec: Heatmap,
    skeleton: Skeleton,
    val: Persons,
    boxes: Persons,
    ranks: Ranks,
    device: torch.device,
) -> Rows:
    """Predict every box; return COCO result rows, those of all processes."""
    settings = config.chosen_eval
    crops = _crops(config, boxes)
    fused = fuse(net, onednn=config.train.amp == "off")
    workers = config.train.num_workers
    loader = eval_loader(crops, settings.batch_size, workers, device, ranks)
    poses = predict_poses(
        torch_backend(fused, device, config.train.amp),
        progress_bar(loader, ranks),
        codec.decode,
        input_size=config.model.input_size,
        flip_indices=skeleton.flip_indices if settings.flip_test else None,
        shift=not config.codec.udp,
        keypoints=kept_keypoints(skeleton, val.skeleton),
    )
    return result_rows(
        join_poses(gather(poses, ranks)),
        boxes,
        nms=settings.nms,
        nms_threshold=settings.nms_threshold,
    )


TOP_DOWN = Recipe("persons", build, samples, batches, loss, predict, find)
