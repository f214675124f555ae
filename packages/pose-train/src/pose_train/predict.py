"""From crops to result rows: forward, flip test, decode, back to the picture, rescore, suppress."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pose_backbones.grey import GREY_MEAN, GREY_STD, MEAN, STD
from pose_codecs.torch import flip_heatmaps
from pose_data import Persons, keypoints_to_image
from pose_eval import oks_nms, rescore, soft_oks_nms
from pose_eval.nms import first_of_each_id, per_image
from pose_train.finite import finite_maps

Decode = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

# Mean and standard deviation of values in 0..255, by the channels of images: as in every published
# recipe those of ImageNet in RGB; their luma.
STATISTICS = {3: (MEAN, STD), 1: (GREY_MEAN, GREY_STD)}

NMS = ("oks", "soft", "none")


class Poses(NamedTuple):
    """Poses found in N boxes.

    person (N,) rows of the Persons that hold the boxes, keypoints (N, K, 2) in pixels of the
    picture, scores (N, K), area (N,) of the boxes as padded and widened for the network.
    """

    person: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    area: NDArray[np.float32]


def normalize(images: Tensor) -> Tensor:
    """Turn uint8 images (B, H, W, C), RGB or grey, into network input (B, C, H, W), float32."""
    mean, std = _statistics(images.device, images.shape[-1])
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)  # (B, C, H, W), channels last


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _statistics(device: torch.device, channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and std (C,); kept, because copying them to a GPU would wait for it."""
    mean, std = STATISTICS[channels]
    return torch.tensor(mean, device=device), torch.tensor(std, device=device)


@torch.inference_mode()
def predict_heatmaps(
    model: nn.Module, images: Tensor, flip_indices: Sequence[int] | None, *, shift: bool = True
) -> Tensor:
    """Return the last stage's heatmaps (B, K, h, w), float32, of uint8 images (B, H, W, C).

    flip_indices: average with the mirrored images' heatmaps. shift: those by one pixel, because the
    quarter-size grid of a mirrored picture does not fall on the original's (HRNet's flip test); not
    for UDP, whose grid does.
    """
    inputs = normalize(images)  # (B, C, H, W)
    heatmaps: Tensor = model(inputs).heatmaps[-1].float()  # (B, K, h, w); float also under autocast
    if flip_indices is None:
        return heatmaps
    mirrored = model(inputs.flip(-1)).heatmaps[-1].float()  # (B, K, h, w)
    return (heatmaps + flip_heatmaps(mirrored, flip_indices, shift=shift)) * 0.5


def predict_poses(
    model: nn.Module,
    batches: Iterable[dict[str, Tensor]],
    decode: Decode,
    *,
    input_size: tuple[int, int],
    device: torch.device,
    flip_indices: Sequence[int] | None,
    shift: bool = True,
    joints: Sequence[int] | None = None,
) -> Poses:
    """Predict every box of the batches that a TopDown dataset makes for testing.

    flip_indices, shift: of predict_heatmaps, by the network's keypoints. joints: which of the
    network's keypoints to keep, in the order of the evaluated ones; None for all. Processes that
    share the boxes join what they found with `join_poses`.
    """
    model.eval()
    parts = []
    for batch in batches:
        images = batch["image"].to(device, non_blocking=True)
        heatmaps = predict_heatmaps(model, images, flip_indices, shift=shift)
        with finite_maps():
            keypoints, scores = decode(heatmaps.cpu().numpy())  # (B, K, 2), (B, K)
        if joints is not None:
            keypoints, scores = keypoints[:, joints], scores[:, joints]
        center, scale = batch["center"].numpy(), batch["scale"].numpy()
        keypoints = keypoints_to_image(keypoints, center, scale, input_size)
        parts.append(Poses(batch["index"].numpy(), keypoints, scores, scale.prod(axis=1)))
    if not parts:
        count = 0 if joints is None else len(joints)
        return Poses(
            np.empty(0, np.int64),
            np.empty((0, count, 2), np.float32),
            np.empty((0, count), np.float32),
            np.empty(0, np.float32),
        )
    return join_poses(parts)


def join_poses(parts: Iterable[Poses]) -> Poses:
    """Join the poses of several processes in the order of the persons, each person once."""
    person, keypoints, scores, area = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    first: NDArray[np.intp] = np.unique(person, return_index=True)[1]
    return Poses(person[first], keypoints[first], scores[first], area[first])


def result_rows(
    poses: Poses,
    persons: Persons,
    *,
    rescoring: str = "bbox_keypoint",
    score_threshold: float = 0.2,
    nms: str = "oks",
    nms_threshold: float = 0.9,
) -> list[dict[str, Any]]:
    """Rescore and suppress poses, and return COCO result rows: what MMPose's CocoMetric writes.

    rescoring: a mode of pose_eval.rescore; in `bbox_keypoint` a row's score is the mean of its
    keypoint scores above `score_threshold`, times the box's score, which is 1 for annotated boxes.
    nms: "oks", "soft" or "none", of each category of a picture. Rows come picture by picture, in
    the order of the pictures' first boxes; in a picture those of NMS "oks" by falling score.
    """
    if nms not in NMS:
        raise ValueError(f"nms must be one of {', '.join(NMS)}, got {nms!r}")
    person, keypoints, joint_scores, area = poses
    boxes = persons.bbox_xyxy[person]
    box_scores = np.ones(len(person)) if persons.scores is None else persons.scores[person]
    scores = rescore(box_scores, joint_scores, rescoring, score_threshold)
    image = persons.image_ids[persons.image_index[person]]
    category = persons.category_ids[person]
    group = np.unique(np.stack([image, category]), axis=1, return_inverse=True)[1].ravel()
    points = np.concatenate([keypoints, joint_scores[..., None]], axis=-1)  # (N, K, 3)
    sigmas = persons.skeleton.sigmas

    def keep(rows: NDArray[np.intp]) -> NDArray[np.intp]:
        if nms == "none":
            return np.arange(len(rows))
        suppress = oks_nms if nms == "oks" else soft_oks_nms
        return suppress(points[rows], scores[rows], area[rows], nms_threshold, sigmas=sigmas)

    order = first_of_each_id(image, persons.ids[person])
    kept = order[per_image(group[order], lambda rows: keep(order[rows]))]
    return [
        {
            "image_id": int(image[i]),
            "category_id": int(category[i]),
            "keypoints": points[i].ravel().tolist(),  # (3 K,)
            "score": float(scores[i]),
            "bbox": _xywh(boxes[i]),
        }
        for i in kept.tolist()
    ]


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
    """Predict every box, and return COCO result rows by the published rules (see result_rows)."""
    flip_indices = persons.skeleton.flip_indices if flip_test else None
    poses = predict_poses(
        model, batches, decode, input_size=input_size, device=device, flip_indices=flip_indices
    )
    return result_rows(poses, persons)


def _xywh(bbox_xyxy: NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = bbox_xyxy.tolist()
    return [x1, y1, x2 - x1, y2 - y1]
