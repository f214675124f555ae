"""pose-data merge A B ... -o OUT: several annotation files as one."""

import argparse
import posixpath
from collections import Counter
from pathlib import Path
from typing import Any

from pose_data.commands.options import add_json, new_path, report
from pose_data.errors import DatasetError, reading

HELP = "Merge annotation files into one, with new ids; categories are matched by name."
EXAMPLES = "pose-data merge a.json b.json --prefix a b -o both.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("annotations", type=Path, nargs="+", help="COCO keypoint JSON files")
    add("-o", "--out", type=new_path, required=True, help="the file to write")
    add(
        "--prefix",
        nargs="+",
        help="a folder for each file, put before its file names; equal names are then one image",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.fix import read_plain, repair
    from pose_data.writing import write_json

    paths, prefixes = args.annotations, args.prefix or [""] * len(args.annotations)
    if len(paths) < 2 or len(prefixes) != len(paths):
        raise DatasetError("merge needs two files or more, and --prefix a folder for each")
    merged: dict[str, Any] = {"images": [], "annotations": []}
    categories: dict[str, dict[str, Any]] = {}
    owner: dict[str, Path] = {}
    done: Counter[str] = Counter()
    for path, prefix in zip(paths, prefixes, strict=True):
        content, more = repair(read_plain(path))
        done.update(more)
        with reading(path):
            content = _with_new_ids(content, f"{path} ", prefix)
        for name in (str(each["file_name"]) for each in content["images"] if "file_name" in each):
            if not args.prefix and owner.setdefault(name, path) != path:
                text = f"{name} is in {owner[name]} and {path}: give --prefix with a folder for "
                text += "each file, or `--prefix . .` where both mean the same image"
                raise DatasetError(text)
        for category in content.pop("categories"):
            known = categories.setdefault(category["id"], category)
            if known.get("keypoints") != category.get("keypoints"):
                raise DatasetError(f"{path}: {category['id']} has other keypoints than before")
        for key in ("images", "annotations"):
            merged[key] += content.pop(key)
        for key, value in content.items():  # of what is not a list (info), the first counts
            first = merged.setdefault(key, value)
            if isinstance(first, list) and isinstance(value, list):
                merged[key] = first + [each for each in value if each not in first]
    result, more = repair(merged | {"categories": list(categories.values())})
    write_json(args.out, result)
    counts = {key: len(result[key]) for key in ("images", "annotations", "categories")}
    report(args, counts | {what: n for what, n in (done + more).items() if " ids " not in what})
    return 0


def _with_new_ids(content: dict[str, Any], mark: str, prefix: str) -> dict[str, Any]:
    """Return content whose ids are texts, which `repair` numbers; categories go by their name."""
    categories = content.get("categories") or []
    titles = {c["id"]: f"category {c.get('name')}" for c in categories}
    images = [{**image, "id": f"{mark}{image['id']}"} for image in content["images"]]
    for image in images:
        if prefix and image.get("file_name"):
            image["file_name"] = posixpath.normpath(posixpath.join(prefix, image["file_name"]))
    rows = [
        {**row, "id": None, "image_id": f"{mark}{row['image_id']}"}
        | ({"category_id": titles[row["category_id"]]} if titles else {})
        for row in content["annotations"]
    ]
    categories = [{**c, "id": titles[c["id"]]} for c in categories]
    return {**content, "images": images, "annotations": rows, "categories": categories}
