"""`pose-train test` as a user types it: the folder that it is given, and what it leaves behind."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from pose_eval.__main__ import main as pose_eval
from pose_train.__main__ import main as pose_train

# Where the presets look below --data-root.
ANNOTATIONS = "annotations/person_keypoints_val2017.json"
PICTURES = "val2017"
DETECTIONS = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"

Stats = dict[str, float | None]


class Outcome(NamedTuple):
    """What one test wrote: COCO result rows, and what they are worth, all digits of ten numbers."""

    rows: list[dict[str, Any]]
    stats: Stats


def lay_out(root: Path, annotations: Any, pictures: Path, detections: Any = None) -> Path:
    """Make a folder laid out like COCO, from what its files say and the folder of its pictures."""
    for name, content in ((ANNOTATIONS, annotations), (DETECTIONS, detections)):
        if content is not None:
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(json.dumps(content))
    (root / PICTURES).symlink_to(pictures.resolve())
    return root


def save_published(state: dict[str, torch.Tensor], file: Path, version: str) -> None:
    """Write weights as MMPose publishes them: what is known of the run, and the state dict."""
    meta = {"mmpose_version": version, "epoch": 210, "CLASSES": ("person",)}
    torch.save({"meta": meta, "state_dict": state}, file)


def run_test(
    capsys: pytest.CaptureFixture[str], source: str | Path, weights: Path, root: Path, *words: str
) -> Outcome:
    """Type `pose-train test` for a folder laid out like COCO, and leave the rows in it."""
    words = ("--data-root", str(root), *words)
    return typed(capsys, source, weights, root / ANNOTATIONS, root / "results.json", *words)


def typed(
    capsys: pytest.CaptureFixture[str],
    source: str | Path,
    weights: Path,
    annotations: Path,
    out: Path,
    *words: str,
) -> Outcome:
    """Type `pose-train test`, and hold the table it prints against pose-eval on what it wrote.

    annotations: where the test looks for them.
    """
    paths = ["--weights", str(weights), "--out", str(out)]
    capsys.readouterr()
    here = ["--workers", "0", "train.device=cpu"]  # convolutions of a GPU may use TF32
    assert pose_train(["test", str(source), *paths, *here, *words]) == 0
    printed = capsys.readouterr().out
    rows = json.loads(out.read_text())
    assert f"{weights} on {annotations}: " in printed
    assert f"{len(rows)} rows in {out}" in printed
    stats = evaluated(capsys, out, annotations)
    table = dict(line.split()[:2] for line in printed.splitlines() if line[:2] in ("AP", "AR"))
    assert table == {n: "-" if value is None else f"{value:.3f}" for n, value in stats.items()}
    return Outcome(rows, stats)


def evaluated(
    capsys: pytest.CaptureFixture[str], results: Path, annotations: Path, *words: str
) -> Stats:
    """Type `pose-eval`; return the ten numbers with all their digits."""
    capsys.readouterr()
    assert pose_eval([str(results), "--gt", str(annotations), "--format", "json", *words]) == 0
    stats: Stats = json.loads(capsys.readouterr().out)["stats"]
    return stats


def as_published(stats: Stats) -> list[float]:
    """Return the ten numbers in their order, with the -1 of COCO's own code for none."""
    return [-1.0 if value is None else value for value in stats.values()]
