"""Remove duplicate poses and rescore them, with the names and numbers of MMPose 1.3."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]

EPS = np.spacing(1.0)  # keeps an area of 0 from dividing by 0; pycocotools' and MMPose's value
SCORES = ("bbox", "keypoint", "bbox_keypoint", "bbox_rle")


def oks(
    keypoints: ArrayLike,
    gt: ArrayLike,
    area: ArrayLike,
    sigmas: Sequence[float],
    *,
    bbox: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return COCO's object keypoint similarity of M detections to N persons.

    keypoints: (M, K, 2 or more), only x and y are read. gt: (N, K, 3), x, y and visibility. area:
    (N,). sigmas: (K,). bbox: (N, 4) xywh, needed for persons without labelled joints: those are
    compared by the distance of all joints to the box of three times the size. Returns (M, N).
    Source: the behaviour of pycocotools' `computeOks`.
    """
    dt = np.asarray(keypoints, np.float64)[..., :2]  # (M, K, 2)
    person = np.asarray(gt, np.float64)  # (N, K, 3)
    areas = np.asarray(area, np.float64).reshape(-1)  # (N,)
    variances = (2 * np.asarray(sigmas, np.float64)) ** 2  # (K,)
    if dt.ndim != 3 or person.ndim != 3 or not dt.shape[1] == person.shape[1] == len(variances):
        raise ValueError(
            f"keypoints {np.shape(keypoints)}, gt {np.shape(gt)} and {len(variances)} sigmas do "
            "not agree; they are (M, K, 2), (N, K, 3) and (K,)"
        )
    labelled: NDArray[np.bool_] = person[..., 2] > 0  # (N, K)
    bare: NDArray[np.bool_] = ~np.any(labelled, axis=1)  # (N,)
    if bare.any() and bbox is None:
        raise ValueError(f"person {int(np.argmax(bare))} has no labelled joints: give its bbox")
    out = np.empty((len(dt), len(person)))
    for n in range(len(person)):
        if bare[n]:
            x, y, w, h = np.asarray(bbox, np.float64)[n]
            low, high = np.array([x - w, y - h]), np.array([x + 2 * w, y + 2 * h])
            offset, used = np.maximum(0, low - dt) + np.maximum(0, dt - high), slice(None)
        else:
            offset, used = dt - person[n, :, :2], labelled[n]
        squared = (offset**2).sum(axis=-1)[:, used]  # (M, labelled)
        out[:, n] = np.exp(-squared / variances[used] / (areas[n] + EPS) / 2).mean(axis=1)
    return out


def mutual_oks(
    keypoints: Floats, area: Floats, sigmas: Sequence[float], *, vis_thr: float | None = None
) -> NDArray[np.float32]:
    """Return the OKS between N poses, (N, N): MMPose's `oks_iou`, every pose against every other.

    keypoints: (N, K, 3), the third number is the score of the joint. The scale of a pair is the
    mean of the two areas; all joints count, or with `vis_thr` those that score more in both poses
    (0 if there are none). Computed in the precision of the input and stored in float32, as there.
    """
    poses = _Poses.of(keypoints, area, sigmas, vis_thr)
    everyone = np.arange(len(poses.area))
    out = np.empty((len(everyone), len(everyone)), np.float32)
    for pose in range(len(everyone)):
        out[pose] = poses.similarity(pose, everyone)
    return out


def oks_nms(
    keypoints: Floats,
    scores: Floats,
    area: Floats,
    thr: float = 0.9,
    *,
    sigmas: Sequence[float],
    vis_thr: float | None = None,
) -> Indices:
    """Return the poses to keep, by falling score: none is closer than OKS `thr` to a better one.

    keypoints: (N, K, 3); scores, area: (N,). Source: MMPose's `oks_nms`.
    """
    from pose_eval.nms_kernels import greedy

    order = _falling(scores)
    poses = _Poses.of(keypoints, area, sigmas, vis_thr)
    # MMPose compares a float32 array with a Python number, which numpy does in float32.
    kept = greedy(poses.x, poses.y, poses.seen, poses.area, poses.variances, order, np.float32(thr))
    return order[kept]


def soft_oks_nms(
    keypoints: Floats,
    scores: Floats,
    area: Floats,
    thr: float = 0.9,
    *,
    sigmas: Sequence[float],
    max_dets: int = 20,
    vis_thr: float | None = None,
) -> Indices:
    """Return up to `max_dets` poses, in the order of scores that decay near better poses.

    Each pose taken multiplies the scores of the rest by exp(-oks^2 / thr). Only the order is
    returned: MMPose writes the scores as they were before. Source: MMPose's `soft_oks_nms`.
    """
    poses = _Poses.of(keypoints, area, sigmas, vis_thr)
    left = _falling(scores)
    current = scores[left]
    taken: list[int] = []
    while len(left) and len(taken) < max_dets:
        best, left = left[0], left[1:]
        taken.append(best)
        # numpy's float32 exp, not a compiled one: the last bit decides between near-equal scores.
        current = current[1:] * np.exp(-(poses.similarity(best, left) ** 2) / thr)
        order = _falling(current)
        left, current = left[order], current[order]
    return np.array(taken, np.intp)


