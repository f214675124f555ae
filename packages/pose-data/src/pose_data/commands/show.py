"""pose-data show ANNOTATIONS IMAGES -o PAGE.html: annotated images and training samples."""

import argparse
from pathlib import Path
from typing import Any

from pose_data.commands.options import add_data, load
from pose_data.commands.options import size as parse_size
from pose_data.errors import DatasetError

HELP = "Draw annotated images and augmented samples, to .html or .png."
EXAMPLES = "pose-data show people.json pictures -o page.html"
# Those of pixels.py and headers.py, which import numpy: help does not wait for it.
_PIXELS = ("blur", "colour", "erase", "noise")
_EXIFS = ("auto", "apply", "ignore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_data(parser)
    add("-o", "--out", type=Path, required=True, help=".html, .png or .jpg")
    add("--num-images", "--pictures", type=int, default=12, help="how many annotated images (12)")
    add("--bottom-up", action="store_true", help="samples are whole images")
    add("--samples", type=int, default=6, help="how many persons, or their images (6)")
    add("--draws", type=int, default=4, help="augmentations of each sample (4)")
    add("--input-size", type=parse_size, help="of samples (192x256; 512x512 with --bottom-up)")
    add("--ids", type=int, nargs="+", help="annotation ids, instead of random ones")
    add(
        "--pixels",
        nargs="+",
        choices=_PIXELS,
        default=[],
        help="also change pixels of samples, by the default ranges",
    )
    add("--names", action="store_true", help="write keypoint names, in larger images")
    add("--exif", choices=_EXIFS, default="auto", help="as data.exif in pose-train")
    add(
        "--bits",
        type=int,
        choices=range(8, 17),
        metavar="N",
        help="bits in use of 16-bit images, 8 to 16, as data.bits in pose-train",
    )
    add("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from pose_data.samples.bottomup import BottomUp
    from pose_data.samples.crop import Augmentation
    from pose_data.samples.pixels import PIXELS
    from pose_data.samples.scene import SceneAugmentation
    from pose_data.samples.topdown import TopDown
    from pose_data.view.draw import legend
    from pose_data.view.gallery import MASKED, annotated_images, augmented_samples, write_gallery

    persons = load(args)
    if not len(persons):
        raise DatasetError(f"{args.annotations} has no labelled person")
    rng = np.random.default_rng(args.seed)
    if args.ids:
        rows = np.flatnonzero(np.isin(persons.ids, args.ids))
        if not len(rows):
            raise DatasetError(f"{args.annotations} has no labelled person with these ids")
        images = np.unique(persons.image_index[rows])
    else:
        rows = np.sort(rng.permutation(len(persons))[: args.samples])
        images = np.sort(rng.permutation(np.unique(persons.image_index))[: args.num_images])
    size = args.input_size or ((512, 512) if args.bottom_up else (192, 256))
    changes: dict[str, Any] = {name: PIXELS[name]() for name in args.pixels}
    options: dict[str, Any] = {"seed": args.seed, "exif": args.exif, "bits": args.bits}
    dataset: TopDown | BottomUp
    if args.bottom_up:
        scene = SceneAugmentation(**changes)
        dataset = BottomUp(persons, size, (size,), None, scene, **options)
        rows = np.searchsorted(dataset.images, np.unique(persons.image_index[rows]))
    else:
        dataset = TopDown(persons, size, None, Augmentation(**changes), **options)
    annotated = annotated_images(
        persons, images.tolist(), names=args.names, exif=args.exif, bits=args.bits
    )
    drawn = augmented_samples(dataset, rows.tolist(), args.draws, names=args.names)
    groups = [("As annotated", annotated), ("As training sees them", drawn)]
    title = f"{args.annotations.name}: {persons.skeleton.name}"
    key = [*legend(persons.skeleton), MASKED]
    write_gallery(args.out, title, [group for group in groups if group[1]], key)
    print(args.out)
    return 0
