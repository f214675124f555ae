"""pose-data pack ANNOTATIONS IMAGES OUT: what training can see of each image, in a few files."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose_data.commands.options import add_data, add_json, load, size

if TYPE_CHECKING:
    from pose_data.packing.read import Pack

HELP = "Write what training can see of each image into a few large files."
EXAMPLES = """pose-data pack people.json pictures packed --input-size 192x256
pose-data pack people.json pictures packed --input-size 512x512 --bottom-up --raw"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    add = parser.add_argument
    add("out", type=Path, help="a new folder, or one in which this was stopped: it goes on")
    add("--input-size", type=size, required=True, help="of the network, such as 192x256")
    add("--bottom-up", action="store_true", help="whole images, for bottom-up training")
    add("--raw", action="store_true", help="uncompressed: fastest, and about five times as large")
    add("--rotate", type=float, default=80.0, help="augmentation up to that many degrees (80)")
    add("--scale", type=float, help="largest change of a box (0.5); bottom-up: the least (0.75)")
    add("--shift", type=float, default=0.16, help="its largest shift, of a box's size (0.16)")
    add("--no-half-body", action="store_true", help="it has no crops of half bodies")
    add("--workers", type=int, default=os.cpu_count() or 1, help="threads; default: of all cores")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from pose_data.images.decode import start_worker
    from pose_data.packing.write import pack
    from pose_data.samples.crop import Augmentation
    from pose_data.samples.scene import SceneAugmentation

    augment: Augmentation | SceneAugmentation
    if args.bottom_up:
        least = 0.75 if args.scale is None else args.scale
        augment = SceneAugmentation(scale=(least, max(least, 1.5)))
    else:
        augment = Augmentation(
            half_body_prob=0.0 if args.no_half_body else 0.3,
            shift=args.shift,
            scale=0.5 if args.scale is None else args.scale,
            rotate=args.rotate,
        )
    start_worker()  # threads of packing are the parallelism, not OpenCV's
    made = pack(
        load(args),
        args.out,
        args.input_size,
        augment,
        encoding="raw" if args.raw else "jpeg",
        workers=max(1, args.workers),
        progress=not args.json,
    )
    print(json.dumps(facts(made)) if args.json else describe(made))
    return 0


def facts(made: "Pack") -> dict[str, Any]:
    """Return what is in a pack, for programs."""
    stored = made.columns["bytes"]
    counts = {"samples": len(made), "bytes": stored.sum(), "without_pixels": (stored == 0).sum()}
    return {"out": str(made.folder), "unit": made.about["samples"]} | {
        name: int(count) for name, count in counts.items()
    }


def describe(made: "Pack") -> str:
    """Return what is in a pack, in a line or two."""
    found = facts(made)
    text = f"{found['out']}: {found['samples']} {found['unit']}, {found['bytes'] / 1e6:.0f} MB, "
    text += f"{found['bytes'] / found['samples'] / 1e3:.1f} KB each"
    if broken := found["without_pixels"]:
        text += f"\n  {broken} without pixels: their images could not be read"
    return text
