"""The reference numbers and the real pictures that some are of, and how they are found."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

# The folder with topdown/ and bottomup/: PARITY_DIR, else the committed subset.
FOLDER = Path(os.environ.get("PARITY_DIR") or Path(__file__).parent / "golden").resolve()


class Numbers(dict[str, Any]):
    """What a file holds, by name; a test, or a subtest, that asks for what it lacks is skipped."""

    def __init__(self, content: Mapping[str, Any], file: str) -> None:
        super().__init__(content)
        self.file = file

    def __missing__(self, name: str) -> NoReturn:
        pytest.skip(f"{self.file}: {name} is not among these reference numbers")

    def below(self, prefix: str) -> "Numbers":
        """Return what has this prefix, by the rest of its name."""
        return Numbers(
            {k.removeprefix(prefix): v for k, v in self.items() if k.startswith(prefix)},
            f"{self.file} {prefix}",
        )


def read(name: str | Path) -> Any:
    """Return what a .json says, or the arrays of an .npz by name; `name` is below FOLDER.

    Skips the test, or the subtest, where the file is not among the numbers, and later where what
    it asks for is not in the file.
    """
    path = found(FOLDER / name)
    file = str(path.relative_to(FOLDER))
    if path.suffix == ".json":
        return json.loads(path.read_text(), object_hook=lambda content: Numbers(content, file))
    with np.load(path) as arrays:
        return Numbers(arrays, file)


def ten_numbers(stats: Mapping[str, float]) -> list[float]:
    """Return COCO's ten numbers, which are in their order; skips where one is lacking."""
    if len(stats) < 10:
        pytest.skip(f"only {', '.join(stats)} are among these reference numbers")
    return list(stats.values())


def found(path: Path) -> Path:
    """Return a file or folder of the numbers or of the data; skips where it is not there."""
    if path.exists():
        return path
    if path.is_relative_to(FOLDER):
        pytest.skip(f"{path.relative_to(FOLDER)} is not among these reference numbers")
    pytest.skip(f"{path} is not there")


def data_dir() -> Path:
    """Return the folder of real pictures and annotations, POSE_DATA_DIR; skips where unset."""
    if "POSE_DATA_DIR" not in os.environ:
        pytest.skip("POSE_DATA_DIR is not set: no real pictures and annotations")
    return Path(os.environ["POSE_DATA_DIR"])


def data_file(name: str) -> Path:
    """Return a file of the data that the numbers name, from `data/` on or from below."""
    return found(data_dir() / name.removeprefix("data/"))


def find_pictures(annotations: Path) -> Path:
    """Return the folder of the pictures of an annotation file: one near it."""
    name = json.loads(annotations.read_text())["images"][0]["file_name"]
    for near in (annotations.parent, annotations.parent.parent):
        for picture in sorted(near.rglob(name)):
            return Path(str(picture).removesuffix(name))
    pytest.skip(f"no picture {name} near {annotations}")
