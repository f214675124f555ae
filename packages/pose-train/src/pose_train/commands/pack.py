"""pose-train pack CONFIG OUT: what a config's training can see of its images, in a few files."""

import argparse
import shlex
import sys
from pathlib import Path

from pose_data.commands.pack import describe
from pose_train.commands.options import COUNT, add_config, add_overrides
from pose_train.words import note

HELP = "Write what a config's training can see of its images into a few large files."
EXAMPLES = "pose-train pack my.yaml packed\npose-train pack my.yaml packed --raw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add = parser.add_argument
    add("out", type=Path, help="a new folder, or one in which this was stopped")
    add_overrides(parser, "e.g. data.root=FOLDER")
    add(
        "--raw",
        action="store_true",
        help="uncompressed: the fastest to train from, about five times as large",
    )
    add("--workers", **COUNT, help="threads; by default one for each core")


def run(args: argparse.Namespace) -> int:
    """Write a pack of the training set, or go on with one that was stopped."""
    from dataclasses import replace

    from pose_data import pack, start_worker
    from pose_train.config.load import load_config
    from pose_train.config.schema import ConfigError
    from pose_train.cores import allowed_workers
    from pose_train.recipes import RECIPES
    from pose_train.recipes.data import load_train

    config = load_config(args.config, args.overrides)
    data = config.data
    if data.root is None:
        raise ConfigError(
            "data.synthetic draws its images when it runs: draw them before, with `pose-data "
            "synth FOLDER`, and give data.root=FOLDER data.synthetic=null"
        )
    unit = RECIPES[config.recipe].unit
    start_worker()  # threads of packing are the parallelism, not OpenCV's
    persons = load_train(replace(data, packed=None), Path(data.root), unit)
    words = [str(args.config), str(args.out), *args.overrides, *(["--raw"] if args.raw else [])]
    made = pack(
        persons,
        args.out,
        config.model.input_size,
        config.train.augment if unit == "persons" else config.train.scene,
        encoding="raw" if args.raw else "jpeg",
        exif=data.exif,
        bits=data.bits,
        max_broken=data.max_broken,
        workers=max(1, args.workers or allowed_workers(sys.maxsize)),
        command=shlex.join(["pose-train", "pack", *words]),
        progress=True,
    )
    print(describe(made))
    note(f"to train from it: data.packed={args.out}")
    return 0
