"""Divide an annotation file into a training and a validation file, picture by picture."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.errors import DatasetError
from pose_data.fix import id_key, read_plain
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
    content = read_plain(path)
    images, annotations = content["images"], content["annotations"]
    ids = [id_key(image.get("id")) for image in images]
    image_of = [id_key(row.get("image_id")) for row in annotations]
    if None in ids:
        raise DatasetError(f"{path} image {ids.index(None)} has no id: see `pose-data fix`")
    # One file under two ids is one picture: it goes by the id it has first.
    first: dict[str, str] = {}
    for image, number in zip(images, ids, strict=True):
        first.setdefault(_name_of(image), str(number))
    keys = [
        first[_name_of(image)] if group is None else _group_of(image, group, f"{path} image {i}")
        for i, image in enumerate(images)
    ]
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
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    targets = [folder / f"{stem}_{part}.json" for part in ("train", "val")]
    for target in targets:
        if target.exists():
            raise DatasetError(f"{target} exists; nothing was written")
    in_val = {number: key in chosen for number, key in zip(ids, keys, strict=True)}
    for number, image_id in enumerate(image_of):
        if image_id not in in_val:
            raise DatasetError(
                f"{path} annotation {number}: image_id {image_id} is not in `images`"
            )
    for target, is_val in zip(targets, (False, True), strict=True):
        kept = [image for image, n in zip(images, ids, strict=True) if in_val[n] == is_val]
        rows = [a for a, n in zip(annotations, image_of, strict=True) if in_val.get(n) == is_val]
        write_json(target, {**content, "images": kept, "annotations": rows})
    return targets[0], targets[1]


def _name_of(image: dict[str, Any]) -> str:
    """Return the file of a picture, its id where it names none."""
    return str(image.get("file_name") or f"id {image['id']}").replace("\\", "/")


def _group_of(image: dict[str, Any], group: str, where: str) -> str:
    """Return what a picture must stay together with."""
    match = re.search(group, str(image.get("file_name")))
    if match is None or match.re.groups < 1 or match[1] is None:
        raise DatasetError(
            f"{where}: the first group of {group!r} is not in file_name {image.get('file_name')!r}"
        )
    return match[1]
