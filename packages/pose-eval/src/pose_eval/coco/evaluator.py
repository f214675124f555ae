"""Evaluation in pieces: for training loops, and for several processes."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_eval.coco.evaluate import checked_policies, prepare, report_of, restrict
from pose_eval.coco.report import Report
from pose_eval.coco.tables import Results, ResultsError, SettingsError
from pose_eval.io import hints
from pose_eval.io.results import read_results
from pose_eval.sigmas import Sigmas


@dataclass
class _Part:
    """What one process added: result tables in the order of their adding."""

    tables: list[Results]


class Evaluator:
    """Collects results piece by piece; the ground truth is read once.

    `report` gives what `evaluate` gives for all rows in one file. For several processes, each fills
    its own evaluator and `merge` puts them together, in any order: the outcome is the same, to the
    last bit, as long as the rows of one image were added in one process, or have no equal scores.
    (Otherwise ties are broken by a digest of the parts: still the same in any order of merging, but
    not the order of any file.) An evaluator can be pickled.
    """

    def __init__(
        self,
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
    ) -> None:
        """Read the ground truth; the arguments are those of `evaluate`."""
        plan = prepare(gt, sigmas, protocol, joints, area, areas, oks, max_dets, images, categories)
        self._full, self._gt, self._settings, self._keep, self._warnings = plan
        self._how = checked_policies(unknown_images, unknown_categories, match_images)
        self._own = _Part([])
        self._others: list[_Part] = []
        self._notes: list[str] = []

    def add(self, results: Any) -> None:
        """Add rows, a file or arrays (see `read_results`).

        Raises ResultsError, and then adds nothing; row numbers count from the first of this call.
        """
        table, notes = read_results(
            results, self._full, joints=self._settings.joints, hint=False, **self._how
        )
        if len(table.scores):
            self._own.tables.append(table)
        self._notes += notes

    def merge(self, other: "Evaluator") -> None:
        """Take over what another evaluator of the same ground truth and settings holds."""
        same = self._gt.name == other._gt.name and np.array_equal(self._gt.ids, other._gt.ids)
        if not same or not np.array_equal(self._gt.image_ids, other._gt.image_ids):
            raise SettingsError("merge: the evaluators have different ground truth")
        if self._settings != other._settings:
            raise SettingsError("merge: the evaluators have different settings")
        self._others += [_Part(list(part.tables)) for part in (other._own, *other._others)]
        self._notes += other._notes

    def report(self) -> Report:
        """Return the report over everything added so far; more can be added afterwards."""
        parts = [p for p in (self._own, *self._others) if p.tables]
        if len(parts) > 1:
            parts.sort(key=_digest)
        table = self._joined([table for part in parts for table in part.tables])
        notes = list(dict.fromkeys(self._notes))
        warnings = [*self._warnings, *notes, *hints.of_results(table, self._full)]
        return report_of(
            self._gt, restrict(table, self._settings, self._keep), self._settings, warnings
        )

    def _joined(self, tables: list[Results]) -> Results:
        """Return the tables as one, in order; rows are numbered through."""
        if not tables:
            return read_results([], self._full, hint=False)[0]
        boxes = [table.bbox is not None for table in tables]
        if any(boxes) and not all(boxes):
            raise ResultsError(
                "some of the added results have a bbox in their rows and some have none; the area "
                "of a detection is taken from the bbox of all rows or of none"
            )
        return Results(
            name=tables[0].name,
            image=np.concatenate([table.image for table in tables]),
            category=np.concatenate([table.category for table in tables]),
            keypoints=np.concatenate([table.keypoints for table in tables]),
            scores=np.concatenate([table.scores for table in tables]),
            bbox=np.concatenate([t.bbox for t in tables if t.bbox is not None])
            if all(boxes)
            else None,
            row=np.arange(sum(len(table.row) for table in tables)),
        )


def _digest(part: _Part) -> bytes:
    """Return a digest of the content of a part, by which parts are put in order."""
    digest = hashlib.sha256()
    for table in part.tables:
        for array in (table.image, table.category, table.scores, table.keypoints, table.bbox):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
