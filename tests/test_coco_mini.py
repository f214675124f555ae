"""A few steps of the shipped coco_mini preset on real pictures."""

import json
import os
from pathlib import Path

import pytest

from pose_train.__main__ import main


@pytest.mark.skipif("POSE_DATA_DIR" not in os.environ, reason="POSE_DATA_DIR is not set")
def test_a_few_steps(tmp_path: Path) -> None:
    """One epoch on the first eight persons: the full-size network, the real pipeline."""
    source = Path(os.environ["POSE_DATA_DIR"]) / "coco-mini"
    content = json.loads((source / "annotations/person_keypoints_train2017.json").read_text())
    persons = [a for a in content["annotations"] if a["num_keypoints"] and not a["iscrowd"]][:8]
    used = {person["image_id"] for person in persons}
    content["annotations"] = persons
    content["images"] = [image for image in content["images"] if image["id"] in used]
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/person_keypoints_train2017.json").write_text(json.dumps(content))
    (root / "train2017").symlink_to((source / "train2017").resolve())

    out = tmp_path / "run"
    settings = ["train.epochs=1", "train.batch_size=4", "train.num_workers=0"]
    assert main(["run", "coco_mini", f"data.root={root}", f"out={out}", *settings]) == 0
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert records[0]["step"] == 2
    assert 0 < records[0]["loss"] < 0.1
    assert len(json.loads((out / "results.json").read_text())) == 8
