"""Sigmas from repeated annotations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval.__main__ import main
from pose_eval.sigmas import spread

SIGMAS = np.array([0.03, 0.1])


def annotations(persons: int = 400) -> list[dict[str, Any]]:
    """Draw three annotations of each person with known sigmas; some lack the second joint."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(persons):
        area = float(rng.uniform(2000, 20000))
        places = rng.uniform(0, 500, (2, 2))
        for _ in range(3):
            # d^2 is the sum over x and y, so each has half the variance.
            noise = rng.normal(0, 1, (2, 2)) * (SIGMAS * np.sqrt(area / 2))[:, None]
            v = np.array([2, 2 if rng.uniform() < 0.8 else 0])
            keypoints = np.column_stack([(places + noise) * (v > 0)[:, None], v])
            row = {"id": len(rows), "image_id": person % 7, "category_id": 1, "area": area}
            row |= {"bbox": [0, 0, 10, 10], "keypoints": keypoints.ravel().tolist()}
            rows.append(row | {"person_id": person})
    return rows


def arrays(rows: list[dict[str, Any]]) -> tuple[Any, Any, Any]:
    keypoints = np.array([row["keypoints"] for row in rows]).reshape(-1, 2, 3)
    columns = (np.array([row[key] for row in rows]) for key in ("area", "person_id"))
    return keypoints, *columns


def test_known_sigmas_come_back() -> None:
    got = spread(*arrays(annotations()))
    assert got.sigmas == pytest.approx(SIGMAS, rel=0.05)
    assert got.repeats[0] == 800
    assert got.persons == 400


def test_by_hand() -> None:
    keypoints = np.array([[[0, 0, 2], [5, 5, 2]], [[6, 8, 1], [0, 0, 0]], [[9, 9, 2], [9, 9, 2]]])
    got = spread(keypoints.astype(float), np.array([90.0, 110.0, 50.0]), np.array([1, 1, 2]))
    # Two places 10 apart: each is 5 from their mean, with one degree of freedom.
    assert got.sigmas == pytest.approx([np.sqrt(50 / 100), np.nan], nan_ok=True)
    assert got.repeats.tolist() == [1, 0]
    assert got.persons == 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    content = {
        "images": [{"id": i} for i in range(7)],
        "categories": [{"id": 1, "keypoints": ["eye", "hip"]}],
        "annotations": annotations(40),
    }
    path = tmp_path / "repeated.json"
    path.write_text(json.dumps(content))
    return path


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sigmas", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "40 persons are annotated more than once" in printed
    assert main(["sigmas", str(file), "--format", "json"]) == 0
    sigmas = json.loads(capsys.readouterr().out)
    assert sigmas == pytest.approx(spread(*arrays(annotations(40))).sigmas)
    assert printed.endswith(f"--sigmas {sigmas[0]:.4f},{sigmas[1]:.4f}\n")


def test_bad_annotations(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sigmas", str(file), "--by", "track"]) == 1
    assert "annotation 0 (id 0): track must be an integer or a string" in capsys.readouterr().err
    assert main(["sigmas", str(file), "--by", "id"]) == 1
    assert "no person has eye, hip annotated twice" in capsys.readouterr().err


def test_by_an_attribute(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As CVAT and others write it: what they know of a person is in `attributes`."""
    assert main(["sigmas", str(file)]) == 0
    wanted = capsys.readouterr().out
    content = json.loads(file.read_text())
    content["categories"].append({"id": 2, "name": "car"})
    content["annotations"].insert(0, {"id": [3], "image_id": 0, "category_id": 2})
    for row in content["annotations"]:
        row["attributes"] = {"track": {"id": f"p{row.pop('person_id', 0)}"}, "occluded": False}
    for ids in (True, False):
        file.write_text(json.dumps(content))
        assert main(["sigmas", str(file), "--by", "attributes.track.id"]) == 0
        assert capsys.readouterr().out == wanted
        assert main(["sigmas", str(file), "--by", "attributes.occluded"]) == 1
        assert f"annotation 1 (id {0 if ids else 1}): attributes.occ" in capsys.readouterr().err
        for row in content["annotations"][1:]:
            row.pop("id", None)
