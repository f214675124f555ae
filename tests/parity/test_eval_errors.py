"""The labels of joints against coco-analyze's, where the two mean the same.

Equal: which detection belongs to which person, the label of each of its joints, the counts over
all areas, and AP before anything is repaired. Not compared: AP after a repair (coco-analyze puts a
joint near its annotated place, here it is put there), the number of background detections and of
false negatives (there they include ignored persons and are counted after the other repairs), and
the counts of its medium and large areas (there they include persons of other sizes).
"""

from pathlib import Path
from typing import Any

import pytest
from reference import found, read

from pose_eval import diagnose, evaluate
from pose_eval.analysis.error_types import LABELS

LETTERS = dict(zip("-gjism", LABELS, strict=True))


def cases(parity_dir: Path) -> list[tuple[Any, Any]]:
    """Return (expected, report) of each error analysis, over the areas that it was run with."""
    analyses = []
    for file in sorted((parity_dir / "eval").glob("*/error_analysis.json")):
        expected = read(file)
        report = evaluate(
            found(file.with_name("results.json")),
            found(file.with_name("gt.json")),
            areas=expected["params"]["area_ranges"],
            max_dets=expected["params"]["max_dets"],
        )
        analyses.append((expected, report))
    if not analyses:
        pytest.skip("no eval/*/error_analysis.json among these reference numbers")
    return analyses


def test_labels_and_counts(parity_dir: Path) -> None:
    for expected, report in cases(parity_dir):
        diagnosis = diagnose(report)
        got = {}
        for row, person, oks, labels in zip(
            diagnosis.rows, diagnosis.persons, diagnosis.oks, diagnosis.labels, strict=True
        ):
            names = [LABELS[label] for label in labels]
            got[int(report.results.row[row])] = (report.gt.ids[person], oks, names)
        wanted = [entry for entry in expected["per_detection_all"] if not entry["ignore"]]
        assert len(got) == len(wanted)
        for entry in wanted:
            person, oks, names = got[entry["row"]]
            assert person == entry["gt_id"]
            if "oks" in entry:
                assert oks == pytest.approx(entry["oks"], abs=1e-12)
            assert names == [LETTERS[letter] for letter in entry["label"]], entry["row"]
        counts = expected["counts"]["all"]
        assert diagnosis.section()["matched_detections"] == counts["matched_detections"]
        for k, name in enumerate(diagnosis.joint_names):
            for label, of_label in enumerate(diagnosis.counts()):
                if label:
                    assert of_label[k] == counts[LABELS[label]][name], (LABELS[label], name)


def test_ap_before_repairs(parity_dir: Path) -> None:
    checked = 0
    for expected, report in cases(parity_dir):
        areas = [area.name for area in report.settings.areas]
        for entry in expected["ap_after_fix"]:
            at = [t for t, oks in enumerate(report.settings.thresholds) if oks == entry["oks"]]
            if entry["fixed"] == "baseline" and at:
                precision = report.curves.precision[at[0], :, 0, areas.index(entry["area"])]
                assert precision.mean() == pytest.approx(entry["ap"], abs=1e-12), entry
                checked += 1
    if not checked:
        pytest.skip("no AP before repairs among these reference numbers")
