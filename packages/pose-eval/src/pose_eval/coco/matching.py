"""Match detections to persons by OKS, as pycocotools does."""

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, Matches, Results
from pose_eval.settings import Settings

BUFFER = 1 << 17  # values at a time: they stay in the cache, and memory does not grow


@np.errstate(over="ignore", invalid="ignore")  # of coordinates beyond 1e150
def match_category(gt: GroundTruth, results: Results, settings: Settings, category: int) -> Matches:
    """Match the detections of one category (an index) in every image, area and threshold."""
    num_images = len(gt.image_ids)
    num_joints = len(settings.sigmas[category])
    persons = np.flatnonzero(gt.category == category)
    persons = persons[np.argsort(gt.image[persons], kind="stable")]
    gt_start = _starts(gt.image[persons], num_images)
    detections = _best_of_each_image(results, category, settings.max_dets)
    det_start = _starts(results.image[detections], num_images)
    pair_start = np.zeros(num_images + 1, np.int64)
    np.cumsum(np.diff(det_start) * np.diff(gt_start), out=pair_start[1:])

    det_keypoints = results.keypoints[detections, :num_joints]
    gt_keypoints = gt.keypoints[persons, :num_joints]
    gt_area = gt.area[persons]
    oks = pair_oks(
        det_keypoints,
        gt_keypoints,
        gt.bbox[persons],
        gt_area,
        settings.variances(category),
        (det_start, gt_start, pair_start),
    )
    det_area = _detection_areas(results, detections, det_keypoints)
    ignored = gt.crowd[persons] | (gt.num_keypoints[persons] == 0)
    gt_ignored = ignored | _outside(gt_area, settings)
    starts = det_start, gt_start, pair_start
    found = _match(
        oks, starts, gt.crowd[persons], gt_ignored, _outside(det_area, settings), settings
    )
    return Matches(
        category=category,
        detections=detections,
        det_start=det_start,
        persons=persons,
        gt_start=gt_start,
        oks=oks,
        pair_start=pair_start,
        det_area=det_area,
        det_match=found[0],
        gt_match=found[1],
        det_ignored=found[2],
        gt_ignored=gt_ignored,
    )


