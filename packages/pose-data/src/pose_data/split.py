"""Divide an annotation file into a training and a validation file, picture by picture."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.columns import objects
from pose_data.errors import DatasetError
from pose_data.reading import read_json
from pose_data.writing import write_json


def split(
    annotation_file: str | Path,
    out: str | Path,
    *,
    val: float = 0.1,
    seed: int = 0,
    group: str | None = None,
) -> tuple[Path, Path]:
    """Write `out`/NAME_train.json and NAME_val.json, and return their paths.

    val: the share of pictures that go to the latter. group: a regular expression whose first
    group, found in a file name, says what belongs together (the video of a frame, the scene): such
    pictures stay on one side. The same file and seed give the same split; nothing is overwritten.
    """
    path, folder = Path(annotation_file), Path(out)
    if not 0 < val < 1:
        raise DatasetError(f"val must be between 0 and 1, got {val}")
    content = read_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise DatasetError(f"{path} needs lists `images` and `annotations` to be split")
    images = objects(content["images"], f"{path} image", 0)
    keys = [_group_of(image, group, f"{path} image {i}") for i, image in enumerate(images)]
    names = sorted(set(keys))
    if len(names) < 2:
        raise DatasetError(f"{path}: {len(names)} groups of pictures cannot be divided")
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    count = dict.fromkeys(names, 0)
    for key in keys:
        count[key] += 1
    chosen: set[str] = set()
    taken = 0
    for place in order:  # one group at least, and never all
        if len(chosen) >= len(names) - 1 or (chosen and taken >= val * len(images)):
            break
        chosen.add(names[place])
        taken += count[names[place]]
    paths = []
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    targets = [folder / f"{stem}_{part}.json" for part in ("train", "val")]
    for target in targets:
        if target.exists():
            raise DatasetError(f"{target} exists; nothing was written")
    for target, is_val in zip(targets, (False, True), strict=True):
        kept = [i for i, key in zip(images, keys, strict=True) if (key in chosen) == is_val]
        ids = {image.get("id") for image in kept}
        rows = [
            a for a in content["annotations"] if isinstance(a, dict) and a.get("image_id") in ids
        ]
        write_json(target, {**content, "images": kept, "annotations": rows})
        paths.append(target)
    return paths[0], paths[1]


def _group_of(image: dict[str, Any], group: str | None, where: str) -> str:
    """Return what a picture must stay together with; itself without a pattern."""
    if group is None:
        return str(image.get("id"))
    match = re.search(group, str(image.get("file_name")))
    if match is None or match.re.groups < 1 or match[1] is None:
        raise DatasetError(
            f"{where}: the first group of {group!r} is not in file_name {image.get('file_name')!r}"
        )
    return match[1]
