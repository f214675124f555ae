"""pose-data filter ANNOTATIONS OUT: some categories, persons with enough keypoints."""

import argparse
from pathlib import Path

from pose_data.commands.options import add_json, new_path, report
from pose_data.errors import DatasetError, reading

HELP = "Keep some categories, annotations with enough keypoints, images with annotations."
EXAMPLES = "pose-data filter people.json some.json --categories person --min-keypoints 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("annotations", type=Path, help="COCO keypoint JSON")
    add("out", type=new_path, help="the file to write")
    add("--categories", help="names or ids, separated by commas")
    add("--min-keypoints", type=int, default=0, help="fewest labelled ones (0); crowds are kept")
    add("--drop-empty-images", action="store_true", help="also drop images without annotations")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.fix import read_plain
    from pose_data.writing import write_json

    content = read_plain(args.annotations)
    images, rows = content["images"], content["annotations"]
    categories = content.get("categories") or []
    if args.categories:
        wanted = {word.strip() for word in args.categories.split(",")}
        chosen = [c for c in categories if {str(c.get("name")), str(c.get("id"))} & wanted]
        known = {str(c.get(key)) for c in categories for key in ("name", "id")}
        if unknown := wanted - known:
            text = f"{args.annotations} has no category {', '.join(sorted(unknown))}; it has "
            raise DatasetError(text + ", ".join(str(c.get("name")) for c in categories))
        ids = [c.get("id") for c in chosen]
        rows = [row for row in rows if row.get("category_id") in ids]
        content = {**content, "categories": chosen}
    with reading(args.annotations):
        labelled = [sum(v > 0 for v in (row.get("keypoints") or [])[2::3]) for row in rows]
        counted = zip(rows, labelled, strict=True)
        rows = [row for row, n in counted if row.get("iscrowd") or n >= args.min_keypoints]
        if args.drop_empty_images:
            used = {row.get("image_id") for row in rows}
            images = [image for image in images if image.get("id") in used]
    write_json(args.out, {**content, "images": images, "annotations": rows})
    counts = {"images": len(images), "annotations": len(rows)}
    dropped = {f"{key} dropped": len(content[key]) - n for key, n in counts.items()}
    report(args, counts | dropped)
    return 0
