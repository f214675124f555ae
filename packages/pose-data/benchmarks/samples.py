"""Time training samples: top-down and bottom-up, against plain versions of the same run.

    python samples.py --data DIR        # a folder like coco-mini; default: $POSE_DATA_DIR/coco-mini

Prints Markdown. Needs pose-codecs for the targets. Times are CPU time of one process, the least of
several passes over the persons (or pictures) of train2017, files warm, picture caches empty at the
start of each pass; the passes of all versions alternate.
"""

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from plain import PlainBottomUp, PlainTopDown

from pose_codecs import MSRAHeatmap, encode_people, keypoint_indices
from pose_data import (
    Augmentation,
    BottomUp,
    GroupedBatches,
    Persons,
    SceneAugmentation,
    TopDown,
    load_coco,
    start_worker,
)

INPUT, HEATMAP = (192, 256), (48, 64)
Pass = Callable[[int], Iterator[Any]]  # epoch -> the samples of a pass


def encode_scene(keypoints: Any, visible: Any, size: tuple[int, int]) -> Any:
    return encode_people(keypoints, visible, size), keypoint_indices(keypoints, visible, size)


def top_down_passes(persons: Persons) -> dict[str, Pass]:
    encode = MSRAHeatmap(INPUT, HEATMAP).encode
    plain = PlainTopDown(persons, INPUT, encode)
    exact = TopDown(persons, INPUT, encode, Augmentation())

    def plain_pass(epoch: int) -> Iterator[Any]:
        rng = np.random.default_rng(epoch)
        return (plain.sample(index, rng) for index in rng.permutation(len(persons)).tolist())

    def grouped(dataset: TopDown, per_batch: int = 1) -> Pass:
        def run(epoch: int) -> Iterator[Any]:
            empty = replace(dataset)  # with an empty cache
            batches = GroupedBatches(persons.image_index, 64, epoch=epoch, per_batch=per_batch)
            return (empty[key] for batch in batches for key in batch)

        return run

    small = replace(exact, cache_mb=100)
    for index in range(len(persons)):
        small[index]
    return {
        "plain": plain_pass,
        'decode="exact"': grouped(exact),
        'decode="fast"': grouped(replace(exact, decode="fast")),
        'exact, warp="opencv4"': grouped(replace(exact, warp="opencv4")),
        "exact, per_batch=16": grouped(exact, 16),
        "exact, all pictures in the cache": lambda epoch: (
            small[(epoch, index)] for index in range(len(persons))
        ),
    }


