"""Small synthetic keypoint datasets, laid out like COCO or AI Challenger: `synthesize(out)`.

For demos and tests: people are cartoons, but scale, rotation, crowding, occlusion and truncation
are those of a pose problem, and the labels are exact.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.errors import DatasetError
from pose_data.infer import skeleton_of
from pose_data.opencv import cv2
from pose_data.skeleton import AIC, COCO, Skeleton, coco_category, plain_name
from pose_data.synthetic.cartoons import EASY, Scene, synthesize_image
from pose_data.synthetic.shapes import JOINTS
from pose_data.writing import new_folder

_IN_ORDER = ("nose", "shoulder", "hip", "wrist", "ankle", "elbow", "knee", "eye", "ear")
_CHAINS = (
    ("nose", "*_eye", "*_ear"),
    ("nose", "neck", "*_shoulder", "*_elbow", "*_wrist"),
    ("*_shoulder", "*_hip", "*_knee", "*_ankle"),
)
_AIC_CODE = (3, 2, 1)  # by COCO's 0 not labelled, 1 occluded, 2 visible

Size = tuple[int, int]
Drawn = Iterator[tuple[bytes, list[dict[str, Any]]]]  # JPEGs and their annotations


def custom_skeleton(count: int) -> Skeleton:
    """Return a skeleton of 3 to 18 keypoints, to try out what is not COCO.

    Nose, shoulders, hips, wrists, ankles (9), elbows, knees, eyes, ears (17); even counts begin
    with the neck.
    """
    names = ["nose", *(f"{side}_{j}" for j in _IN_ORDER[1:] for side in ("left", "right"))]
    if not 3 <= count <= len(names) + 1:
        raise DatasetError(f"keypoints must be 3 to {len(names) + 1}, got {count}")
    names = names[:count] if count % 2 else ["neck", *names[: count - 1]]
    number = {name: index for index, name in enumerate(names, 1)}
    links = [
        (number[f"left_{j}"], number[f"right_{j}"]) for j in _IN_ORDER[1:3] if f"left_{j}" in number
    ]
    for side in ("left", "right"):
        for chain in _CHAINS:
            found = [name for name in (j.replace("*", side) for j in chain) if name in number]
            links += [(number[a], number[b]) for a, b in pairwise(found)]
    category = {"name": f"custom{count}", "keypoints": names, "skeleton": links}
    return skeleton_of(category)[0]


def synthesize(
    out: str | Path,
    *,
    num_train: int = 1000,
    num_val: int = 200,
    image_size: Size = (320, 240),
    seed: int = 0,
    skeleton: Skeleton = COCO,
    scene: Scene = EASY,
    layout: str = "coco",
) -> Path:
    """Write synthetic people as `train2017/`, `val2017/` and `annotations/`, and return `out`.

    `image_size` is (w, h). skeleton: any of keypoints in `shapes.JOINTS`. scene: EASY, HARD or
    your own. layout "aic" writes AI Challenger's original form, `keypoint_train_images/` and
    `keypoint_train_annotations.json`, and `validation` alike, with AIC's skeleton.

    The same arguments give the same bytes, and an image depends only on `seed`, `scene`, its split
    and its place in it, so asking for more keeps the ones there were. Raises DatasetError where
    `out` is not empty or cannot be written, or an argument is out of range.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DatasetError(f"{out} exists and is not an empty directory; nothing was written")
    if min(num_train, num_val) < 0:
        raise DatasetError(f"num_train and num_val must be >= 0, got {num_train} and {num_val}")
    if min(image_size) < 48:
        raise DatasetError(f"image_size must be at least (48, 48), got {tuple(image_size)}")
    if seed < 0:
        raise DatasetError(f"seed must be >= 0, got {seed}")
    if layout not in ("coco", "aic"):
        raise DatasetError(f"layout must be coco or aic, got {layout!r}")
    if unknown := [name for name in skeleton.keypoints if plain_name(name) not in JOINTS]:
        raise DatasetError(
            f"synthetic people have no {', '.join(unknown)}; they have {', '.join(sorted(JOINTS))}"
        )
    names = AIC.keypoints if layout == "aic" else tuple(map(plain_name, skeleton.keypoints))
    seeds_train, seeds_val = np.random.SeedSequence(seed).spawn(2)
    train = _drawn(seeds_train.spawn(num_train), image_size, names, scene)
    val = _drawn(seeds_val.spawn(num_val), image_size, names, scene)
    with new_folder(out) as folder:
        if layout == "aic":
            _write_aic(folder, "train", train)
            _write_aic(folder, "validation", val)
        else:
            _write_coco(folder, "train2017", train, image_size, skeleton, first_id=1)
            _write_coco(folder, "val2017", val, image_size, skeleton, first_id=num_train + 1)
    return out


def _drawn(
    seeds: Sequence[np.random.SeedSequence], size: Size, names: tuple[str, ...], scene: Scene
) -> Drawn:
    for seed in seeds:
        image, people = synthesize_image(np.random.default_rng(seed), size, names, scene)
        yield cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes(), people


def _write_coco(
    folder: Path, split: str, drawn: Drawn, size: Size, skeleton: Skeleton, first_id: int
) -> None:
    """Write the images of one split and its annotation file."""
    (folder / split).mkdir()
    (folder / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (jpeg, people) in enumerate(drawn, start=first_id):
        name = f"{image_id:012d}.jpg"
        (folder / split / name).write_bytes(jpeg)
        images.append({"id": image_id, "file_name": name, "width": size[0], "height": size[1]})
        for person in people:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **person})
    content = {
        "info": {"description": "synthetic people of pose-data", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [coco_category(skeleton)],
    }
    path = folder / "annotations" / f"person_keypoints_{split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_aic(folder: Path, split: str, drawn: Drawn) -> None:
    """Write one split as AI Challenger did: images named by a hash, no sizes, no crowds."""
    image_dir = folder / f"keypoint_{split}_images"
    image_dir.mkdir()
    content = []
    for jpeg, people in drawn:
        name = hashlib.sha1(jpeg, usedforsecurity=False).hexdigest()
        (image_dir / f"{name}.jpg").write_bytes(jpeg)
        boxes, points = {}, {}
        for number, person in enumerate((p for p in people if p["num_keypoints"]), start=1):
            x, y, w, h = map(int, person["bbox"])
            boxes[f"human{number}"] = [x, y, x + w, y + h]
            points[f"human{number}"] = [
                round(value) if k % 3 < 2 else _AIC_CODE[int(value)]
                for k, value in enumerate(person["keypoints"])
            ]
        record = {"image_id": name, "human_annotations": boxes, "keypoint_annotations": points}
        content.append(record)
    path = folder / f"keypoint_{split}_annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
