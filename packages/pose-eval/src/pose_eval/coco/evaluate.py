"""COCO keypoint AP and AR, the numbers of pycocotools: of one file, or collected in pieces."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pose_eval.coco.matching import match_category
from pose_eval.coco.report import Report
from pose_eval.coco.summary import accumulate, coco_stats, crowd_stats
from pose_eval.coco.suppress import Suppression, suppress
from pose_eval.coco.tables import (
    Bools,
    Category,
    GroundTruth,
    Results,
    ResultsError,
    SettingsError,
    take,
)
from pose_eval.io import hints
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.hints import why_zero
from pose_eval.io.results import read_results
from pose_eval.io.source import Source
from pose_eval.settings import (
    COCO_AREAS,
    COCO_THRESHOLDS,
    PROTOCOLS,
    Settings,
    checked,
    parse_areas,
    parse_categories,
    parse_images,
    parse_joints,
    parse_thresholds,
)
from pose_eval.sigmas import Sigmas, sigmas_of_categories

POLICIES = ("error", "drop")


def evaluate(
    results: Source | Results,
    gt: Source,
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

    results: rows with image_id, category_id, keypoints (x, y and score of each) and score; gt: a
    COCO annotation object. Both as a path ("-": the standard input), bytes, an open file, the
    Python objects or a mapping of arrays (see read_results, read_ground_truth).

    sigmas: a name (coco, crowdpose, aic, mpii), a file, or one number per keypoint; COCO's by
    default. protocol: coco, xtcoco or crowdpose, see the README. joints: names or "5-16". area:
    "ann" or "bbox" (0.53 w h). areas: {"small": (0, 1024), ...}, with "all" added. oks: thresholds.
    images: ids, or a file of them. categories: names or ids, in a list or between commas.
    unknown_images, unknown_categories: "error" or "drop". match_images: "file_name" or "stem",
    where the results' image_id is that of the file.

    Raises ResultsError naming file and row, SettingsError for an argument that makes no sense;
    nothing is silently dropped.
    """
    evaluator = Evaluator(
        gt,
        sigmas=sigmas,
        protocol=protocol,
        joints=joints,
        area=area,
        areas=areas,
        oks=oks,
        max_dets=max_dets,
        images=images,
        categories=categories,
        unknown_images=unknown_images,
        unknown_categories=unknown_categories,
        match_images=match_images,
    )
    evaluator.update(results)
    return evaluator.compute()


class Evaluator:
    """Collects results piece by piece; the ground truth is read once.

    `compute` gives what `evaluate` gives for all rows in one file. For several processes, each
    fills its own evaluator and `merge` puts them together, in any order: the outcome is the same,
    to the last bit, as long as the rows of one image were added in one process, or have no equal
    scores. (Otherwise ties are broken by a digest of the parts: still the same in any order of
    merging, but not the order of any file.) An evaluator can be pickled.
    """

    def __init__(
        self,
        gt: Source,
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
    ) -> None:
        """Read the ground truth; the arguments are those of `evaluate`."""
        checked("protocol", protocol, PROTOCOLS)
        # xtcocotools is called with use_area=False for CrowdPose, which has no areas.
        usual = "bbox" if protocol == "crowdpose" else "ann"
        area_from = checked("area", area or usual, ("ann", "bbox"))
        if isinstance(max_dets, bool) or not isinstance(max_dets, int) or max_dets < 1:
            raise SettingsError(f"max_dets must be a whole number above 0, got {max_dets!r}")
        thresholds = COCO_THRESHOLDS if oks is None else parse_thresholds(oks)
        ranges = COCO_AREAS if areas is None else parse_areas(areas)
        if match_images is not None:
            checked("match_images", match_images, ("file_name", "stem"))
        self._how: dict[str, Any] = {
            "unknown_images": checked("unknown_images", unknown_images, POLICIES),
            "unknown_categories": checked("unknown_categories", unknown_categories, POLICIES),
            "match_images": match_images,
        }
        recount = protocol == "xtcoco"
        self._full, warnings = read_ground_truth(gt, area_from=area_from, recount=recount)
        if protocol == "crowdpose":
            warnings += hints.of_crowd_index(self._full)
        truth, picked, chosen = self._full, None, None
        if categories is not None:
            picked = parse_categories(categories, truth.categories)
            truth = _of_categories(truth, picked)
        if joints is not None:
            if len(truth.categories) > 1:
                raise SettingsError(
                    "joints can be chosen only of one category; --category chooses it"
                )
            chosen = parse_joints(joints, truth.categories[0].joint_names)
        default = "crowdpose" if protocol == "crowdpose" else "coco"
        used = np.unique(truth.category) if len(truth.category) else None
        values = sigmas_of_categories(sigmas, truth.categories, chosen, default, used)
        for category_sigmas in values:
            warnings += hints.of_sigmas(category_sigmas)
        self._settings = Settings(
            values, protocol, thresholds, ranges, max_dets, area_from, chosen, picked
        )
        truth = truth if chosen is None else _of_joints(truth, chosen)
        self._keep = None if images is None else parse_images(images, truth.image_ids)
        self._gt = truth if self._keep is None else of_images(truth, self._keep)
        self._warnings = warnings
        self.reset()

    def __repr__(self) -> str:
        """Return one line."""
        rows = sum(len(table.row) for part in self._parts for table in part)
        return f"<Evaluator: {rows} detections so far, ground truth {self._gt.name}>"

    def reset(self) -> None:
        """Forget all results."""
        self._parts: list[list[Results]] = [[]]  # the own tables, and those of other evaluators
        self._notes: list[str] = []

    def update(self, results: Source | Results, *, name: str = "") -> None:
        """Add rows, a file or arrays (see `read_results`).

        name: for messages, instead of the file's. Raises ResultsError, and then adds nothing; row
        numbers count from the first of this call.
        """
        table, notes = read_results(
            results, self._full, joints=self._settings.joints, hint=False, name=name, **self._how
        )
        self._parts[0].append(table)
        self._notes += notes

    def merge(self, other: "Evaluator") -> None:
        """Take over what another evaluator of the same ground truth and settings holds."""
        same = self._gt.name == other._gt.name and np.array_equal(self._gt.ids, other._gt.ids)
        if not same or not np.array_equal(self._gt.image_ids, other._gt.image_ids):
            raise SettingsError("merge: the evaluators have different ground truth")
        if self._settings != other._settings:
            raise SettingsError("merge: the evaluators have different settings")
        self._parts += [list(part) for part in other._parts]
        self._notes += other._notes

    def collected(self) -> tuple[Results, list[str]]:
        """Return all that was added as one table, and the warnings about both files."""
        parts = [[t for t in part if len(t.row)] for part in self._parts]
        parts = [part for part in parts if part] or [self._parts[0][:1]]
        if len(parts) > 1:
            parts.sort(key=_digest)
        tables = [table for part in parts for table in part]
        table = _joined(tables) if tables else read_results([], self._full, hint=False)[0]
        notes = [*dict.fromkeys(self._notes), *hints.of_results(table, self._full)]
        return table, [*self._warnings, *notes]

    def compute(self, nms: Suppression | None = None) -> Report:
        """Return the report over everything added so far; more can be added afterwards.

        nms: what to remove and rescore before.
        """
        table, warnings = self.collected()
        table = _restricted(table, self._settings, self._keep)
        if nms is not None:
            table = suppress(table, self._settings, nms)
        return report_of(table, self._gt, self._settings, warnings)

    add, report = update, compute


