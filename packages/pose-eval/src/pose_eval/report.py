"""The outcome of an evaluation."""

from dataclasses import dataclass, field
from typing import Any

from pose_eval import output
from pose_eval.settings import Settings
from pose_eval.tables import Curves, GroundTruth, Matches, Results


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

    def table(self, digits: int = 3) -> str:
        """Return the lines that pycocotools prints."""
        return output.text(self, digits).rstrip("\n")

    def to_json(self) -> str:
        """Return stats, protocol, counts, warnings and sections as a JSON object."""
        return output.json_text(self)
