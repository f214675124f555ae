"""A class of the shape of pycocotools' COCOeval, for code that was written for that.

    from pose_eval.coco_eval import COCOeval  # instead of pycocotools.cocoeval

Its method and attribute names are those of pycocotools, hence not those of this package.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.evaluate import of_images
from pose_eval.coco.matching import match_category
from pose_eval.coco.summary import RECALLS, accumulate
from pose_eval.coco.tables import Matches, SettingsError, take
from pose_eval.io.ground_truth import read_ground_truth
from pose_eval.io.results import read_results
from pose_eval.settings import COCO_AREAS, COCO_THRESHOLDS, Area, Settings
from pose_eval.sigmas import SIGMAS

LINE = " {:<18} {} @[ IoU={:<9} | area={:>6s} | maxDets={:>3d} ] = {:0.3f}"


class Params:
    """What can be set before evaluate(); names and defaults of pycocotools' keypoint parameters."""

    def __init__(self, image_ids: Sequence[Any], category_ids: Sequence[Any]) -> None:
        """Set the defaults for a ground truth."""
        self.imgIds = list(image_ids)
        self.catIds = list(category_ids)
        self.iouThrs = np.array(COCO_THRESHOLDS)
        self.recThrs = RECALLS.copy()
        self.maxDets = [20]
        self.areaRng = [[area.low, area.high] for area in COCO_AREAS]
        self.areaRngLbl = [area.name for area in COCO_AREAS]
        self.useCats = 1
        self.iouType = "keypoints"
        self.kpt_oks_sigmas = np.array(SIGMAS["coco"])