def pair_oks(
    det_keypoints: Floats,
    gt_keypoints: Floats,
    gt_bbox: Floats,
    gt_area: Floats,
    variances: Floats,
    starts: tuple[Ints, Ints, Ints],
) -> Floats:
    """Return the OKS of each detection with each person of its image, in the order of Matches.oks.

    Persons with equally many labelled joints are done together: their rows are as long, and numpy
    adds up a row of that length in pycocotools' order, which decides the last bits.
    """
    detection, person = _pairs(*starts)
    gt_x, gt_y, det_x, det_y = (
        np.ascontiguousarray(keypoints[..., axis])
        for keypoints in (gt_keypoints, det_keypoints)
        for axis in (0, 1)
    )
    labelled = gt_keypoints[..., 2] > 0  # (G, K)
    count = labelled.sum(axis=1)
    scale = gt_area + np.spacing(1)
    oks = np.empty(len(detection))
    for joints in np.unique(count).tolist():
        group = np.flatnonzero(count[person] == joints)
        step = max(1, BUFFER // len(variances))
        for rows in (group[i : i + step] for i in range(0, len(group), step)):
            d, g = detection[rows], person[rows]  # (P,)
            if joints:
                used = labelled[g]
                dx, dy = det_x[d] - gt_x[g], det_y[d] - gt_y[g]  # (P, K)
            else:
                used = np.ones((len(g), len(variances)), np.bool_)
                dx = _beyond(det_x[d], gt_bbox[g, 0], gt_bbox[g, 2])
                dy = _beyond(det_y[d], gt_bbox[g, 1], gt_bbox[g, 3])
            e = (dx * dx + dy * dy) / variances / scale[g, None] / 2
            oks[rows] = np.exp(-e[used]).reshape(len(g), -1).mean(axis=1)
    return oks


def _pairs(det_start: Ints, gt_start: Ints, pair_start: Ints) -> tuple[Ints, Ints]:
    """Return detection and person of each pair of one image, detection after detection."""
    persons = np.diff(gt_start)
    many = np.repeat(persons, np.diff(det_start))  # (D,) pairs of each detection
    detection = np.repeat(np.arange(len(many)), many)
    image = np.repeat(np.arange(len(persons)), np.diff(pair_start))
    within = np.arange(len(detection)) - pair_start[image]
    return detection, gt_start[image] + within % np.maximum(persons[image], 1)


def _beyond(at: Floats, low: Floats, side: Floats) -> Floats:
    """Return how far coordinates (P, K) are outside boxes of three times the size."""
    first, last = (low - side)[:, None], (low + side * 2)[:, None]
    return np.maximum(0, first - at) + np.maximum(0, at - last)


def _match(
    oks: Floats,
    starts: tuple[Ints, Ints, Ints],
    crowd: Bools,
    gt_ignored: Bools,
    det_outside: Bools,
    settings: Settings,
) -> tuple[NDArray[np.int32], NDArray[np.int32], Bools]:
    """Return det_match, gt_match and det_ignored of Matches.

    The detections of an image take turns, by falling score; those of all images, for all areas and
    thresholds, take each turn together. A detection takes the person of highest OKS that is free (a
    crowd always is), the later one on equal OKS, and an ignored one only if no other reaches the
    threshold.
    """
    shape = len(settings.areas), len(settings.thresholds)
    det_match = np.full((*shape, det_outside.shape[1]), -1, np.int32)
    gt_match = np.full((*shape, len(crowd)), -1, np.int32)
    det_ignored = np.repeat(det_outside[:, None], shape[1], axis=1)
    least = np.minimum(settings.thresholds, 1 - 1e-10)
    detection, person = _pairs(*starts)
    near = np.flatnonzero(oks >= least.min())  # the other pairs match at no threshold
    dets, first, many = np.unique(detection[near], return_index=True, return_counts=True)
    image = np.searchsorted(starts[0], dets, side="right")
    turn = np.arange(len(dets)) - np.searchsorted(image, image)
    free = np.ones((len(crowd), *shape), np.bool_)  # (G, A, T)
    ignored = gt_ignored.T[..., None]  # (G, A, 1)
    most = many.max(initial=0) + 1
    for key in np.unique(turn * most + many).tolist():
        count = key % most
        rows = np.flatnonzero(turn * most + many == key)
        pairs = near[first[rows][:, None] + np.arange(count)]  # (n, persons within reach)
        who, similar = person[pairs], oks[pairs][..., None, None]
        able = free[who] & (similar >= least)  # (n, persons, A, T)
        counted = able & ~ignored[who]
        able = np.where(counted.any(axis=1, keepdims=True), counted, able)
        best = count - 1 - np.where(able, similar, -1.0)[:, ::-1].argmax(axis=1)  # (n, A, T)
        i, a, t = np.nonzero(able.any(axis=1))
        det, taken = dets[rows[i]], who[i, best[i, a, t]]
        det_match[a, t, det], gt_match[a, t, taken] = taken, det
        det_ignored[a, t, det] = gt_ignored[a, taken]
        free[taken, a, t] = crowd[taken]
    return det_match, gt_match, det_ignored


def _best_of_each_image(results: Results, category: int, max_dets: int) -> Ints:
    """Return the rows of a category, image by image, by falling score, at most max_dets each.

    Rows of equal score keep the order of the file (pycocotools sorts stably).
    """
    rows = np.flatnonzero(results.category == category)
    rows = rows[np.lexsort((-results.scores[rows], results.image[rows]))]
    image = results.image[rows]
    first = np.searchsorted(image, image, side="left")
    return rows[np.arange(len(rows)) - first < max_dets]


def _starts(sorted_image: Ints, num_images: int) -> Ints:
    return np.searchsorted(sorted_image, np.arange(num_images + 1)).astype(np.int64)


def _detection_areas(results: Results, detections: Ints, keypoints: Floats) -> Floats:
    """Return w h of the boxes, else the extent of all joints, whatever their score."""
    if results.bbox is not None:
        bbox = results.bbox[detections]
        return bbox[:, 2] * bbox[:, 3]
    x, y = (np.ascontiguousarray(keypoints[..., axis].T) for axis in (0, 1))  # (K, D)
    return np.ptp(x, axis=0) * np.ptp(y, axis=0)


def _outside(area: Floats, settings: Settings) -> Bools:
    """Tell for each area range (A, N) which areas lie outside; both ends are inside."""
    low = np.array([a.low for a in settings.areas])[:, None]
    high = np.array([a.high for a in settings.areas])[:, None]
    return (area < low) | (area > high)
