"""Training losses."""

from torch import Tensor


def keypoint_mse(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean squared error of heatmaps (B, K, H, W).

    weights (B, K) multiply each keypoint's squared error once; masked keypoints stay in the divisor
    B * K * H * W (MMPose 1.x's KeypointMSELoss; 0.x multiplied twice, the same for 0 / 1 weights).
    """
    return (weights[:, :, None, None] * (heatmaps - targets).square()).mean()
