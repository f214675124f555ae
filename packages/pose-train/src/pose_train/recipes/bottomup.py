"""The bottom-up recipe: whole images, heatmaps and tags, associative embedding."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import pose_codecs.torch as codecs
from pose_backbones import PoseOutput, fuse
from pose_codecs import AssociativeEmbedding, encode_people, keypoint_indices
from pose_data import BottomUp, GroupedBatches, Persons, SceneAugmentation, Skeleton, open_pack
from pose_data.combine import draw_rows
from pose_data.persons import sources_of
from pose_train.config.schema import Config, ConfigError
from pose_train.distributed import Ranks, gather
from pose_train.inference.bottomup import (
    Decoding,
    find,
    find_scenes,
    scene_rows,
    stack_samples,
)
from pose_train.inference.evaluate import Rows, kept_keypoints
from pose_train.inference.forward import torch_backend
from pose_train.recipes.loaders import make_batches, own_part, progress_bar, scene_loader
from pose_train.recipes.recipe import Batch, Recipe, create_net

Floats = NDArray[np.float32]
Size = tuple[int, int]  # (w, h)
TagDistance = Literal["exp", "max"]


def build(config: Config, num_keypoints: int) -> tuple[nn.Module, AssociativeEmbedding]:
    """Build the network, and the codec of its maps, which knows their sizes."""
    model, grouping = config.model, config.grouping
    net, output = create_net(model, num_keypoints)
    if not output.tags:
        raise ConfigError(f"model.name {model.name} is a top-down network; this recipe is bottomup")
    sizes = tuple(dict.fromkeys(map(_size, output.heatmaps)))
    if model.heatmap_sizes and model.heatmap_sizes != sizes:
        raise ConfigError(
            f"model.heatmap_sizes is {[list(size) for size in model.heatmap_sizes]}, but "
            f"{model.name} makes heatmaps of {[list(size) for size in sizes]} from an input of "
            f"{list(model.input_size)}"
        )
    try:
        return net, AssociativeEmbedding(
            model.input_size,
            sizes,
            sigma=config.codec.sigma,
            max_instances=grouping.max_instances,
            detection_threshold=grouping.detection_threshold,
            tag_threshold=grouping.tag_threshold,
            nms_kernel=grouping.nms_kernel,
            adjust=grouping.adjust,
            refine=grouping.refine,
            tag_per_keypoint=output.tags[0].shape[1] == num_keypoints,
        )
    except ValueError as error:
        raise ConfigError(f"grouping: {error}") from error


def _size(maps: Tensor) -> Size:
    return maps.shape[3], maps.shape[2]


def samples(
    config: Config,
    persons: Persons,
    codec: AssociativeEmbedding,
    device: torch.device,
    augmented: bool,
) -> BottomUp:
    """Return the training samples: images with targets for maps of every size.

    Not augmented, of each image the region around its middle, as long as `train.scene.side`.
    """
    scene = config.train.scene
    if not augmented:
        scene = SceneAugmentation(0.0, 0.0, (1.0, 1.0), 0.0, scene.side)
    encode = _keep_keypoints if _encodes_on(device) else encode_targets
    packed = config.data.packed if augmented else None
    return _images(
        config,
        persons,
        heatmap_sizes=codec.heatmap_sizes,
        encode=functools.partial(encode, codec),
        augment=scene,
        max_people=codec.max_instances,
        max_broken=config.data.max_broken,
        pack=None if packed is None else open_pack(packed),
    )


def _images(config: Config, persons: Persons, **options: Any) -> BottomUp:
    data = config.data
    return BottomUp(
        persons,
        config.model.input_size,
        seed=config.seed,
        warp=data.chosen_warp,
        decode=data.decode,
        exif=data.exif,
        bits=data.bits,
        channels=config.model.channels,
        **options,
    )


def _encodes_on(device: torch.device) -> bool:
    """Whether targets are made on the device: a GPU makes them faster than it receives them."""
    return device.type == "cuda"


def encode_targets(
    codec: AssociativeEmbedding, keypoints: Floats, visible: Floats, size: Size
) -> tuple[Floats, NDArray[np.int32]]:
    """Turn keypoints (P, K, 2) in pixels of a map into its heatmaps (K, h, w) and tag indices."""
    return (
        encode_people(keypoints, visible, size, codec.sigma),
        keypoint_indices(keypoints, visible, size, codec.max_instances, codec.tag_per_keypoint),
    )


def _keep_keypoints(
    codec: AssociativeEmbedding, keypoints: Floats, visible: Floats, size: Size
) -> tuple[Floats, Floats]:
    """Stand in for encode_targets where targets are made on the device, from these.

    Padded to max_instances people, so that batches have one shape.
    """
    room = [(0, codec.max_instances - len(visible)), (0, 0)]
    return np.pad(keypoints, [*room, (0, 0)]), np.pad(visible, room)


def batches(config: Config, images: BottomUp, ranks: Ranks) -> GroupedBatches:
    """Return the order of the images."""
    sources = sources_of(images.persons)
    ratios, shares = [each.ratio for each in sources], [each.shares for each in sources]
    # The images of a source stand together; those without annotations are no samples.
    bounds = np.cumsum([0, *(source.num_images for source in sources)])
    counts = np.diff(np.searchsorted(images.images, bounds)).tolist()
    return make_batches(
        config,
        images.persons,
        np.arange(len(images)),
        lambda rng: draw_rows(counts, ratios, rng, shares),
        ranks,
    )


def loss(
    config: Config, codec: AssociativeEmbedding, output: PoseOutput, batch: Batch
) -> dict[str, Tensor]:
    """Return the loss of heatmaps and tags, and its parts."""
    device = output.heatmaps[0].device
    # One of each size: (B, K, h, w), (B, h, w), (B, P, K, 2)
    targets, masks, indices = (
        [each.to(device, non_blocking=True) for each in batch[key]]
        for key in ("heatmaps", "masks", "indices")
    )
    sizes = list(codec.heatmap_sizes)
    if _encodes_on(device):  # they are keypoints (B, P, K, 2) and visible (B, P, K)
        people = list(zip(targets, indices, sizes, strict=True))
        targets = [codecs.encode_people(*each, codec.sigma) for each in people]
        indices = [codecs.keypoint_indices(*each, codec.tag_per_keypoint) for each in people]
    # HigherHRNet's two stages have two sizes, those of a stacked hourglass one.
    stages = [sizes.index(_size(maps)) for maps in output.heatmaps]
    parts = bottomup_loss(
        output.heatmaps,
        output.tags,
        [targets[i] for i in stages],
        [masks[i] for i in stages],
        [indices[i] for i in stages],
        supervise_empty=config.loss.supervise_empty,
        push_factor=config.loss.push,
        pull_factor=config.loss.pull,
    )
    return {"loss": parts.total, **{f"{k}_loss": part for k, part in parts._asdict().items()}}


def heatmap_mse(
    heatmaps: Tensor, targets: Tensor, mask: Tensor, supervise_empty: bool = True
) -> Tensor:
    """Return the mean squared error of heatmaps (B, K, H, W) under a mask (B, H, W): (B,).

    The divisor is K * H * W, masked pixels included. Without `supervise_empty`, maps whose target
    sums to 0 are ignored. HigherHRNet's loss as in MMPose 0.29.
    """
    heatmaps, targets = _widened(heatmaps), _widened(targets)
    squared = (heatmaps - targets).square() * mask[:, None]  # (B, K, H, W)
    if not supervise_empty:
        squared = squared * (targets.sum(dim=(2, 3), keepdim=True) > 0)
    return squared.mean(dim=(1, 2, 3))


def tag_losses(
    tags: Tensor, indices: Tensor, distance: TagDistance = "exp"
) -> tuple[Tensor, Tensor]:
    """Return the push and the pull loss of associative embedding, (B,) each.

    tags (B, T, H, W); indices (B, P, K, 2) integer: the position of a keypoint in the flattened
    tags of its image, and whether the entry counts. Pull is the mean over people of the variance of
    a person's tags; push is half the mean over pairs of people of exp(-d^2), or with "max" of
    max(0, 1 - d), where d is the difference of their mean tags. People without a keypoint do not
    count, and a single person has no push. Newell et al., NIPS 2017, as in MMPose 0.29.

    Finite for all float16 tags, and for bfloat16 and float32 tags below 1e18, whose squares still
    fit.
    """
    counts = indices[..., 1] > 0  # (B, P, K)
    flat = _widened(tags).flatten(1)  # (B, T * H * W)
    found = flat.gather(1, indices[..., 0].flatten(1).long()).view(counts.shape)  # (B, P, K)
    # where, not a product: what does not count may be inf, and inf * 0 is NaN.
    found = found.where(counts, 0.0)
    size = counts.sum(dim=2).clamp(min=1)  # (B, P)
    means = found.sum(dim=2) / size  # (B, P)
    variances = (found - means[..., None]).where(counts, 0.0).square().sum(dim=2) / size  # (B, P)

    person = counts.any(dim=2)  # (B, P)
    people = person.sum(dim=1)  # (B,)
    pull = variances.sum(dim=1) / people.clamp(min=1)

    apart = means[:, :, None] - means[:, None]  # (B, P, P)
    close = torch.exp(-apart.square()) if distance == "exp" else (1 - apart.abs()).clamp(min=0)
    # The pairs of a person with itself, 1 each, are left out of the sum rather than subtracted
    # from it, which would cancel digits.
    itself = torch.eye(person.shape[1], dtype=torch.bool, device=tags.device)
    pairs = person[:, :, None] & person[:, None] & ~itself
    push = 0.5 * close.where(pairs, 0.0).sum(dim=(1, 2)) / (people * (people - 1)).clamp(min=1)
    return push, pull


class BottomUpLoss(NamedTuple):
    """The parts of the bottom-up loss: scalars, factors included."""

    heatmap: Tensor
    push: Tensor
    pull: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum, which is minimized."""
        return self.heatmap + self.push + self.pull


