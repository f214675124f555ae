"""Match detections to persons by OKS, as pycocotools does."""

import numpy as np

from pose_eval import match_kernels
from pose_eval.settings import Settings
from pose_eval.tables import Bools, Floats, GroundTruth, Ints, Matches, Results

# Values in the buffer of OKS exponents: 16 MB, so that memory does not grow with the data.
BUFFER = 1 << 21


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
    shape = len(settings.areas), len(settings.thresholds)
    det_match = np.full((*shape, len(detections)), -1, np.int32)
    gt_match = np.full((*shape, len(persons)), -1, np.int32)
    det_ignored = np.zeros((*shape, len(detections)), np.bool_)
    many = pair_start[-1] > match_kernels.FEW_PAIRS
    run = (match_kernels.compiled(match_kernels.match) if many else None) or match_kernels.match
    run(
        oks,
        pair_start,
        det_start,
        gt_start,
        gt.crowd[persons],
        gt_ignored,
        _outside(det_area, settings),
        np.asarray(settings.thresholds, np.float64),
        det_match,
        gt_match,
        det_ignored,
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
        det_match=det_match,
        gt_match=gt_match,
        det_ignored=det_ignored,
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

    The exponential is numpy's in any case: numba's differs from it in the last bit. Without numba
    the rest is numpy, too; the bits are the same.
    """
    det_start, gt_start, pair_start = starts
    oks = np.empty(pair_start[-1])
    arrays = det_keypoints, gt_keypoints, gt_bbox, gt_area, variances
    many = pair_start[-1] > match_kernels.FEW_PAIRS
    negative_exponents = match_kernels.compiled(match_kernels.negative_exponents) if many else None
    if negative_exponents is None:
        _pair_oks_numpy(arrays, starts, oks)
        return oks
    counts = np.empty(pair_start[-1], np.int64)
    room = max(BUFFER, int(np.diff(pair_start).max(initial=0)) * len(variances))
    buffer = np.empty(min(room, int(pair_start[-1]) * len(variances)))
    first = 0
    while first < len(pair_start) - 1:
        limit = pair_start[first] + room // len(variances)
        last = int(np.searchsorted(pair_start, limit, side="right")) - 1
        pairs = slice(pair_start[first], pair_start[last])
        negative_exponents(*arrays, det_start, gt_start, first, last, buffer, counts[pairs])
        values = buffer[: counts[pairs].sum()]
        np.exp(values, out=values)
        match_kernels.compiled(match_kernels.sums)(values, counts[pairs], oks[pairs])
        first = last
    return oks


def _pair_oks_numpy(
    arrays: tuple[Floats, Floats, Floats, Floats, Floats],
    starts: tuple[Ints, Ints, Ints],
    oks: Floats,
) -> None:
    """Write the OKS of all pairs, person after person."""
    det_keypoints, gt_keypoints, gt_bbox, gt_area, variances = arrays
    det_start, gt_start, pair_start = starts
    for image in np.flatnonzero(np.diff(pair_start)):
        persons = range(gt_start[image], gt_start[image + 1])
        xy = det_keypoints[det_start[image] : det_start[image + 1], :, :2]  # (D, K, 2)
        block = oks[pair_start[image] : pair_start[image + 1]].reshape(len(xy), len(persons))
        for column, g in enumerate(persons):
            labelled = gt_keypoints[g, :, 2] > 0
            if labelled.any():
                delta = xy - gt_keypoints[g, :, :2]
            else:
                low = gt_bbox[g, :2] - gt_bbox[g, 2:]
                high = gt_bbox[g, :2] + gt_bbox[g, 2:] * 2
                delta = np.maximum(0, low - xy) + np.maximum(0, xy - high)
                labelled[:] = True
            square = delta[..., 0] ** 2 + delta[..., 1] ** 2  # (D, K)
            e = square / variances / (gt_area[g] + np.spacing(1)) / 2
            e = np.ascontiguousarray(e[:, labelled])  # the layout decides the order of the sum
            block[:, column] = np.exp(-e).sum(axis=1) / labelled.sum()


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
    many = len(keypoints) > match_kernels.FEW_PAIRS
    compiled = match_kernels.compiled(match_kernels.extents) if many else None
    if compiled is not None:
        area = np.empty(len(keypoints))
        compiled(keypoints, area)
        return area
    extent = np.ptp(keypoints[..., :2], axis=1)
    return extent[:, 0] * extent[:, 1]


def _outside(area: Floats, settings: Settings) -> Bools:
    """Tell for each area range (A, N) which areas lie outside; both ends are inside."""
    low = np.array([a.low for a in settings.areas])[:, None]
    high = np.array([a.high for a in settings.areas])[:, None]
    return (area < low) | (area > high)
