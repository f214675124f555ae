"""Write a made-up data set of val2017's size: FOLDER/gt.json and FOLDER/results.json.

    python made_up.py FOLDER [--images 5000] [--rows 102272]

Half of the images have persons, of whom 57 % have labelled keypoints. As with the usual person
detections, all images have rows, about 20 each: persons with errors of all sizes, and background.
Numbers have all their digits, as most programs write them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

NAMES = [f"keypoint{k}" for k in range(17)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=102272)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    annotations = []
    # As in val2017: 54 % of the images have persons, few of them many.
    crowds = rng.geometric(0.245, round(0.54 * args.images))
    for number, image in enumerate(np.repeat(rng.permutation(args.images)[: len(crowds)], crowds)):
        w, h = rng.uniform(15, 300, 2)
        x, y = rng.uniform(0, 640 - w), rng.uniform(0, 480 - min(h, 400))
        xy = rng.uniform(0, 1, (17, 2)) * (w, h) + (x, y)
        v = rng.choice([0, 1, 2], 17, p=[0.3, 0.1, 0.6]) * (rng.random() < 0.57)
        keypoints = np.column_stack([xy.round(), v]) * (v > 0)[:, None]
        annotations.append(
            {
                "id": number + 1,
                "image_id": int(image) * 7 + 139,
                "category_id": 1,
                "iscrowd": int(rng.random() < 0.02),
                "area": float(w * h * rng.uniform(0.3, 0.8)),
                "bbox": [round(float(value), 2) for value in (x, y, w, h)],
                "num_keypoints": int((v > 0).sum()),
                "keypoints": keypoints.astype(int).ravel().tolist(),
                "segmentation": [rng.uniform(0, 640, 60).round(2).tolist()],
            }
        )
    persons: dict[int, list[dict[str, Any]]] = {}
    for annotation in annotations:
        persons.setdefault(annotation["image_id"], []).append(annotation)
    rows = []
    for _ in range(args.rows):
        image = int(rng.integers(args.images)) * 7 + 139
        there = persons.get(image, []) if rng.random() < 0.7 else []
        person = (there or annotations)[int(rng.integers(len(there or annotations)))]
        x, y, w, h = person["bbox"]
        xy = np.reshape(person["keypoints"], (17, 3))[:, :2].astype(float)
        xy = np.where(xy > 0, xy, rng.uniform(0, 1, (17, 2)) * (w, h) + (x, y))
        noise = rng.choice([0.01, 0.03, 0.1, 0.5], p=[0.1, 0.1, 0.2, 0.6])
        xy += rng.normal(0, 1, (17, 2)) * noise * max(w, h)
        scores = rng.uniform(0, 1, 17) ** (1 + 20 * noise) * (1 if there else 0.3)
        rows.append(
            {
                "image_id": image,
                "category_id": 1,
                "keypoints": np.column_stack([xy, scores]).ravel().tolist(),
                "score": float(scores.mean()),
                "bbox": [x, y, w, h],
            }
        )
    ids = [n * 7 + 139 for n in range(args.images)]
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "width": 640, "height": 480} for n in ids]
    category = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    gt = {"images": images, "categories": [category], "annotations": annotations}
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "gt.json").write_text(json.dumps(gt))
    (args.folder / "results.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