def bottomup_loss(
    heatmaps: Sequence[Tensor],
    tags: Sequence[Tensor],
    targets: Sequence[Tensor],
    masks: Sequence[Tensor],
    indices: Sequence[Tensor],
    *,
    distance: TagDistance = "exp",
    supervise_empty: bool = True,
    heatmap_factor: float = 1.0,
    push_factor: float = 0.001,
    pull_factor: float = 0.001,
) -> BottomUpLoss:
    """Return the loss of a bottom-up network's stages: means over images, sums over stages.

    heatmaps (B, K, H, W), targets of the same shape and masks (B, H, W) of every stage; tags
    (B, T, H, W) of the first stages, and indices (B, P, K, 2) of at least as many. The default
    factors are the published ones. Raises ValueError for lengths that do not fit.
    """
    if not heatmaps or len(targets) != len(heatmaps) or len(masks) != len(heatmaps):
        raise ValueError(
            "every stage needs heatmaps, targets and a mask, "
            f"got {len(heatmaps)}, {len(targets)} and {len(masks)}"
        )
    if not 1 <= len(tags) <= len(indices):
        raise ValueError(
            f"there must be tags, and indices for each, got {len(tags)} and {len(indices)}; "
            "a network without tags is top-down"
        )
    heatmap_losses = [
        heatmap_mse(*maps, supervise_empty=supervise_empty).mean()
        for maps in zip(heatmaps, targets, masks, strict=True)
    ]
    stages = zip(tags, indices, strict=False)  # of more indices than tags the first count
    pushes, pulls = zip(*(tag_losses(*stage, distance) for stage in stages), strict=True)
    return BottomUpLoss(
        heatmap_factor * torch.stack(heatmap_losses).sum(),
        push_factor * torch.stack(pushes).mean(dim=1).sum(),
        pull_factor * torch.stack(pulls).mean(dim=1).sum(),
    )


