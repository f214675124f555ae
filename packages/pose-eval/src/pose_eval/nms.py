"""Remove duplicate poses and rescore them, with the names and numbers of MMPose 1.3."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]

EPS = np.spacing(1.0)  # keeps an area of 0 from dividing by 0; pycocotools' and MMPose's value
BUFFER = 1 << 16  # keypoints of pairs at a time: they stay in the cache
CAREFUL = 1e-6  # far above the rounding of a float32 OKS
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
    (N,). sigmas: (K,). bbox: (N, 4) xywh, needed for persons without labelled keypoints: those are
    compared by the distance of all keypoints to the box of three times the size. Returns (M, N).
    Source: the behaviour of pycocotools' `computeOks`.
    """
    dt, person = np.asarray(keypoints, np.float64), np.asarray(gt, np.float64)
    variances = (2 * np.asarray(sigmas, np.float64)) ** 2  # (K,)
    if dt.ndim != 3 or person.ndim != 3 or not dt.shape[1] == person.shape[1] == len(variances):
        raise ValueError(
            f"keypoints {np.shape(keypoints)}, gt {np.shape(gt)} and {len(variances)} sigmas do "
            "not agree; they are (M, K, 2), (N, K, 3) and (K,)"
        )
    bare = ~np.any(person[..., 2] > 0, axis=1)  # (N,)
    if bare.any() and bbox is None:
        raise ValueError(f"person {int(np.argmax(bare))} has no labelled joints: give its bbox")
    boxes = np.zeros((len(person), 4)) if bbox is None else np.asarray(bbox, np.float64)
    areas = np.asarray(area, np.float64).reshape(-1)  # (N,)
    pairs = np.divmod(np.arange(len(dt) * len(person)), max(1, len(person)))
    return pair_oks(dt, person, areas, variances, boxes, pairs).reshape(len(dt), len(person))


