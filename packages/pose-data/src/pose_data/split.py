"""Divide an annotation file into a training and a validation file, image by image."""

import re
from collections import Counter
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

    val: the share of images that go to the latter. group: a regular expression whose first
    group, found in a file name, says what belongs together (the video of a frame, the scene): such
    images stay on one side. The same file and seed give the same split; nothing is overwritten.
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
    if group is None:  # a file under two ids is one image: it goes by the id it has first
        files = [str(image.get("file_name") or f"id {image['id']}") for image in images]
        plain = [file.replace("\\", "/") for file in files]
        first: dict[str, str] = {}
        keys = [first.setdefault(f, str(i)) for f, i in zip(plain, ids, strict=True)]
    else:
        keys = [_group_of(image, group, f"{path} image {i}") for i, image in enumerate(images)]
    count = Counter(keys)
    names = sorted(count)
    if len(names) < 2:
        raise DatasetError(f"{path}: {len(names)} groups of images cannot be divided")
    chosen: set[str] = set()
    taken = 0
    for place in np.random.default_rng(seed).permutation(len(names)).tolist():
        # One group at least, and never all.
        if len(chosen) >= len(names) - 1 or (chosen and taken >= val * len(images)):
            break
        chosen.add(names[place])
        taken += count[names[place]]
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    targets = [folder / f"{stem}_{part}.json" for part in ("train", "val")]
    if there := [target for target in targets if target.exists()]:
        raise DatasetError(f"{there[0]} exists; nothing was written")
    in_val = {number: key in chosen for number, key in zip(ids, keys, strict=True)}
    if strange := [i for i, number in enumerate(image_of) if number not in in_val]:
        text = f"image_id {image_of[strange[0]]} is not in `images`"
        raise DatasetError(f"{path} annotation {strange[0]}: {text}")
    for target, is_val in zip(targets, (False, True), strict=True):
        kept = [image for image, n in zip(images, ids, strict=True) if in_val[n] == is_val]
        rows = [a for a, n in zip(annotations, image_of, strict=True) if in_val[n] == is_val]
        write_json(target, {**content, "images": kept, "annotations": rows})
    return targets[0], targets[1]


def _group_of(image: dict[str, Any], group: str, where: str) -> str:
    """Return what an image must stay together with."""
    match = re.search(group, str(image.get("file_name")))
    if match is None or match.re.groups < 1 or match[1] is None:
        text = f"the first group of {group!r} is not in file_name {image.get('file_name')!r}"
        raise DatasetError(f"{where}: {text}")
    return match[1]
