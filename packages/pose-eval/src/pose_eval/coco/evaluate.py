"""COCO keypoint AP and AR, the numbers of pycocotools."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pose_eval.analysis.zero_ap import why_zero
from pose_eval.coco.categories import choose_categories, parse_categories
from pose_eval.coco.matching import match_category
from pose_eval.coco.report import Report
from pose_eval.coco.summary import accumulate, coco_stats, crowd_stats
from pose_eval.coco.tables import (
    Bools,
    Category,
    GroundTruth,
    Results,
    SettingsError,
)
from pose_eval.io import hints
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.results import read_results
from pose_eval.settings import (
    COCO_AREAS,
    COCO_THRESHOLDS,
    PROTOCOLS,
    Settings,
    checked,
    parse_areas,
    parse_images,
    parse_joints,
    parse_thresholds,
)
from pose_eval.sigmas import Sigmas, sigmas_of_categories


def evaluate(
    results: Any,
    gt: Any,
    *,
    sigmas: Sigmas | None = None,
    protocol: str = "coco",
    joints: Any = None,
    area: str | None = None,
    areas: Any = None,
    oks: Any = None,
    max_dets: int = 20,
    images: Any = None,
    categories: Any = None,
    unknown_images: str = "error",
    unknown_categories: str = "error",
    match_images: str | None = None,
) -> Report:
    """Evaluate keypoint results against COCO ground truth.

    results: rows with image_id, category_id, keypoints (x, y, score per joint) and score; gt: a
    COCO annotation object. Both as a path ("-": the standard input), bytes, an open file, the
    Python objects or a mapping of arrays (see read_results, read_ground_truth).

    sigmas: a name (coco, crowdpose, aic, mpii), a file, or one number per joint; COCO's by default.
    protocol: coco, xtcoco or crowdpose, see the README. joints: names or "5-16". area: "ann" or
    "bbox" (0.53 w h). areas: {"small": (0, 1024), ...}, with "all" added. oks: thresholds.
    images: ids, or a file of them. categories: names or ids, in a list or between commas.
    unknown_images, unknown_categories: "error" or "drop". match_images: "file_name" or "stem",
    where the results' image_id is that of the file.

    Raises ResultsError naming file and row, SettingsError for an argument that makes no sense;
    nothing is silently dropped.
    """
    plan = prepare(gt, sigmas, protocol, joints, area, areas, oks, max_dets, images, categories)
    full, truth, settings, keep, warnings = plan
    how = checked_policies(unknown_images, unknown_categories, match_images)
    table, notes = read_results(results, full, joints=settings.joints, **how)
    return report_of(truth, restrict(table, settings, keep), settings, [*warnings, *notes])


def checked_policies(
    unknown_images: str, unknown_categories: str, match_images: str | None
) -> dict[str, Any]:
    """Return arguments of read_results; raises SettingsError."""
    if match_images is not None:
        checked("match_images", match_images, ("file_name", "stem"))
    return {
        "unknown_images": checked("unknown_images", unknown_images, ("error", "drop")),
        "unknown_categories": checked("unknown_categories", unknown_categories, ("error", "drop")),
        "match_images": match_images,
    }


def prepare(
    gt: Any,
    sigmas: Sigmas | None,
    protocol: str,
    joints: Any,
    area: str | None,
    areas: Any,
    oks: Any,
    max_dets: int,
    images: Any,
    categories: Any = None,
) -> tuple[GroundTruth, GroundTruth, Settings, Bools | None, list[str]]:
    """Return all ground truth, the part that is evaluated, settings, chosen images, warnings."""
    protocol = checked("protocol", protocol, PROTOCOLS)
    area_from = checked("area", area or _AREA_FROM[protocol], ("ann", "bbox"))
    if isinstance(max_dets, bool) or not isinstance(max_dets, int) or max_dets < 1:
        raise SettingsError(f"max_dets must be a whole number above 0, got {max_dets!r}")
    thresholds = COCO_THRESHOLDS if oks is None else parse_thresholds(oks)
    ranges = COCO_AREAS if areas is None else parse_areas(areas)
    recount = protocol == "xtcoco"
    full, warnings = read_ground_truth(gt, area_from=area_from, recount=recount)
    if protocol == "crowdpose":
        warnings += hints.of_crowd_index(full)
    picked = None if categories is None else parse_categories(categories, full.categories)
    truth = full if picked is None else choose_categories(full, picked)
    chosen = None
    if joints is not None:
        if len(truth.categories) > 1:
            raise SettingsError("joints can be chosen only of one category; --category chooses it")
        chosen = parse_joints(joints, truth.categories[0].joint_names)
    default = "crowdpose" if protocol == "crowdpose" else "coco"
    used = np.unique(truth.category) if len(truth.category) else None
    values = sigmas_of_categories(sigmas, truth.categories, chosen, default, used)
    for category_sigmas in values:
        warnings += hints.of_sigmas(category_sigmas)
    settings = Settings(values, protocol, thresholds, ranges, max_dets, area_from, chosen, picked)
    truth = truth if chosen is None else choose_joints(truth, chosen)
    keep = None if images is None else parse_images(images, full.image_ids)
    return full, truth if keep is None else choose_images(truth, keep), settings, keep, warnings


# xtcocotools is called with use_area=False for CrowdPose, which has no areas.
_AREA_FROM = {"coco": "ann", "xtcoco": "ann", "crowdpose": "bbox"}


def choose_joints(gt: GroundTruth, joints: Sequence[int]) -> GroundTruth:
    """Return the ground truth of some joints of its only category; num_keypoints is recounted."""
    old = gt.categories[0]
    place = {joint: at for at, joint in enumerate(joints)}
    links = tuple((place[a], place[b]) for a, b in old.links if a in place and b in place)
    names = tuple(old.joint_names[k] for k in joints)
    keypoints = np.ascontiguousarray(gt.keypoints[:, list(joints)])
    return replace(
        gt,
        categories=(Category(old.id, old.name, names, links),),
        keypoints=keypoints,
        num_keypoints=(keypoints[..., 2] > 0).sum(axis=1),
    )


def choose_images(gt: GroundTruth, keep: Bools) -> GroundTruth:
    """Return the ground truth of the images in keep (I,)."""
    rows = keep[gt.image]
    index = np.cumsum(keep) - 1
    names = tuple(name for name, kept in zip(gt.file_names, keep, strict=True) if kept)
    return replace(
        gt,
        image_ids=gt.image_ids[keep],
        file_names=names,
        image_sizes=gt.image_sizes[keep],
        crowd_index=None if gt.crowd_index is None else gt.crowd_index[keep],
        ids=gt.ids[rows],
        image=index[gt.image[rows]],
        category=gt.category[rows],
        keypoints=gt.keypoints[rows],
        bbox=gt.bbox[rows],
        area=gt.area[rows],
        crowd=gt.crowd[rows],
        num_keypoints=gt.num_keypoints[rows],
    )


def restrict(results: Results, settings: Settings, keep: Bools | None) -> Results:
    """Return the results that the settings evaluate: chosen images and joints, protocol."""
    rows = np.ones(len(results.row), np.bool_)
    if settings.protocol != "coco":  # xtcocotools leaves out poses without a joint score above 0
        rows &= (results.keypoints[..., 2] > 0).any(axis=1)
    image, category = results.image, results.category
    if settings.categories is not None:
        rows &= np.isin(category, settings.categories)
        category = np.searchsorted(settings.categories, category)
    if keep is not None:
        rows &= keep[image]
        image = (np.cumsum(keep) - 1)[image]
    keypoints = results.keypoints
    if settings.joints is not None:
        keypoints = np.ascontiguousarray(keypoints[:, list(settings.joints)])
    if rows.all():
        return replace(results, image=image, category=category, keypoints=keypoints)
    return Results(
        name=results.name,
        image=image[rows],
        category=category[rows],
        keypoints=keypoints[rows],
        scores=results.scores[rows],
        bbox=None if results.bbox is None else results.bbox[rows],
        row=results.row[rows],
    )


def report_of(
    gt: GroundTruth, results: Results, settings: Settings, warnings: Sequence[str]
) -> Report:
    """Match, accumulate and summarise."""
    matches = tuple(
        match_category(gt, results, settings, category) for category in range(len(gt.categories))
    )
    curves = accumulate(matches, results, settings)
    stats = coco_stats(curves, settings)
    if settings.protocol == "crowdpose":
        stats |= crowd_stats(matches, results, settings, gt)
    ignored = gt.crowd | (gt.num_keypoints == 0)
    counts = {
        "images": len(gt.image_ids),
        "persons": int(np.count_nonzero(~ignored)),
        "detections": len(results.scores),
        "ignored_persons": int(np.count_nonzero(ignored)),
        "detections_beyond_max_dets": len(results.scores) - sum(len(m.detections) for m in matches),
    }
    report = Report(
        stats=stats,
        protocol=settings.protocol,
        counts=counts,
        warnings=tuple(warnings),
        settings=settings,
        gt=gt,
        results=results,
        matches=matches,
        curves=curves,
    )
    return replace(report, warnings=(*report.warnings, *why_zero(report)))
