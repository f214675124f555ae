"""Training losses, on tensors.

All are computed in float32 at least, whatever autocast gives, and none synchronizes with the
device: the number of people in an image is data, not a shape.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

TagDistance = Literal["exp", "max"]


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
    heatmaps, targets = _widened(heatmaps), _widened(targets)
    squared = (heatmaps - targets).square()  # (B, K, H, W)
    if weights is not None:
        squared = squared * (weights[..., None, None] if weights.ndim == 2 else weights)
    if mask is not None:
        squared = squared * mask
    if skip_empty:
        squared = squared * (targets != 0).any(dim=(2, 3), keepdim=True)
    return squared.mean()


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
