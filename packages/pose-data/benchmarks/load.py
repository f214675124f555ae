"""How long an annotation file of the size of COCO's train2017 takes to load, and how much memory.

    python load.py [--file FILE]

Writes a file of 118287 pictures and 262465 persons (57 % labelled, 4 % crowds; 238 MB) to a
temporary folder, unless one is given, and loads it in a new process per way, one after the other:
json.load with pycocotools' index and a loop over persons, as plain code does; load_coco without a
cache, from JSON and from .gz; load_coco writing its cache, and from it.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import orjson

NUM_IMAGES, NUM_PERSONS = 118_287, 262_465

_MEASURE = """
import json, sys, time
import numpy as np
def peak():  # not getrusage, which starts with the memory of the parent
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
file, folder = sys.argv[1:]
{imports}
before = peak()
wall, cpu = time.perf_counter(), time.process_time()
{load}
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, before, peak(), count]))
"""
_PLAIN = """
coco = COCO(file)
rows = []
for image_id in coco.getImgIds():
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image_id)):
        if annotation["iscrowd"] or not annotation["num_keypoints"]:
            continue
        keypoints = np.array(annotation["keypoints"], np.float32).reshape(-1, 3)
        rows.append((np.array(annotation["bbox"], np.float32), keypoints))
count = len(rows)
"""
WAYS = {  # name: (imports, code, kind of file)
    "json.load, pycocotools, a loop": ("from pycocotools.coco import COCO", _PLAIN, ""),
    "load_coco, .json": (
        "from pose_data import load_coco",
        "load_coco(file, folder, cache=False)",
        "",
    ),
    "load_coco, .json.gz": (
        "from pose_data import load_coco",
        "load_coco(file, folder, cache=False)",
        ".gz",
    ),
    "load_coco, .json, cache written": (
        "from pose_data import load_coco",
        "load_coco(file, folder)",
        "",
    ),
    "load_coco, from the cache": ("from pose_data import load_coco", "load_coco(file, folder)", ""),
}


def write_file(path: Path) -> None:
    """Write annotations with the fields, counts and lengths of person_keypoints_train2017.json."""
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(581_929, NUM_IMAGES, replace=False)).tolist()
    heights = rng.integers(360, 640, NUM_IMAGES).tolist()
    images = [
        {
            "license": 3,
            "file_name": f"{number:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/train2017/{number:012d}.jpg",
            "height": height,
            "width": 640,
            "date_captured": "2013-11-14 11:18:45",
            "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg",
            "id": number,
        }
        for number, height in zip(ids, heights, strict=True)
    ]
    category = {"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(17)]}
    with path.open("wb") as file:
        file.write(b'{"info": {}, "licenses": [], "images": ' + orjson.dumps(images))
        file.write(b', "annotations": [')
        for number in range(NUM_PERSONS):
            image = int(rng.integers(64_000))  # the pictures with persons
            file.write(b"," * (number > 0))
            file.write(orjson.dumps(_person(rng, number, ids[image], heights[image])))
        file.write(b'], "categories": ' + orjson.dumps([category]) + b"}")


def _person(rng: np.random.Generator, number: int, image_id: int, height: int) -> dict[str, object]:
    x, y, w, h = (rng.random(4) * (400, 150, 200, 200) + (0, 0, 20, 20)).round(2).tolist()
    labelled, crowd = rng.random() < 0.571, rng.random() < 0.09
    keypoints = np.zeros((17, 3), np.int64)
    if labelled:
        points = rng.random((17, 2)) * (w, h) + (x, y)
        v = rng.choice((0, 1, 2, 2), 17)
        v[0] = 2
        keypoints = np.where(v[:, None] > 0, np.column_stack([points, v]), 0).astype(np.int64)
    segmentation: object
    if crowd and not labelled:
        counts = rng.integers(1, 400, 200).tolist()
        counts.append(640 * height - sum(counts))
        segmentation = {"counts": counts, "size": [height, 640]}
    else:
        outline = rng.random((42 if labelled else 20, 2)) * (w, h) + (x, y)
        segmentation = [outline.round(2).ravel().tolist()]
    return {
        "segmentation": segmentation,
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "area": round(w * h / 2, 4),
        "iscrowd": int(crowd and not labelled),
        "keypoints": keypoints.ravel().tolist(),
        "image_id": image_id,
        "bbox": [x, y, w, h],
        "category_id": 1,
        "id": 183_000 + number,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, help="annotations to load instead")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "train.json"
        if args.file is None:
            write_file(file)
        else:
            shutil.copy(args.file, file)
        packed = file.with_name("train.json.gz")
        packed.write_bytes(gzip.compress(file.read_bytes(), 5))
        print(f"{file.stat().st_size / 1e6:.0f} MB, packed {packed.stat().st_size / 1e6:.0f} MB\n")
        print("| | s | s of CPU | times as fast | peak MB | of which imports | persons |")
        print("|---|---|---|---|---|---|---|")
        first = None  # the plain way's CPU seconds
        for name, (imports, load, kind) in WAYS.items():
            if "load_coco(" in load:
                load = f"persons = {load}; count = len(persons)"
            code = _MEASURE.format(imports=imports, load=load)
            target = str(file) + kind
            result = subprocess.run(
                [sys.executable, "-c", code, target, scratch],
                capture_output=True,
                text=True,
                check=True,
            )
            wall, cpu, before, peak, count = orjson.loads(result.stdout.splitlines()[-1])
            first = first or cpu
            times = f"{wall:.1f} | {cpu:.1f} | {first / cpu:.1f}"
            print(f"| {name} | {times} | {peak:.0f} | {before:.0f} | {count} |", flush=True)
        cache = file.with_name("train.json.cache.npz")
        print(f"\nthe cache has {cache.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