def _joined(tables: Sequence[Results]) -> Results:
    """Return the tables as one, in order; rows are numbered through."""
    if len(tables) == 1:
        return tables[0]
    boxes = [table.bbox for table in tables if table.bbox is not None]
    if boxes and len(boxes) < len(tables):
        raise ResultsError(
            "some of the added results have a bbox in their rows and some have none; the area of a "
            "detection is taken from the bbox of all rows or of none"
        )
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("image", "category", "keypoints", "scores")
    }
    rows = np.arange(len(columns["image"]))
    bbox = np.concatenate(boxes) if boxes else None
    return Results(name=tables[0].name, bbox=bbox, row=rows, **columns)


def _digest(part: Sequence[Results]) -> bytes:
    """Return a digest of the content of a part, by which parts are put in order."""
    digest = hashlib.sha256()
    for table in part:
        for array in (table.image, table.category, table.scores, table.keypoints, table.bbox):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def of_images(gt: GroundTruth, keep: Bools) -> GroundTruth:
    """Return the ground truth of the images in keep (I,)."""
    found = take(gt, keep[gt.image])
    return replace(
        found,
        image=(np.cumsum(keep) - 1)[found.image],
        image_ids=gt.image_ids[keep],
        file_names=tuple(name for name, kept in zip(gt.file_names, keep, strict=True) if kept),
        image_sizes=gt.image_sizes[keep],
        crowd_index=None if gt.crowd_index is None else gt.crowd_index[keep],
    )


def _of_categories(gt: GroundTruth, chosen: Sequence[int]) -> GroundTruth:
    """Return the ground truth of some categories (rising indices), with all images."""
    found = take(gt, np.isin(gt.category, chosen))
    categories = tuple(gt.categories[c] for c in chosen)
    return replace(found, categories=categories, category=np.searchsorted(chosen, found.category))


def _of_joints(gt: GroundTruth, joints: Sequence[int]) -> GroundTruth:
    """Return the ground truth of some keypoints of its only category, which are counted anew."""
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


def _restricted(results: Results, settings: Settings, keep: Bools | None) -> Results:
    """Return the results that the settings evaluate: chosen images and keypoints, protocol."""
    rows = np.ones(len(results.row), np.bool_)
    if settings.protocol != "coco":  # xtcocotools drops poses without a keypoint score above 0
        rows &= (results.keypoints[..., 2] > 0).any(axis=1)
    if settings.categories is not None:
        rows &= np.isin(results.category, settings.categories)
        category = np.searchsorted(settings.categories, results.category)
        results = replace(results, category=category)
    if keep is not None:
        rows &= keep[results.image]
        results = replace(results, image=(np.cumsum(keep) - 1)[results.image])
    if settings.joints is not None:
        keypoints = np.ascontiguousarray(results.keypoints[:, list(settings.joints)])
        results = replace(results, keypoints=keypoints)
    return results if rows.all() else take(results, rows)


def report_of(
    results: Results, gt: GroundTruth, settings: Settings, warnings: Sequence[str]
) -> Report:
    """Match, accumulate and summarise."""
    matches = tuple(
        match_category(results, gt, settings, category) for category in range(len(gt.categories))
    )
    curves = accumulate(matches, results, settings)
    stats = coco_stats(curves, settings)
    if settings.protocol == "crowdpose":
        stats |= crowd_stats(matches, results, settings, gt)
    persons, detections = int(np.count_nonzero(gt.counts())), len(results.scores)
    counts = {
        "images": len(gt.image_ids),
        "persons": persons,
        "detections": detections,
        "ignored_persons": len(gt.ids) - persons,
        "detections_beyond_max_dets": detections - sum(len(m.detections) for m in matches),
    }
    report = Report(stats, counts, tuple(warnings), settings, gt, results, matches, curves)
    return replace(report, warnings=(*warnings, *why_zero(report)))
