"""The outcome of an evaluation."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pose_eval.coco.summary import coco_stats
from pose_eval.coco.tables import Curves, GroundTruth, Matches, Results, SettingsError, did_you_mean
from pose_eval.render.table import number, text_table
from pose_eval.settings import Settings

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
    counts: dict[str, int]
    warnings: tuple[str, ...]
    settings: Settings
    gt: GroundTruth
    results: Results
    matches: tuple[Matches, ...]
    curves: Curves
    sections: dict[str, Any] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """Whose numbers these are."""
        return self.settings.protocol

    @property
    def ap(self) -> float | None:
        """The mean AP over thresholds and categories; None where there is nobody to find."""
        return self.stats["AP"]

    def __getitem__(self, name: str) -> float | None:
        """Return a number by its name: AP, AR50, AP/dog; an unknown one is a KeyError."""
        known = self.all_stats()
        if name not in known:
            near = did_you_mean(name, known)
            raise KeyError(f"no number is called {name!r}{near}; there are {', '.join(known)}")
        return known[name]

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"<Report: AP {number(self.ap, 3)}, {self.counts['detections']} detections of "
            f"{self.counts['persons']} persons, {len(self.warnings)} warnings>"
        )

    def measured(self) -> list[tuple[int, str]]:
        """Return index and name of the categories with persons or detections; all if none has."""
        every = list(enumerate(self.gt.category_names()))
        contents = [len(m.persons) + len(m.detections) for m in self.matches]
        return [(c, name) for c, name in every if contents[c]] or every

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
        return {
            name: {
                "id": self.gt.categories[index].id,
                "persons": int(np.count_nonzero(self.matches[index].counts())),
                "detections": int(np.count_nonzero(self.results.category == index)),
                "stats": coco_stats(self.curves.of(index), self.settings),
            }
            for index, name in enumerate(self.gt.category_names())
        }

    def all_stats(self) -> dict[str, float | None]:
        """Return `stats`, and of several categories those of each: AP/cat, AP/dog, ..."""
        found = dict(self.stats)
        if len(self.gt.categories) > 1:
            for category, entry in self.by_category().items():
                found |= {f"{name}/{category}": v for name, v in entry["stats"].items()}
        return found

    def __str__(self) -> str:
        """Return the table: what print shows."""
        return self.table()

    def table(self, digits: int = 3) -> str:
        """Return the lines of pycocotools, "-" where it has -1, and one for each category."""
        settings = self.settings
        names = {area.suffix: area.name for area in settings.areas}
        whole = f"{settings.thresholds[0]:0.2f}:{settings.thresholds[-1]:0.2f}"
        lines = []
        for name, value in self.stats.items():
            kind = "Average Precision  (AP)" if name.startswith("AP") else "Average Recall     (AR)"
            rest = name[2:]
            if rest in ("M", "L") and rest not in names:
                continue  # an area that was not asked for
            oks = {"50": "0.50", "75": "0.75"}.get(rest, whole)
            column = f"area={names.get(rest, 'all'):>6s}"
            if rest in ("_easy", "_medium", "_hard") and rest not in names:
                column = f"type={rest[1:]:>6s}"
            line = f" {kind} @[ IoU={oks:<9} | {column} | maxDets={settings.max_dets:>3d} ] = "
            lines.append(line + number(value, digits))
        if len(self.gt.categories) > 1:
            lines += ["", *text_table(self.category_rows(digits))]
        return "\n".join(lines)

    def category_rows(self, digits: int) -> list[list[str]]:
        """Return the cells of a table: a header, and the numbers of each category."""
        rows = [["category", "persons", "detections", *self.stats]]
        for name, entry in self.by_category().items():
            values = (number(entry["stats"].get(key), digits) for key in self.stats)
            rows.append([name, str(entry["persons"]), str(entry["detections"]), *values])
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return stats (all digits), protocol, counts, warnings and sections, as JSON has them."""
        settings = self.settings
        return {
            "stats": dict(self.stats),
            "protocol": self.protocol,
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
            "settings": {
                "sigmas": [list(values) for values in settings.sigmas],
                "oks_thresholds": list(settings.thresholds),
                "areas": {area.name: [area.low, area.high] for area in settings.areas},
                "area_from": settings.area_from,
                "max_dets": settings.max_dets,
                "joints": None if settings.joints is None else list(settings.joints),
                "categories": list(self.gt.category_names()),
            },
            **({"categories": self.by_category()} if len(self.gt.categories) > 1 else {}),
            **self.sections,
        }

    def to_json(self) -> str:
        """Return the same as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