def pair_oks(
    keypoints: NDArray[np.float64],
    gt: NDArray[np.float64],
    area: NDArray[np.float64],
    variances: NDArray[np.float64],
    bbox: NDArray[np.float64],
    pairs: tuple[Indices, Indices],
) -> NDArray[np.float64]:
    """Return the OKS of P pairs of a detection and a person (indices), (P,); arguments as in `oks`.

    Persons with equally many labelled keypoints are done together: their rows are as long, and
    numpy adds up a row of that length in pycocotools' order, which decides the last bits.
    """
    detection, person = pairs
    num_joints = len(variances)
    labelled = gt[..., 2] > 0  # (N, K)
    # All x of a pose, then all y: (M, 2 K) and (N, 2 K).
    found, wanted = (
        table[..., :2].swapaxes(1, 2).reshape(len(table), 2 * num_joints)
        for table in (keypoints, gt)
    )
    # A person without labelled keypoints is met by a box of three times the size.
    low = np.repeat(bbox[:, :2] - bbox[:, 2:], num_joints, axis=1)  # (N, 2 K)
    high = np.repeat(bbox[:, :2] + 2 * bbox[:, 2:], num_joints, axis=1)
    scale = -2 * (area + EPS)  # a factor of 2 changes no bit but the exponent
    many = labelled.sum(axis=1)[person]
    oks = np.empty(len(detection))
    step = max(1, BUFFER // max(1, num_joints))
    for joints in np.unique(many).tolist():
        group = np.flatnonzero(many == joints)
        for rows in (group[i : i + step] for i in range(0, len(group), step)):
            d, g = detection[rows], person[rows]
            away = found.take(d, axis=0)  # (P, 2 K)
            if joints:
                away -= wanted.take(g, axis=0)
            else:
                before, behind = low.take(g, axis=0) - away, away - high.take(g, axis=0)
                away = np.maximum(before, 0, out=before)
                away += np.maximum(behind, 0, out=behind)
            away *= away
            e = away[:, :num_joints] + away[:, num_joints:]  # (P, K)
            e /= variances
            e /= scale[g, None]
            if 0 < joints < num_joints:
                e = e[labelled.take(g, axis=0)].reshape(len(g), joints)
            oks[rows] = np.exp(e, out=e).mean(axis=1)
    return oks


def mutual_oks(
    keypoints: Floats, area: Floats, sigmas: Sequence[float], *, vis_thr: float | None = None
) -> NDArray[np.float32]:
    """Return the OKS between N poses, (N, N): MMPose's `oks_iou`, every pose against every other.

    keypoints: (N, K, 3), the third number is the score of the keypoint. The scale of a pair is the
    mean of the two areas; all keypoints count, or with `vis_thr` those that score more in both
    poses (0 if there are none). Computed in the precision of the input and stored in float32, as
    there.
    """
    similarity = _similarity(keypoints, area, sigmas, vis_thr)
    out = np.empty((len(keypoints), len(keypoints)), np.float32)
    every = np.arange(len(out))
    out[every, every] = similarity(every, every, 0.0)
    for first, second in _pairs(keypoints):
        out[first, second] = out[second, first] = similarity(first, second, 0.0)
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
    order = _falling(scores)
    similarity = _similarity(keypoints[order], area[order], sigmas, vis_thr)
    kept = np.ones(len(order), np.bool_)
    for first, second in _pairs(keypoints, kept):
        # MMPose compares a float32 array with a Python number, which numpy does in float32.
        close = similarity(first, second, thr - CAREFUL) > np.float32(thr)
        for better, worse in zip(first[close].tolist(), second[close].tolist(), strict=True):
            kept[worse] &= not kept[better]
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
    similar = mutual_oks(keypoints, area, sigmas, vis_thr=vis_thr)
    left = _falling(scores)
    current = scores[left]
    taken: list[int] = []
    while len(left) and len(taken) < max_dets:
        best, left = left[0], left[1:]
        taken.append(best)
        current = current[1:] * np.exp(-(similar[best, left] ** 2) / thr)
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
    """Return the poses to keep when those with many keypoints in the same places are one person.

    A pose is near another if more than `num_joints` (half of them) of its keypoints are closer to
    the other's than `thr` times its own diagonal. keypoints: (N, K, 2 or more), x and y are read.
    At most `max_dets` are returned (0: all). Source: MMPose's `nearby_joints_nms`.
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
    return found[_falling(scores[found])[:max_dets]] if 0 < max_dets < len(found) else found


def rescore(box_scores: Floats, joint_scores: Floats, mode: str, thr: float = 0.2) -> Floats:
    """Return the scores of N poses from those of their boxes (N,) and keypoints (N, K).

    mode: `bbox`; `keypoint`, the mean of the keypoints; `bbox_keypoint`, the box times the mean of
    the keypoints above `thr` (0 if there are none); `bbox_rle`, the box plus mean plus maximum of
    the keypoints. Source: MMPose's `CocoMetric`.
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
    return order[np.append(True, ~same)[: len(order)]]


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


def _pairs(
    keypoints: Floats, kept: NDArray[np.bool_] | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs of poses, the earlier one first, by the earlier one, some at a time.

    kept (N,): leave out those whose earlier pose is dropped before its turn comes.
    """
    many, joints = keypoints.shape[:2]
    step = max(1, BUFFER // max(1, many * joints))
    for start in range(0, many, step):
        rows = np.arange(start, min(start + step, many))
        rows = rows if kept is None else rows[kept[rows]]
        first, second = np.nonzero(np.arange(many) > rows[:, None])
        yield rows[first], second


def _similarity(
    keypoints: Floats, area: Floats, sigmas: Sequence[float], vis_thr: float | None
) -> Callable[[Indices, Indices, float], NDArray[np.float32]]:
    """Return a function that gives the OKS of P pairs of poses, (P,), in float32.

    Its third argument: pairs that do not reach this OKS may be given 0.
    """
    x, y = (np.ascontiguousarray(keypoints[..., i]) for i in range(2))  # (N, K)
    variances = (2 * np.asarray(sigmas, np.float64)) ** 2
    if len(area) != len(x) or len(variances) != x.shape[1]:
        raise ValueError(
            f"keypoints {keypoints.shape}, {len(area)} areas and {len(variances)} sigmas do not "
            "agree; they are (N, K, 3), (N,) and (K,)"
        )

    def similarity(first: Indices, second: Indices, least: float) -> NDArray[np.float32]:
        dx, dy = x[first] - x[second], y[first] - y[second]  # (P, K)
        scale = (area[first] + area[second]) / 2 + EPS  # (P,)
        e = (dx * dx + dy * dy) / variances / scale[:, None] / 2
        out = np.zeros(len(first), np.float32)
        if vis_thr is not None:
            both = (keypoints[first, :, 2] > vis_thr) & (keypoints[second, :, 2] > vis_thr)
            out[:] = np.where(both, np.exp(-e), 0).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
            return out
        # exp(-e) is at most 1 - 0.632 e up to e = 1: most pairs are too far without taking it.
        near = np.flatnonzero(1 - 0.632 * np.minimum(e, 1).mean(axis=1) >= least)
        out[near] = np.exp(-e[near]).mean(axis=1)
        return out

    return similarity


def _falling(scores: Floats) -> Indices:
    """Return the order by falling score, as MMPose sorts: `argsort()[::-1]`.

    Up to 16 equal scores come last first; of more, numpy's order depends on the CPU.
    """
    return np.argsort(scores)[::-1]