def nearby_nms(
    keypoints: Floats,
    scores: Floats,
    thr: float = 0.05,
    *,
    num_joints: int | None = None,
    max_dets: int = 30,
) -> Indices:
    """Return the poses to keep when those with many joints in the same places are one person.

    A pose is near another if more than `num_joints` (half of them) of its joints are closer to the
    other's than `thr` times its own diagonal. keypoints: (N, K, 2 or more), x and y are read. At
    most `max_dets` are returned (0: all). Source: MMPose's `nearby_joints_nms`.
    """
    if not len(scores):
        return np.empty(0, np.intp)
    enough = keypoints.shape[1] // 2 if num_joints is None else num_joints
    xy = keypoints[..., :2]  # (N, K, 2)
    diagonal = np.sqrt((np.ptp(xy, axis=1) ** 2).sum(axis=1))  # (N,)
    distance = np.sqrt(((xy[:, None] - xy) ** 2).sum(axis=-1))  # (N, N, K)
    near = (distance < (diagonal * thr)[:, None, None]).sum(axis=-1) > enough  # (N, N)
    kept: list[int] = []
    gone = np.zeros(len(scores), bool)
    for pose in _falling(scores):
        if gone[pose]:
            continue
        group = np.flatnonzero(near[pose])
        # The best of the group, which an asymmetric `near` may have removed already. A pose of
        # diagonal 0 is not even near itself: it stays (MMPose fails on it).
        best = group[np.argmax(scores[group])] if len(group) else pose
        if not gone[best]:
            kept.append(best)
            gone[group] = True
    found = np.array(kept, np.intp)
    if 0 < max_dets < len(found):
        found = found[_falling(scores[found])[:max_dets]]
    return found


def rescore(box_scores: Floats, joint_scores: Floats, mode: str, thr: float = 0.2) -> Floats:
    """Return the scores of N poses from those of their boxes (N,) and joints (N, K).

    mode: `bbox`; `keypoint`, the mean of the joints; `bbox_keypoint`, the box times the mean of the
    joints above `thr` (0 if there are none); `bbox_rle`, the box plus mean plus maximum of the
    joints. Source: MMPose's `CocoMetric`.
    """
    if mode == "bbox":
        return box_scores
    if mode == "keypoint":
        return joint_scores.mean(axis=1)
    if mode == "bbox_rle":
        return box_scores + joint_scores.mean(axis=1) + joint_scores.max(axis=1)
    if mode != "bbox_keypoint":
        raise ValueError(f"unknown score mode {mode!r}; there are {', '.join(SCORES)}")
    good = joint_scores > thr
    total = np.zeros_like(joint_scores[:, 0])
    for joint in range(joint_scores.shape[1]):  # one by one: the order of MMPose's sum
        total = total + np.where(good[:, joint], joint_scores[:, joint], 0)
    return box_scores * (total / np.maximum(good.sum(axis=1), 1).astype(total.dtype))


def first_of_each_id(image: NDArray[Any], ids: NDArray[Any]) -> Indices:
    """Return the rows with the first occurrence of each id in its image, by image and id.

    Images stay in the order of their first row. Source: MMPose's `CocoMetric`, which sorts the rows
    of an image by id and drops repeated ids before it suppresses anything.
    """
    _, first, rank = np.unique(image, return_index=True, return_inverse=True)
    order = np.lexsort((np.arange(len(ids)), ids, first[rank]))
    same = (np.diff(first[rank][order]) == 0) & (ids[order][1:] == ids[order][:-1])
    return order[np.concatenate([np.ones(min(1, len(order)), bool), ~same])]


def per_image(image: NDArray[Any], suppress: Callable[[Indices], Indices]) -> Indices:
    """Return the rows that `suppress` keeps of each image, images by their first row.

    image: (N,), of any type that sorts. suppress: takes the row numbers of one image and returns
    the positions to keep among them, in their new order.
    """
    _, first, rank = np.unique(image, return_index=True, return_inverse=True)
    order = np.argsort(first[rank], kind="stable")
    ends = np.flatnonzero(np.diff(first[rank][order])) + 1
    kept = [rows[suppress(rows)] for rows in np.split(order, ends) if len(rows)]
    return np.concatenate(kept) if kept else np.empty(0, np.intp)


@dataclass(frozen=True)
class _Poses:
    """N poses as the kernels take them: x, y, seen (N, K), area (N,), variances (K,)."""

    x: Floats
    y: Floats
    seen: NDArray[np.bool_]
    area: Floats
    variances: NDArray[np.float64]

    @staticmethod
    def of(
        keypoints: Floats, area: Floats, sigmas: Sequence[float], vis_thr: float | None
    ) -> "_Poses":
        x, y = (np.ascontiguousarray(keypoints[..., i]) for i in range(2))  # (N, K)
        seen = np.ones(x.shape, bool) if vis_thr is None else keypoints[..., 2] > vis_thr
        variances = (2 * np.asarray(sigmas, np.float64)) ** 2
        if len(area) != len(x) or len(variances) != x.shape[1]:
            raise ValueError(
                f"keypoints {keypoints.shape}, {len(area)} areas and {len(variances)} sigmas do "
                "not agree; they are (N, K, 3), (N,) and (K,)"
            )
        return _Poses(x, y, seen, np.ascontiguousarray(area), variances)

    def similarity(self, pose: int, others: Indices) -> NDArray[np.float32]:
        from pose_eval.nms_kernels import similarity

        return similarity(self.x, self.y, self.seen, self.area, self.variances, pose, others)


def _falling(scores: Floats) -> Indices:
    """Order by falling score as MMPose does, with the sort of numpy that is not stable.

    Up to 16 equal scores come last first; of more, numpy's order depends on the CPU.
    """
    return np.argsort(scores)[::-1]