def _widened(values: Tensor) -> Tensor:
    """Return values as float32, or unchanged if they are float64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def predict(
    config: Config,
    net: nn.Module,
    codec: AssociativeEmbedding,
    skeleton: Skeleton,
    val: Persons,
    boxes: Persons,
    ranks: Ranks,
    device: torch.device,
) -> Rows:
    """Find the people in every image of a set; return COCO result rows, those of all processes."""
    settings = config.chosen_eval
    images = _images(config, val, scale_factors=settings.multi_scale)
    fused = fuse(net, onednn=config.train.amp == "off")
    part, workers = own_part(len(images), ranks), config.train.num_workers
    loader = scene_loader(images, part, settings.batch_size, workers, device, stack_tensors)
    scenes = find_scenes(
        torch_backend(fused, device, config.train.amp),
        progress_bar(loader, ranks),
        Decoding(codec, sorted(settings.multi_scale, reverse=True)),
        skeleton.flip_indices if settings.flip_test else None,
    )
    everyone = [scene for part in gather(scenes, ranks) for scene in part]
    keypoints = kept_keypoints(skeleton, val.skeleton)
    if keypoints is not None:
        everyone = [
            scene._replace(
                keypoints=scene.keypoints[:, keypoints], scores=scene.scores[:, keypoints]
            )
            for scene in everyone
        ]
    return scene_rows(everyone, val.categories[0].id)


def stack_tensors(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of test samples of one size, as stack_samples does, with tensors of pixels."""
    batch = stack_samples(samples)
    return batch | {"images": [torch.from_numpy(images) for images in batch["images"]]}


BOTTOM_UP = Recipe("images", build, samples, batches, loss, predict, find)
