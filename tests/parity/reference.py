"""The reference numbers and the real pictures that some are of, and how they are found."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The folder with topdown/ and bottomup/: PARITY_DIR, else the committed subset.
FOLDER = Path(os.environ.get("PARITY_DIR") or Path(__file__).parent / "golden")


def read(name: str | Path) -> Any:
    """Return what a .json says, or the arrays of an .npz by name; `name` is below FOLDER.

    Skips the test, or the subtest, where the file is not among the numbers.
    """
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"{path.relative_to(FOLDER)} is not among these reference numbers")
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with np.load(path) as arrays:
        return dict(arrays)


def data_dir() -> Path:
    """Return the folder of real pictures and annotations, POSE_DATA_DIR; skips where unset."""
    if "POSE_DATA_DIR" not in os.environ:
        pytest.skip("POSE_DATA_DIR is not set: no real pictures and annotations")
    return Path(os.environ["POSE_DATA_DIR"])


def data_file(name: str) -> Path:
    """Return a file of the data that the numbers name, from `data/` on or from below."""
    return data_dir() / name.removeprefix("data/")


def find_pictures(annotations: Path) -> Path:
    """Return the folder of the pictures of an annotation file: one near it."""
    name = json.loads(annotations.read_text())["images"][0]["file_name"]
    for near in (annotations.parent, annotations.parent.parent):
        for found in sorted(near.rglob(name)):
            return Path(str(found).removesuffix(name))
    pytest.fail(f"no picture {name} near {annotations}")
