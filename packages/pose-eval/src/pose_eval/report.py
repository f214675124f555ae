"""The outcome of an evaluation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pose_eval import output
from pose_eval.categories import category_names
from pose_eval.settings import Settings
from pose_eval.summary import coco_stats, curves_of
from pose_eval.tables import Curves, GroundTruth, Matches, Results, SettingsError

Measured = TypeVar("Measured")


@dataclass(frozen=True, eq=False)
class Report:
    """The outcome of an evaluation.

    stats: the ten COCO numbers by name, then those of further areas or of crowding; None where
    there is nothing to measure (COCO's -1). counts: images, persons (with labelled keypoints),
    detections. warnings: one line each, ending in [its-code]. matches: one for each category of
    the ground truth. sections: what further analyses add, by name; each a value that JSON can
    hold.
    """

    stats: dict[str, float | None]
    protocol: str
    counts: dict[str, int]
    warnings: tuple[str, ...]
    settings: Settings
    gt: GroundTruth
    results: Results
    matches: tuple[Matches, ...]
    curves: Curves
    sections: dict[str, Any] = field(default_factory=dict)

    def measured(self) -> list[tuple[int, str]]:
        """Return index and name of the categories with persons or detections; all if none has."""
        every = list(enumerate(category_names(self.gt)))
        found = [(c, n) for c, n in every if _content(self.matches[c])]
        return found or every

    def each(self, measure: Callable[[int], Measured]) -> dict[str, Measured]:
        """Return what a function gives for each measured category (an index), by name.

        Where there are several, a SettingsError names the category.
        """
        found = {}
        for index, name in self.measured():
            try:
                found[name] = measure(index)
            except SettingsError as error:
                if len(self.gt.categories) == 1:
                    raise
                raise SettingsError(f"category {name}: {error} (--category chooses)") from None
        return found

    def by_category(self) -> dict[str, dict[str, Any]]:
        """Return id, persons, detections and stats of each category, by its name."""
        found = {}
        for index, name in enumerate(category_names(self.gt)):
            ignored = self.matches[index].gt_ignored[0]
            found[name] = {
                "id": self.gt.categories[index].id,
                "persons": int(np.count_nonzero(~ignored)),
                "detections": int(np.count_nonzero(self.results.category == index)),
                "stats": coco_stats(curves_of(self.curves, index), self.settings),
            }
        return found

    def all_stats(self) -> dict[str, float | None]:
        """Return `stats`, and of several categories those of each: AP/cat, AP/dog, ..."""
        found = dict(self.stats)
        if len(self.gt.categories) > 1:
            for category, entry in self.by_category().items():
                found |= {f"{name}/{category}": v for name, v in entry["stats"].items()}
        return found

    def table(self, digits: int = 3) -> str:
        """Return the lines that pycocotools prints, and a line for each of several categories."""
        return output.text(self, digits).rstrip("\n")

    def to_json(self) -> str:
        """Return stats, protocol, counts, warnings and sections as a JSON object."""
        return output.json_text(self)


def _content(matches: Matches) -> int:
    return len(matches.persons) + len(matches.detections)
