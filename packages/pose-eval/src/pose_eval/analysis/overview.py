"""Everything that is known about one evaluation, for pages and tables."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

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


@dataclass(frozen=True, eq=False)
class CategoryAnalysis:
    """One category: its errors, a line for each joint, groups of persons, a line for each image."""

    index: int
    name: str
    diagnosis: Diagnosis
    joints: list[dict[str, Any]]
    groups: dict[str, list[Group]]
    visibility: list[dict[str, Any]]
    images: list[dict[str, Any]]


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


def analyse(report: Report, *, replicates: int = 1000, seed: int = 0) -> Analysis:
    """Analyse a report; replicates: of the bootstrap, 0 for no intervals."""
    intervals = bootstrap(report, replicates, seed) if replicates else {}
    categories = []
    for category, name in report.measured():
        diagnosis = diagnose(report, category=category)
        categories.append(
            CategoryAnalysis(
                index=category,
                name=name,
                diagnosis=diagnosis,
                joints=by_joint(report, diagnosis),
                groups={
                    "size (root of the area)": by_size(report, category),
                    "labelled joints": by_joints(report, category),
                    "crowding (box IoU)": by_crowding(report, category),
                },
                visibility=by_visibility(report, diagnosis),
                images=by_image(report, category),
            )
        )
    return Analysis(report, intervals, replicates, seed, tuple(categories))


def with_intervals(report: Report, replicates: int, seed: int) -> Report:
    """Return the report with a section of the intervals of its numbers."""
    found = {name: asdict(value) for name, value in bootstrap(report, replicates, seed).items()}
    section = {"replicates": replicates, "seed": seed, "level": 0.95, "numbers": found}
    return replace(report, sections={**report.sections, "bootstrap": section})


def with_breakdown(report: Report) -> Report:
    """Return the report with sections of its joints, groups of persons and errors.

    With several categories each section is an object by category name.
    """
    analysis = analyse(report, replicates=0)
    found: dict[str, dict[str, Any]] = {}
    for category in analysis.categories:
        parts = {
            "per_joint": category.joints,
            "groups": {k: [asdict(g) for g in v] for k, v in category.groups.items()},
            "visibility": category.visibility,
            "errors": category.diagnosis.section(),
        }
        for name, part in parts.items():
            found.setdefault(name, {})[category.name] = part
    one = len(report.gt.categories) == 1
    sections = {k: next(iter(v.values())) if one else v for k, v in found.items()}
    return replace(report, sections={**report.sections, **sections})


def worst_images(report: Report, category: CategoryAnalysis, most: int) -> list[dict[str, Any]]:
    """Return the images that lose most: the sum over their persons of 1 - OKS."""
    rows = [row for row in category.images if row["persons"]]
    lost = np.array([row["persons"] * (1 - row["oks"]) for row in rows])
    order = np.argsort(-lost, kind="stable")
    return [{**rows[i], "lost": float(lost[i])} for i in order[:most] if lost[i] > 0]
