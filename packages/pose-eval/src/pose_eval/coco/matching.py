"""Match detections to persons by OKS, as pycocotools does."""

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, Matches, Results
from pose_eval.nms import pair_oks
from pose_eval.settings import Settings


@np.errstate(over="ignore", invalid="ignore")  # of coordinates beyond 1e150
def match_category(results: Results, gt: GroundTruth, settings: Settings, category: int) -> Matches:
    """Match the detections of one category (an index) in every image, area and threshold."""
    num_images, num_joints = len(gt.image_ids), len(settings.sigmas[category])
    persons = np.flatnonzero(gt.category == category)
    persons = persons[np.argsort(gt.image[persons], kind="stable")]
    detections = _best_of_each_image(results, category, settings.max_dets)
    det_start = _starts(results.image[detections], num_images)
    gt_start = _starts(gt.image[persons], num_images)
    pair_start = np.append(0, np.cumsum(np.diff(det_start) * np.diff(gt_start)))
    detection, person = image_pairs(det_start, gt_start, pair_start)

    oks = pair_oks(
        results.keypoints[:, :num_joints],
        gt.keypoints[persons, :num_joints],
        gt.area[persons],
        settings.variances(category),
        gt.bbox[persons],
        (detections[detection], person),
    )
    det_area = _detection_areas(results, detections, num_joints)  # (D,)
    gt_ignored = ~gt.counts()[persons] | _outside(gt.area[persons], settings)
    outside = np.repeat(_outside(det_area, settings)[:, None], len(settings.thresholds), axis=1)
    found = _match(
        oks, detection, person, det_start, gt.crowd[persons], gt_ignored, outside, settings
    )
    starts = detections, det_start, persons, gt_start
    return Matches(category, *starts, oks, pair_start, *found, gt_ignored)


def image_pairs(det_start: Ints, gt_start: Ints, pair_start: Ints) -> tuple[Ints, Ints]:
    """Return detection and person of each pair of one image, detection after detection."""
    persons = np.diff(gt_start)
    many = np.repeat(persons, np.diff(det_start))  # (D,) pairs of each detection
    detection = np.repeat(np.arange(len(many)), many)
    image = np.repeat(np.arange(len(persons)), np.diff(pair_start))
    within = np.arange(len(detection)) - pair_start[image]
    return detection, gt_start[image] + within % np.maximum(persons[image], 1)


def _match(
    oks: Floats,
    detection: Ints,
    person: Ints,
    det_start: Ints,
    crowd: Bools,
    gt_ignored: Bools,
    det_ignored: Bools,
    settings: Settings,
) -> tuple[NDArray[np.int32], NDArray[np.int32], Bools]:
    """Return det_match, gt_match and det_ignored of Matches; that of unmatched ones is given.

    The detections of an image take turns, by falling score; those of all images, for all areas and
    thresholds, take each turn together. A detection takes the person of highest OKS that is free (a
    crowd always is), the later one on equal OKS, and an ignored one only if no other reaches the
    threshold.
    """
    shape = det_ignored.shape[:2]  # (A, T)
    det_match = np.full(det_ignored.shape, -1, np.int32)
    gt_match = np.full((*shape, len(crowd)), -1, np.int32)
    least = np.minimum(settings.thresholds, 1 - 1e-10)
    near = np.flatnonzero(oks >= least.min())  # the other pairs match at no threshold
    # The pairs of a detection by rising preference: of equal OKS the later person.
    near = near[np.lexsort((person[near], oks[near], detection[near]))]
    reaches = (oks[near, None] >= least)[:, None]  # (P, 1, T)
    detection, person = detection[near], person[near]
    image = np.searchsorted(det_start, detection, side="right")
    ranked = np.cumsum(np.diff(detection, prepend=-1) > 0)
    turn: Ints = ranked - ranked[np.searchsorted(image, image)]
    free = np.ones((len(crowd), *shape), np.bool_)  # (G, A, T)
    counted = ~gt_ignored.T[..., None]  # (G, A, 1)
    for number in range(turn.max(initial=-1) + 1):
        pairs = np.flatnonzero(turn == number)
        first = np.flatnonzero(np.diff(detection[pairs], prepend=-1))  # pair of each detection
        who, place = person[pairs], np.arange(len(pairs), dtype=np.int32)[:, None, None]
        rank = np.where(counted[who], place + place.size, place)  # (pairs, A, 1)
        rank = np.where(free[who] & reaches[pairs], rank, -1)  # (pairs, A, T)
        best = np.maximum.reduceat(rank, first)  # (n, A, T)
        i, a, t = np.nonzero(best >= 0)
        det, taken = detection[pairs[first[i]]], who[best[i, a, t] % place.size]
        det_match[a, t, det], gt_match[a, t, taken] = taken, det
        det_ignored[a, t, det] = gt_ignored[a, taken]
        free[taken, a, t] = crowd[taken]
    return det_match, gt_match, det_ignored


def _best_of_each_image(results: Results, category: int, max_dets: int) -> Ints:
    """Return the rows of a category, image by image, by falling score, at most max_dets each.

    Rows of equal score keep the order of the file (pycocotools sorts stably).
    """
    rows = np.flatnonzero(results.category == category)
    rows = rows[np.argsort(-results.scores[rows], kind="stable")]
    # Few bits, which numpy sorts by counting: many times as fast.
    image = results.image[rows]
    small = image.astype(np.min_scalar_type(int(image.max(initial=0))))
    rows = rows[np.argsort(small, kind="stable")]
    image = results.image[rows]
    first = np.searchsorted(image, image, side="left")
    return rows[np.arange(len(rows)) - first < max_dets]


def _starts(sorted_image: Ints, num_images: int) -> Ints:
    return np.searchsorted(sorted_image, np.arange(num_images + 1)).astype(np.int64)


def _detection_areas(results: Results, detections: Ints, num_joints: int) -> Floats:
    """Return w h of the boxes, else the extent of all keypoints, whatever their score."""
    if results.bbox is not None:
        bbox = results.bbox[detections]
        return bbox[:, 2] * bbox[:, 3]
    x, y = (results.keypoints[detections, :num_joints, axis] for axis in (0, 1))  # (D, K)
    return np.ptp(x, axis=1) * np.ptp(y, axis=1)


def _outside(area: Floats, settings: Settings) -> Bools:
    """Tell for each area range (A, N) which areas lie outside; both ends are inside."""
    low = np.array([a.low for a in settings.areas])[:, None]
    high = np.array([a.high for a in settings.areas])[:, None]
    return (area < low) | (area > high)
