"""pose-data split ANNOTATIONS OUT: a training and a validation file, image by image."""

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pose_data.commands.options import add_json
from pose_data.errors import DatasetError

HELP = "Split an annotation file into training and validation, image by image."
EXAMPLES = "pose-data split people.json parts --val 0.2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("annotations", type=Path, help="COCO keypoint JSON")
    add("out", type=Path, help="folder for NAME_train.json and NAME_val.json")
    add("--val", type=float, default=0.1, help="share of the images for validation (0.1)")
    add("--seed", type=int, default=0)
    add(
        "--group",
        help="regular expression on file names; images with the same first group stay together, "
        "as the frames of a video must: '^(.+)_[0-9]+'",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.fix import id_key, read_plain
    from pose_data.writing import json_bytes, write_bytes

    path = args.annotations
    if not 0 < args.val < 1:
        raise DatasetError(f"val must be between 0 and 1, got {args.val}")
    content = read_plain(path)
    images, annotations = content["images"], content["annotations"]
    ids = [id_key(image.get("id")) for image in images]
    image_of = [id_key(row.get("image_id")) for row in annotations]
    if None in ids:
        raise DatasetError(f"{path} image {ids.index(None)} has no id: see `pose-data fix`")
    in_val = dict(zip(ids, _chosen(path, images, args), strict=True))
    if strange := [i for i, number in enumerate(image_of) if number not in in_val]:
        text = f"image_id {image_of[strange[0]]} is not in `images`"
        raise DatasetError(f"{path} annotation {strange[0]}: {text}")
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    targets = [args.out / f"{stem}_{part}.json" for part in ("train", "val")]
    parts, facts = [], dict[str, Any]()
    for is_val, target in zip((False, True), targets, strict=True):
        kept = [image for image, n in zip(images, ids, strict=True) if in_val[n] == is_val]
        rows = [a for a, n in zip(annotations, image_of, strict=True) if in_val[n] == is_val]
        name = "val" if is_val else "train"
        facts[name] = {"file": str(target), "images": len(kept), "annotations": len(rows)}
        parts.append(json_bytes({**content, "images": kept, "annotations": rows}))
    there = [target for target in targets if target.exists()]
    same = [t for t, part in zip(targets, parts, strict=True) if t in there and _holds(t, part)]
    # One alone that is the same was written by a split that was killed before the other.
    if there and (same != there or len(there) == len(targets)):
        raise DatasetError(f"{there[0]} exists; nothing was written")
    for target, part in zip(targets, parts, strict=True):
        write_bytes(target, part)
        if not args.json:
            print(target)
    if args.json:
        print(json.dumps(facts, indent=1))
    return 0


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _chosen(path: Path, images: list[dict[str, Any]], args: argparse.Namespace) -> list[bool]:
    """Draw which images go to validation; what belongs together stays on one side.

    The same file and seed give the same split. Without --group, one file under two ids is one
    image, which goes by the id it has first.
    """
    import numpy as np

    from pose_data.fix import id_key

    if args.group is None:
        files = [str(image.get("file_name") or f"id {image['id']}") for image in images]
        plain = [file.replace("\\", "/") for file in files]
        first: dict[str, str] = {}
        pairs = zip(plain, images, strict=True)
        keys = [first.setdefault(file, str(id_key(image["id"]))) for file, image in pairs]
    else:
        keys = [_group(image, args.group, f"{path} image {i}") for i, image in enumerate(images)]
    count = Counter(keys)
    names = sorted(count)
    if len(names) < 2:
        raise DatasetError(f"{path}: {len(names)} groups of images cannot be split")
    chosen: set[str] = set()
    taken = 0
    for place in np.random.default_rng(args.seed).permutation(len(names)).tolist():
        # One group at least, and never all.
        if len(chosen) >= len(names) - 1 or (chosen and taken >= args.val * len(images)):
            break
        chosen.add(names[place])
        taken += count[names[place]]
    return [key in chosen for key in keys]


def _group(image: dict[str, Any], group: str, where: str) -> str:
    """Return what an image must stay together with."""
    match = re.search(group, str(image.get("file_name")))
    if match is None or match.re.groups < 1 or match[1] is None:
        text = f"the first group of {group!r} is not in file_name {image.get('file_name')!r}"
        raise DatasetError(f"{where}: {text}")
    return match[1]
