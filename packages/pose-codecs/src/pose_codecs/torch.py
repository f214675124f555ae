"""The codecs on torch tensors of any device (extra: pose-codecs[torch])."""

from collections.abc import Sequence

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "pose_codecs.torch needs torch: pip install pose-codecs[torch]"
    ) from error

from pose_codecs.flip import check_flip_indices


def flip_heatmaps(
    heatmaps: torch.Tensor, flip_indices: Sequence[int], shift: bool = True
) -> torch.Tensor:
    """Turn the heatmaps (..., K, H, W) of a mirrored image into those of the image.

    The same as pose_codecs.flip_heatmaps.
    """
    order = check_flip_indices(flip_indices, heatmaps.shape[-3])
    flipped = heatmaps[..., order, :, :].flip(-1)  # (..., K, H, W)
    if shift:
        flipped[..., 1:] = flipped[..., :-1].clone()
    return flipped
