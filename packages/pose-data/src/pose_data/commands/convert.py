"""pose-data convert SOURCE... OUT: annotations of other tools to COCO, or COCO to YOLO-pose."""

import argparse
import os
from pathlib import Path

from pose_data.commands.options import add_json, new_path, report
from pose_data.errors import DatasetError, printable

HELP = "Convert YOLO-pose, LabelMe, DeepLabCut, CVAT or AIC to COCO, or COCO to YOLO-pose."
EXAMPLES = """pose-data convert data.yaml people.json
pose-data convert people.json labels --to yolo"""
_FILES = {  # of each format, in folders
    "yolo": "*.yaml",
    "cvat": "*.xml",
    "deeplabcut": "**/CollectedData*.csv",
    "labelme": "**/*.json",
    "aic": "*.json",
}
_SUFFIXES = {Path(pattern).suffix for pattern in _FILES.values()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("sources", type=Path, nargs="+", help="data.yaml, .csv, .xml, .json, or folders of them")
    add("out", type=new_path, help="the JSON file to write; with --to yolo a folder")
    add(
        "--from",
        dest="kind",
        choices=_FILES,
        help="format of the sources, instead of the detected one",
    )
    add("--to", choices=("coco", "yolo"), default="coco")
    add("--images", type=Path, help="folder of the images, where it cannot be found")
    add("--names", help="keypoints in order, a,b,c; others are left out")
    add("--split", help="of YOLO's data.yaml: train, val or test (all of them)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.fix import read_plain
    from pose_data.formats.aic import convert_aic
    from pose_data.formats.animals import coco_content
    from pose_data.formats.cvat import read_cvat
    from pose_data.formats.deeplabcut import read_deeplabcut
    from pose_data.formats.labelme import read_labelme
    from pose_data.formats.yolo import read_yolo, write_yolo
    from pose_data.writing import write_json

    if args.to == "yolo":
        if len(args.sources) > 1:
            raise DatasetError("--to yolo takes one file: `pose-data merge` makes one of several")
        written = write_yolo(read_plain(args.sources[0]), args.out, args.images)
        images = args.out / "images"
        report(args, written, images=str(images))
        if not args.json:
            print(f"Put the images into {images}")
        return 0
    kind, files, skipped = _files(args.sources, args.kind)
    if kind == "aic":
        folder = args.images or files[0].parent
        report(args, {"persons": convert_aic(files[0], folder, args.out)}, images=str(folder))
        return 0
    names = args.names and [name.strip() for name in args.names.split(",")]
    if kind == "yolo":
        found = read_yolo(files[0], args.images or _above(args.sources), names, args.split)
    elif kind == "labelme":
        found = read_labelme(files, args.images or _above(args.sources), args.images)
    else:
        found = (read_cvat if kind == "cvat" else read_deeplabcut)(files, args.images)
    content = coco_content(found, names)
    write_json(args.out, content)
    counts = {key: len(content[key]) for key in ("images", "annotations")}
    counts |= found.notes | {"other files left out": skipped}
    categories = {each["name"]: each["keypoints"] for each in content["categories"]}
    report(args, counts, images=str(found.folder), categories=categories)
    if not args.json:
        for name, keypoints in categories.items():
            print(printable(f"  {name}: {', '.join(keypoints)}"))
        print(printable(f"  file names are relative to {found.folder}"))
    return 0


def _above(sources: list[Path]) -> Path:
    """Return the folder above the sources: images often lie beside the folder of annotations."""
    folders = [os.path.abspath(each if each.is_dir() else each.parent) for each in sources]
    return Path(os.path.commonpath(folders)).parent


def _files(sources: list[Path], wanted: str | None) -> tuple[str, list[Path], int]:
    """Return a format, its files in all sources, and how many others are in their folders."""
    from pose_data.formats.foreign import foreign, kind_of

    for kind, pattern in _FILES.items():
        inside = [sorted(each.glob(pattern)) for each in sources if each.is_dir()]
        files = [file for each in inside for file in each]
        chosen = [file for file in files if kind_of(file) == kind]
        given = [each for each in sources if not each.is_dir()]
        if kind == wanted or (wanted is None and any(kind_of(f) == kind for f in given + chosen)):
            if not given + chosen:
                break
            return kind, given + chosen, len(files) - len(chosen)
    named = (file for each in sources for file in each.glob("**/*") if file.suffix in _SUFFIXES)
    example = min(named, default=None)
    such = "or no such files" if example is None else f"or is damaged, such as {example}"
    what = foreign(sources[0]) or f"{sources[0]} has no known format, {such}"
    raise DatasetError(f"{what}; convert reads {', '.join(_FILES)} (--from)")
