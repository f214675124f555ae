"""From crops to result rows: forward, flip test, decode, back to the picture."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pose_codecs.torch import flip_heatmaps
from pose_data import Persons, keypoints_to_image

Decode = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

# ImageNet statistics of RGB values in 0..255, as in every published recipe.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def normalize(images: Tensor) -> Tensor:
    """Turn uint8 RGB images (B, H, W, 3) into network input (B, 3, H, W), float32."""
    mean = torch.tensor(MEAN, device=images.device)
    std = torch.tensor(STD, device=images.device)
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)  # (B, 3, H, W), channels last


@torch.inference_mode()
def predict_heatmaps(
    model: nn.Module, images: Tensor, flip_indices: tuple[int, ...] | None
) -> Tensor:
    """Return the last stage's heatmaps (B, K, h, w) of uint8 images (B, H, W, 3).

    flip_indices: average with the mirrored images' heatmaps, shifted by one pixel because the
    quarter-size grid of a mirrored picture does not fall on the original's (HRNet's flip test).
    """
    inputs = normalize(images)  # (B, 3, H, W)
    heatmaps: Tensor = model(inputs).heatmaps[-1]  # (B, K, h, w)
    if flip_indices is None:
        return heatmaps
    mirrored = model(inputs.flip(-1)).heatmaps[-1]  # (B, K, h, w)
    return (heatmaps + flip_heatmaps(mirrored, flip_indices, shift=True)) * 0.5


def predict_results(
    model: nn.Module,
    batches: Iterable[dict[str, Tensor]],
    persons: Persons,
    decode: Decode,
    *,
    input_size: tuple[int, int],
    device: torch.device,
    flip_test: bool,
) -> list[dict[str, Any]]:
    """Predict every box and return COCO result rows.

    A row's score is the mean of its keypoint scores above 0.2 (0 if there is none), times the box's
    score, which is 1 for ground-truth boxes (MMPose's `bbox_keypoint`).
    """
    flip_indices = persons.skeleton.flip_indices if flip_test else None
    model.eval()
    rows = []
    for batch in batches:
        heatmaps = predict_heatmaps(model, batch["image"].to(device), flip_indices)
        keypoints, scores = decode(heatmaps.float().cpu().numpy())  # (B, K, 2), (B, K)
        center, scale = batch["center"].numpy(), batch["scale"].numpy()
        keypoints = keypoints_to_image(keypoints, center, scale, input_size)
        for index, points, values in zip(batch["index"].tolist(), keypoints, scores, strict=True):
            rows.append(_row(persons, index, points, values))
    return rows


def _row(
    persons: Persons, index: int, keypoints: NDArray[np.float32], scores: NDArray[np.float32]
) -> dict[str, Any]:
    x1, y1, x2, y2 = persons.bbox_xyxy[index].tolist()
    confident = scores[scores > 0.2]
    return {
        "image_id": int(persons.image_ids[persons.image_index[index]]),
        "category_id": 1,
        "keypoints": np.column_stack([keypoints, scores]).ravel().tolist(),  # (3 K,)
        "score": float(confident.mean()) if len(confident) else 0.0,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
    }
