"""What `predict` is given: pictures, videos, folders, patterns, and boxes in JSON files."""

import glob
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data import DatasetError
from pose_train.config import ConfigError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


class Input(NamedTuple):
    """A file, and the name under which its results are kept: its path below the given folder."""

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEOS


def find_inputs(given: Iterable[str]) -> list[Input]:
    """Return the pictures and videos that paths, folders and patterns name, each once.

    Folders are searched through; of what is found there, files of other kinds are left out. Raises
    ConfigError for a path or pattern that names nothing.
    """
    found: dict[Path, str] = {}
    for text in given:
        path = Path(text)
        if path.is_dir():
            files = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in PICTURES + VIDEOS]
            names = [f.relative_to(path).as_posix() for f in files]
        elif path.exists():
            files, names = [path], [path.name]
        else:
            files = [f for f in map(Path, sorted(glob.glob(text, recursive=True))) if f.is_file()]
            names = [f.name for f in files]
        if not files:
            kind = "holds no pictures or videos" if path.is_dir() else "does not exist"
            raise ConfigError(f"{text} {kind}")
        for file, name in zip(files, names, strict=True):
            found.setdefault(file, name)
    return _with_own_names(found)


def _with_own_names(found: Mapping[Path, str]) -> list[Input]:
    """Number names that come again, so that no result overwrites another."""
    taken: set[str] = set()
    inputs = []
    for path, name in found.items():
        place, own, number = Path(name), name, 2
        # Without the suffix: a.jpg and a.png would both be drawn to a file called a.
        while Path(own).with_suffix("").as_posix() in taken:
            own = place.with_stem(f"{place.stem}-{number}").as_posix()
            number += 1
        taken.add(Path(own).with_suffix("").as_posix())
        inputs.append(Input(path, own))
    return inputs


def read_boxes(path: Path, min_score: float = 0.0) -> dict[str, NDArray[np.float32]]:
    """Read boxes (P, 5) xyxy and score by picture, from a COCO annotation or results file.

    Rows have `bbox` (x, y, w, h), perhaps `score`, and `file_name`, or `image_id`: one of the
    file's `images`, else a number or text that is the picture's name without its suffix (leading
    zeros aside). Keys are names without folder and suffix, see `key_of`. Raises DatasetError.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    rows, names = content, {}
    if isinstance(content, dict):
        rows = content.get("annotations")
        names = {image["id"]: image["file_name"] for image in content.get("images", [])}
    if not isinstance(rows, list):
        raise DatasetError(f"{path} must be a list of boxes or a COCO annotation file")
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for number, row in enumerate(rows):
        key, box = _box(row, names, f"{path} row {number}")
        if box[4] >= min_score:
            boxes[key].append(box)
    return {key: np.array(found, np.float32) for key, found in boxes.items()}


def _box(row: Any, names: Mapping[Any, str], where: str) -> tuple[str, list[float]]:
    if not isinstance(row, dict):
        raise DatasetError(f"{where} must be an object with bbox, got {row!r:.60}")
    name = row.get("file_name", names.get(row.get("image_id"), row.get("image_id")))
    if name is None:
        raise DatasetError(f"{where} has neither file_name nor image_id")
    try:
        x, y, w, h = map(float, row.get("bbox"))  # type: ignore[arg-type]
        score = float(row.get("score", 1.0))
    except (TypeError, ValueError):
        raise DatasetError(
            f"{where}: bbox must be x, y, width, height, got {row.get('bbox')!r:.60}"
        ) from None
    if not (w > 0 and h > 0 and np.isfinite([x, y, w, h, score]).all()):
        raise DatasetError(f"{where}: the box {[x, y, w, h]} is empty")
    return key_of(name), [x, y, x + w, y + h, score]


def key_of(name: object) -> str:
    """Return a picture's name without folder, suffix and leading zeros: 000000000785.jpg is 785."""
    text = str(name)
    stem = Path(text).stem if Path(text).suffix.lower() in PICTURES + VIDEOS else Path(text).name
    return stem.lstrip("0") or stem