def bottom_up_passes(persons: Persons, side: int) -> dict[str, Pass]:
    sizes = [(side // 4, side // 4), (side // 2, side // 2)]
    dataset = BottomUp(persons, (side, side), sizes, encode_scene, SceneAugmentation())
    plain = PlainBottomUp(persons, side)
    same_targets = PlainBottomUp(persons, side, encode_scene)

    def keyed(chosen: BottomUp) -> Pass:
        return lambda epoch: (chosen[(epoch, index)] for index in range(len(chosen)))

    def drawn(chosen: PlainBottomUp) -> Pass:
        return lambda epoch: (
            chosen.sample(int(image), np.random.default_rng((epoch, int(image))))
            for image in dataset.images
        )

    return {
        "plain": drawn(plain),
        "plain, targets of pose-codecs": drawn(same_targets),
        'decode="exact"': keyed(dataset),
        'decode="fast"': keyed(replace(dataset, decode="fast")),
        'exact, warp="opencv4"': keyed(replace(dataset, warp="opencv4")),
    }


def measure(passes: dict[str, Pass], rounds: int) -> dict[str, float]:
    """Return the least CPU milliseconds per sample of each version."""
    best = dict.fromkeys(passes, np.inf)
    for epoch in range(rounds):
        for name, run in passes.items():
            started, count = time.process_time(), 0
            for _ in run(epoch):
                count += 1
            best[name] = min(best[name], (time.process_time() - started) / count * 1e3)
    return best


def decoding(paths: list[Path], rounds: int) -> dict[str, float]:
    """Return the least CPU milliseconds per picture of decoding alone, in full and reduced."""
    flags = {"full": cv2.IMREAD_COLOR, "1/2": cv2.IMREAD_REDUCED_COLOR_2}
    flags |= {"1/4": cv2.IMREAD_REDUCED_COLOR_4, "1/8": cv2.IMREAD_REDUCED_COLOR_8}
    return measure(
        {
            name: lambda _, flag=flag: (cv2.imread(str(path), flag) for path in paths)
            for name, flag in flags.items()
        },
        rounds,
    )


def enlarged(persons: Persons, folder: Path, zoom: int) -> Persons:
    """Write the pictures with persons `zoom` times as large, as if from a camera."""
    names = [str(name) for name in persons.file_names]
    for row in set(persons.image_index.tolist()):
        image = cv2.imread(str(persons.image_dir / names[row]))
        large = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / names[row]), large, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return replace(
        persons,
        image_folder=folder,
        image_sizes=persons.image_sizes * zoom,
        bbox_xyxy=persons.bbox_xyxy * zoom,
        keypoints=persons.keypoints * zoom,
    )


def print_table(times: dict[str, float], floor: float, unit: str) -> None:
    print(f"| {unit} | ms/sample | samples/s/core | ratio to plain | decoding's share |")
    print("|---|---|---|---|---|")
    for name, ms in times.items():
        share = "" if name != 'decode="exact"' else f"{floor / ms:.0%}"
        print(f"| {name} | {ms:.2f} | {1e3 / ms:.0f} | {times['plain'] / ms:.2f} | {share} |")
    print()


def work(make: Callable[[], Iterator[Any]], start: Any, results: Any) -> None:
    """Run one worker: report its CPU seconds and the megabytes of memory that are its own."""
    start_worker()
    start.wait()
    started = time.process_time()
    for _ in make():
        pass
    results.put((time.process_time() - started, own_megabytes()))


def own_megabytes() -> float:
    """Return the memory that is this process's alone (what it shares with its parent left out)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def workers(persons: Persons, counts: tuple[int, ...], epochs: int) -> None:
    """Let 1, 2 ... forked processes make all batches of some epochs, caches empty in each."""
    encode = MSRAHeatmap(INPUT, HEATMAP).encode
    dataset = TopDown(persons, INPUT, encode, Augmentation())
    context = multiprocessing.get_context("fork")
    print("| workers | CPU ms/sample | samples/s together | MB of its own per worker |")
    print("|---|---|---|---|")
    for count in counts:
        start, results = context.Event(), context.Queue()

        def make(lane: int, count: int = count) -> Callable[[], Iterator[Any]]:
            def run() -> Iterator[Any]:
                for epoch in range(epochs):
                    own = replace(dataset)  # with an empty cache
                    batches = list(
                        GroupedBatches(persons.image_index, 16, epoch=epoch, lanes=count)
                    )
                    for batch in batches[lane::count]:
                        yield [own[key] for key in batch]

            return run

        processes = [
            context.Process(target=work, args=(make(lane), start, results)) for lane in range(count)
        ]
        for process in processes:
            process.start()
        time.sleep(0.5)
        started = time.perf_counter()
        start.set()
        found = [results.get() for _ in processes]
        seconds = time.perf_counter() - started
        for process in processes:
            process.join()
        cpu, memory = np.sum(found, axis=0)
        made = epochs * len(persons)
        print(f"| {count} | {cpu / made * 1e3:.2f} | {made / seconds:.0f} | {memory / count:.0f} |")
    print()


def begin(doc: str) -> tuple[Persons, int]:
    """Return the persons of the command line's folder and its rounds; print what there is."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    default = Path(os.environ.get("POSE_DATA_DIR", ".")) / "coco-mini"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    start_worker()
    annotations = args.data / "annotations/person_keypoints_train2017.json"
    persons = load_coco(annotations, args.data / "train2017")
    images = len(set(persons.image_index.tolist()))
    print(f"Python {platform.python_version()}, numpy {np.__version__}, OpenCV {cv2.__version__}.")
    print(f"{len(persons)} persons in {images} images.\n")
    return persons, args.rounds


def main() -> None:
    persons, rounds = begin(__doc__)
    pictures = sorted(set(persons.image_index.tolist()))
    paths = [persons.image_dir / str(persons.file_names[row]) for row in pictures]
    for path in paths:
        path.read_bytes()

    decode = decoding(paths, rounds)
    print("Decoding a picture: " + ", ".join(f"{k} {v:.2f} ms" for k, v in decode.items()) + ".\n")
    floor = decode["full"] * len(pictures) / len(persons)
    times = measure(top_down_passes(persons), rounds)
    print_table(times, floor, f"top-down {INPUT[1]}x{INPUT[0]}")
    with tempfile.TemporaryDirectory() as folder:
        photos = enlarged(persons, Path(folder), 4)
        large = top_down_passes(photos)
        names = ("plain", 'decode="exact"', "exact, per_batch=16", 'decode="fast"')
        chosen = {name: large[name] for name in names}
        paths = [Path(folder) / path.name for path in paths]
        floor = decoding(paths, 1)["full"] * len(pictures) / len(persons)
        print_table(measure(chosen, 2), floor, "top-down, pictures 4 x 4 times as large")
    paths = [persons.image_dir / str(name) for name in persons.file_names]
    floor = decoding(paths, 3)["full"]
    print_table(measure(bottom_up_passes(persons, 512), 4), floor, "bottom-up 512x512")
    workers(persons, (1, 2), epochs=30)


if __name__ == "__main__":
    main()
