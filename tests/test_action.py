"""pose-eval's GitHub Action: its script runs, comments the table and gates."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ACTION = Path(__file__).resolve().parents[1] / "packages" / "pose-eval" / "action.yml"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write ground truth, good results, and worse ones, in a folder with the programs."""
    keypoints = [10, 10, 2, 40, 70, 2]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "area": 2000.0, "keypoints": keypoints}
        | {"bbox": [0, 0, 50, 80]}
        for i in range(1, 5)
    ]
    gt = {
        "images": [{"id": i} for i in range(1, 5)],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["head", "tail"]}],
        "annotations": annotations,
    }
    for name, moved in (("good", 0.5), ("worse", 4.0)):
        rows = [
            {"image_id": i, "category_id": 1, "keypoints": [10, 10, 1, 40 + moved * i, 70, 1]}
            | {"score": 1 - i / 10}
            for i in range(1, 5)
        ]
        (tmp_path / f"{name} results.json").write_text(json.dumps(rows))
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, does in (
        ("pose-eval", f'exec "{sys.executable}" -m pose_eval "$@"'),
        ("gh", 'echo "$@" > called; cat "${@: -1}" > commented'),
    ):
        (programs / name).write_text(f"#!/bin/bash\n{does}\n")
        (programs / name).chmod(0o755)
    return tmp_path


def evaluate(folder: Path, **inputs: str) -> int:
    """Run the action's script as GitHub does; returns its exit code."""
    action: Any = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    given = {name: entry.get("default", "") for name, entry in action["inputs"].items()} | inputs
    required = {name for name, entry in action["inputs"].items() if entry.get("required")}
    assert required <= set(inputs) <= set(action["inputs"])
    step = next(step for step in action["runs"]["steps"] if step.get("name") == "evaluate")
    known = {f"${{{{ inputs.{name} }}}}": value for name, value in given.items()}
    known |= {"${{ github.token }}": "token", "${{ github.event.pull_request.number }}": "7"}
    environment = {name: known[value] for name, value in step["env"].items()}
    environment |= {"RUNNER_TEMP": str(folder), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    environment |= {"GITHUB_REPOSITORY": "we/mice"}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=os.environ | environment | {"PATH": path},
        check=False,
    )
    return done.returncode


def test_the_gate_of_one_file(files: Path) -> None:
    options = "--sigmas 0.1,0.1 --bootstrap 20 --fail-below AP=0.9"
    assert evaluate(files, results="good results.json", gt="gt.json", options=options) == 0
    table = (files / "pose-eval.md").read_text(encoding="utf-8")
    assert "| AP | 1.000 |" in table
    assert (files / "summary").read_text(encoding="utf-8") == table
    assert (files / "commented").read_text(encoding="utf-8") == table
    assert (files / "called").read_text().startswith("pr comment 7 --repo we/mice ")
    options = options.replace("0.1,0.1", "0.02,0.02")
    assert evaluate(files, results="worse results.json", gt="gt.json", options=options) == 3


def test_the_gate_of_a_comparison(files: Path) -> None:
    inputs = {"gt": "gt.json", "options": "--sigmas 0.05,0.05 --bootstrap 20 --fail-drop 0.01"}
    good, worse = "good results.json", "worse results.json"
    assert evaluate(files, results=worse, baseline=good, **inputs) == 3
    table = (files / "commented").read_text(encoding="utf-8")
    assert table.startswith("# worse results.json against good results.json\n")
    assert evaluate(files, results=good, baseline=worse, **inputs) == 0


def test_bad_data_are_no_table(files: Path) -> None:
    assert evaluate(files, results="gt.json", gt="gt.json", options="--sigmas 1,1") == 1
    assert not (files / "called").exists()