class COCOeval:
    """Evaluate keypoints: evaluate(), accumulate(), summarize(), then `stats`, `eval`, `evalImgs`.

    cocoGt, cocoDt: pycocotools' COCO objects, or whatever pose_eval reads (a path, rows, ...).
    Differs from pycocotools in that bad input raises ResultsError, that an annotation with id 0 can
    be matched, and that summarize() works for any maxDets (it takes the largest).
    """

    def __init__(self, cocoGt: Any, cocoDt: Any, iouType: str = "keypoints") -> None:
        """Read both; raises ResultsError."""
        if iouType != "keypoints":
            raise SettingsError(f"iouType must be 'keypoints', got {iouType!r}")
        content = getattr(cocoGt, "dataset", cocoGt)
        self._gt, _ = read_ground_truth(content)
        # loadRes puts a bbox into every row: the given one, or the extent of the keypoints.
        rows = cocoDt.dataset["annotations"] if hasattr(cocoDt, "dataset") else cocoDt
        self._results, _ = read_results(rows, self._gt, unknown_categories="drop", hint=False)
        self._dt_ids = np.arange(1, len(self._results.row) + 1)
        if hasattr(cocoDt, "dataset"):
            self._dt_ids = np.array([row["id"] for row in rows], np.int64)[self._results.row]
        # Also the categories without keypoints, which pycocotools counts, too.
        entries = content.get("categories") if isinstance(content, dict) else None
        known = {c.id for c in self._gt.categories}
        listed = {e["id"] for e in entries or [] if isinstance(e.get("id"), type(min(known)))}
        self.params = Params(self._gt.image_ids.tolist(), sorted(known | listed))
        self.evalImgs: list[dict[str, Any] | None] = []
        self.eval: dict[str, Any] = {}
        self.stats: NDArray[np.float64] | list[float] = []
        self._matches: list[Matches | None] = []

    def evaluate(self) -> None:
        """Match every image; fills evalImgs (by category, area, image, as in pycocotools)."""
        p = self.params
        if not p.useCats:
            raise SettingsError("useCats = 0 has no meaning for keypoints")
        p.imgIds, p.catIds = np.unique(p.imgIds).tolist(), np.unique(p.catIds).tolist()
        p.maxDets = sorted(p.maxDets)
        keep = np.isin(self._gt.image_ids, p.imgIds)
        self._evaluated_gt = of_images(self._gt, keep)
        rows = np.flatnonzero(keep[self._results.image])
        chosen = take(self._results, rows)
        self._evaluated = replace(chosen, image=(np.cumsum(keep) - 1)[chosen.image], row=rows)
        sigmas = tuple(float(sigma) for sigma in np.asarray(p.kpt_oks_sigmas))
        areas = zip(p.areaRngLbl, p.areaRng, strict=True)
        self._settings = Settings(
            sigmas=(sigmas,) * len(self._gt.categories),
            thresholds=tuple(np.asarray(p.iouThrs, np.float64).tolist()),
            areas=tuple(Area(name, *map(float, ends)) for name, ends in areas),
            max_dets=p.maxDets[-1],
        )
        self._matches = [self._matches_of(key, len(sigmas)) for key in p.catIds]
        self.evalImgs = [
            self._image(matches, category, a, image)
            for matches, category in zip(self._matches, p.catIds, strict=True)
            for a in range(len(p.areaRng))
            for image in range(len(p.imgIds))
        ]

    def accumulate(self, p: Params | None = None) -> None:
        """Fill `eval`: precision (T, R, K, A, M), recall (T, K, A, M), scores."""
        p = self.params if p is None else p
        if not self.evalImgs:
            raise SettingsError("call evaluate() before accumulate()")
        shape = len(p.iouThrs), len(p.recThrs), len(p.catIds), len(p.areaRng), len(p.maxDets)
        precision, scores = np.full(shape, -1.0), np.full(shape, -1.0)
        recall = np.full((shape[0], *shape[2:]), -1.0)
        recalls = np.asarray(p.recThrs, np.float64)
        for k, matches in enumerate(self._matches):
            if matches is None:
                continue
            for m, most in enumerate(p.maxDets):
                given = self._evaluated, self._settings, None, most, recalls
                curves = accumulate([matches], *given)
                precision[:, :, k, :, m] = curves.precision[:, :, 0]
                scores[:, :, k, :, m] = curves.scores[:, :, 0]
                recall[:, k, :, m] = curves.recall[:, 0]
        self.eval = {"params": p, "counts": list(shape)}
        self.eval |= {"precision": precision, "recall": recall, "scores": scores}

    def summarize(self) -> None:
        """Print the table and set `stats` to its ten numbers."""
        if not self.eval:
            raise SettingsError("call accumulate() before summarize()")
        kinds = [(None, "all"), (0.5, "all"), (0.75, "all"), (None, "medium"), (None, "large")]
        values = [self._number(ap, oks, area) for ap in (True, False) for oks, area in kinds]
        self.stats = np.array(values)

    def _number(self, ap: bool, oks: float | None, area: str) -> float:
        p = self.params
        thresholds = np.asarray(p.iouThrs)
        chosen = np.flatnonzero(thresholds == oks) if oks else np.arange(len(thresholds))
        areas = [a for a, name in enumerate(p.areaRngLbl) if name == area]
        values = self.eval["precision" if ap else "recall"][chosen][..., areas, -1]
        values = values[values > -1]
        value = float(np.mean(values)) if values.size else -1.0
        title, kind = ("Average Precision", "(AP)") if ap else ("Average Recall", "(AR)")
        name = f"{oks:0.2f}" if oks else f"{thresholds[0]:0.2f}:{thresholds[-1]:0.2f}"
        print(LINE.format(title, kind, name, area, p.maxDets[-1], value))
        return value

    def _matches_of(self, category_id: Any, num_sigmas: int) -> Matches | None:
        """Return the matches of a category, None for one without keypoints."""
        known = [c.id for c in self._gt.categories]
        if category_id not in known:
            return None
        index = known.index(category_id)
        count = len(self._gt.categories[index].joint_names)
        if count != num_sigmas:
            raise SettingsError(
                f"category {category_id} has {count} keypoints but params.kpt_oks_sigmas has "
                f"{num_sigmas}"
            )
        return match_category(self._evaluated, self._evaluated_gt, self._settings, index)

    def _image(
        self, matches: Matches | None, category: Any, a: int, image: int
    ) -> dict[str, Any] | None:
        """Return pycocotools' entry of one image, None where it has nothing."""
        if matches is None:
            return None
        dets, gts, oks = matches.of_image(image)
        if oks.shape == (0, 0):
            return None
        ignored = matches.gt_ignored[a, gts]
        order = np.argsort(ignored, kind="stable")  # not ignored first
        all_dt = self._dt_ids[self._evaluated.row[matches.detections]]
        all_gt = self._evaluated_gt.ids[matches.persons]
        dt_match, gt_match = matches.det_match[a, :, dets], matches.gt_match[a, :, gts][:, order]
        nobody = "" if all_gt.dtype.kind == "U" else 0
        return {
            "image_id": self.params.imgIds[image],
            "category_id": category,
            "aRng": self.params.areaRng[a],
            "maxDet": self.params.maxDets[-1],
            "dtIds": all_dt[dets].tolist(),
            "gtIds": all_gt[gts][order].tolist(),
            # An id more, for -1 to mean nobody.
            "dtMatches": np.append(all_gt, nobody)[dt_match],
            "gtMatches": np.append(all_dt, 0)[gt_match],
            "dtScores": self._evaluated.scores[matches.detections[dets]].tolist(),
            "gtIgnore": ignored[order].astype(np.int64),
            "dtIgnore": matches.det_ignored[a, :, dets],
        }
