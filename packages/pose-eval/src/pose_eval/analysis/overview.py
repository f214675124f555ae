"""Everything that is known about one evaluation, for pages and tables."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from pose_eval.analysis.bootstrap import Interval, bootstrap
from pose_eval.analysis.breakdown import (
    Group,
    by_crowding,
    by_image,
    by_joint,
    by_joints,
    by_size,
    by_visibility,
)
from pose_eval.analysis.error_types import Diagnosis, diagnose
from pose_eval.coco.report import Report
from pose_eval.coco.tables import one_line


@dataclass(frozen=True, eq=False)
class CategoryAnalysis:
    """One category: its errors, a line for each keypoint, groups of persons, a line per image."""

    index: int
    name: str
    diagnosis: Diagnosis
    joints: list[dict[str, Any]]
    groups: dict[str, list[Group]]
    visibility: list[dict[str, Any]]
    images: list[dict[str, Any]]
    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Analysis:
    """A report, the intervals of its numbers (none if not asked for), and its categories.

    categories: those with persons or detections.
    """

    report: Report
    intervals: dict[str, Interval]
    replicates: int
    seed: int
    categories: tuple[CategoryAnalysis, ...]
    __repr__ = one_line


def analyse(report: Report, *, replicates: int = 1000, seed: int = 0) -> Analysis:
    """Analyse a report; replicates: of the bootstrap, 0 for no intervals."""
    intervals = bootstrap(report, replicates, seed) if replicates else {}
    categories = []
    for index, name in report.measured():
        diagnosis = diagnose(report, category=index)
        groups = {
            "size (root of the area)": by_size(report, index),
            "labelled keypoints": by_joints(report, index),
            "crowding (box IoU)": by_crowding(report, index),
        }
        joints, visibility = by_joint(report, diagnosis), by_visibility(report, diagnosis)
        images = by_image(report, index)
        found = CategoryAnalysis(index, name, diagnosis, joints, groups, visibility, images)
        categories.append(found)
    return Analysis(report, intervals, replicates, seed, tuple(categories))


def with_sections(analysis: Analysis, breakdown: bool) -> Report:
    """Return the report with sections of its intervals and, if asked for, of the analysis.

    With several categories, each section of the analysis is an object by category name.
    """
    report = analysis.report
    sections: dict[str, Any] = {}
    if analysis.intervals:
        numbers = {name: asdict(interval) for name, interval in analysis.intervals.items()}
        about = {"replicates": analysis.replicates, "seed": analysis.seed, "level": 0.95}
        sections["bootstrap"] = {**about, "numbers": numbers}
    for category in analysis.categories if breakdown else ():
        parts = {
            "per_joint": category.joints,
            "groups": {k: [asdict(g) for g in v] for k, v in category.groups.items()},
            "visibility": category.visibility,
            "errors": category.diagnosis.section(),
        }
        for name, part in parts.items():
            if len(report.gt.categories) == 1:
                sections[name] = part
            else:
                sections.setdefault(name, {})[category.name] = part
    return replace(report, sections={**report.sections, **sections})
