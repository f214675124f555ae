"""Packs: bytes, the time to write them, training samples from them, and how these differ.

    python packs.py --data DIR          # a folder like coco-mini; default: $POSE_DATA_DIR/coco-mini

Prints Markdown. Times are CPU time of one process and one thread, as in samples.py; the passes of
all versions alternate. Files are warm, also those of packs.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from samples import (
    INPUT,
    Pass,
    begin,
    bottom_up_passes,
    decoding,
    encode_scene,
    enlarged,
    measure,
    top_down_passes,
)

from pose_codecs import MSRAHeatmap
from pose_data import (
    Augmentation,
    BottomUp,
    Pack,
    Persons,
    SceneAugmentation,
    TopDown,
    pack,
)

TRAIN2017 = 149_813, 56_599  # persons that load_coco keeps, and images with some
ENCODINGS: tuple[Any, ...] = ("jpeg", "raw")


def write_packs(persons: Persons, folder: Path) -> dict[str, Pack]:
    """Write packs of persons in both encodings; print what they take, and what 149813 would."""
    rows = sorted(set(persons.image_index.tolist()))
    paths = [persons.image_dir / str(persons.file_names[row]) for row in rows]
    decode = decoding(paths, 3)["full"] / 1e3  # seconds an image
    packs = {}
    print("| packed | KB/person | s of CPU | 149813 such: GB | minutes on one core |")
    print("|---|---|---|---|---|")
    for encoding in ENCODINGS:
        seconds = np.inf
        for again in range(3):
            started = time.process_time()
            out = folder / f"{encoding}-{again}"
            made = pack(persons, out, INPUT, Augmentation(), encoding=encoding)
            seconds = min(seconds, time.process_time() - started)
        size = made.columns["bytes"].mean()
        per_person = (seconds - decode * len(rows)) / len(persons)
        whole = TRAIN2017[0] * per_person + TRAIN2017[1] * decode
        estimate = f"{size * TRAIN2017[0] / 1e9:.1f} | {whole / 60:.0f}"
        print(f"| {encoding} | {size / 1e3:.1f} | {seconds:.2f} | {estimate} |")
        packs[encoding] = made
    boxes, sizes = packs["raw"].columns["box"], packs["raw"].columns["size"]
    smaller = (sizes < boxes[:, 2:] - boxes[:, :2]).any(axis=1).mean()
    print(f"\nStored smaller than they are: {smaller:.0%} of the persons.\n")
    return packs


def print_differences(persons: Persons, packs: dict[str, Pack], epochs: int = 10) -> None:
    """Print how training samples from packs differ from those of the images."""
    boxes, sizes = packs["raw"].columns["box"], packs["raw"].columns["size"]
    is_smaller = (sizes < boxes[:, 2:] - boxes[:, :2]).any(axis=1)
    print("| grey levels | persons | mean | of the worst sample | largest |\n|---|---|---|---|---|")
    for encoding, made in packs.items():
        for warp in ("cv2", "opencv4"):
            exact = TopDown(persons, INPUT, augment=Augmentation(), warp=warp)  # type: ignore[arg-type]
            packed = replace(exact, pack=made)
            keys = [(epoch, index) for epoch in range(epochs) for index in range(len(persons))]
            found = [cv2.absdiff(exact[key]["image"], packed[key]["image"]) for key in keys]
            means, most = (np.array([f(each) for each in found]) for f in (np.mean, np.max))
            for name, chosen in {"full size": ~is_smaller, "stored smaller": is_smaller}.items():
                part = np.tile(chosen, epochs)
                if part.any():
                    values = f"{means[part].mean():.4f} | {means[part].max():.2f}"
                    print(f"| {encoding}, {warp} | {name} | {values} | {most[part].max()} |")
    print()


def crops(persons: Persons, packs: dict[str, Pack]) -> dict[str, Pass]:
    """Return passes over the persons from packs, beside those of samples.py."""
    passes = top_down_passes(persons)
    chosen = {name: passes[name] for name in ("plain", 'decode="exact"', 'decode="fast"')}
    encode = MSRAHeatmap(INPUT, (48, 64)).encode
    for encoding, made in packs.items():
        dataset = TopDown(persons, INPUT, encode, Augmentation(), pack=made)
        for _ in keyed(dataset)(0):  # checksums are verified once in a process
            pass
        chosen[f"packed, {encoding}"] = keyed(dataset)
        if encoding == "raw":
            chosen["packed, raw, opencv4"] = keyed(replace(dataset, warp="opencv4"))
    return chosen


def scenes(persons: Persons, side: int, folder: Path) -> dict[str, Pass]:
    """Return passes over whole images, packed, beside those of samples.py."""
    passes = bottom_up_passes(persons, side)
    chosen = {name: passes[name] for name in ("plain", 'decode="exact"')}
    augment = SceneAugmentation()
    sizes = [(side // 4, side // 4), (side // 2, side // 2)]
    for encoding in ENCODINGS:
        out = folder / f"scenes-{encoding}"
        made = pack(persons, out, (side, side), augment, encoding=encoding)
        print(f"{encoding}: {made.columns['bytes'].mean() / 1e3:.0f} KB an image. ", end="")
        dataset = BottomUp(persons, (side, side), sizes, encode_scene, augment, pack=made)
        for _ in keyed(dataset)(0):
            pass
        chosen[f"packed, {encoding}"] = keyed(dataset)
    print("\n")
    return chosen


def print_table(times: dict[str, float], title: str) -> None:
    print(f"| {title} | ms/sample | samples/s/core | ratio to plain |\n|---|---|---|---|")
    for name, ms in times.items():
        print(f"| {name} | {ms:.2f} | {1e3 / ms:.0f} | {times['plain'] / ms:.2f} |")
    print()


def keyed(dataset: TopDown | BottomUp) -> Pass:
    """Return a pass over all samples in order."""

    def run(epoch: int) -> Iterator[Any]:
        return (dataset[(epoch, index)] for index in range(len(dataset)))

    return run


def main() -> None:
    persons, rounds = begin(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        packs = write_packs(persons, folder / "crops")
        print_differences(persons, packs)
        print_table(measure(crops(persons, packs), rounds), "top-down 256x192")
        (folder / "photos").mkdir()
        photos = enlarged(persons, folder / "photos", 4)
        packs = write_packs(photos, folder / "large")
        print_differences(photos, packs, 2)
        print_table(measure(crops(photos, packs), 2), "images 4 x 4 times as large")
        print_table(measure(scenes(persons, 512, folder), 4), "bottom-up 512x512")


if __name__ == "__main__":
    main()
