"""AI Challenger's keypoints: the original release's JSON, and its COCO-style conversion.

The original is a list of pictures: `image_id` (the file name without .jpg), `human_annotations`
(a box [x1, y1, x2, y2] per person) and `keypoint_annotations` (14 times x, y, v per person), where
v is 1 for visible, 2 for occluded and 3 for absent: not COCO's codes.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.annotations import Table, fill_sizes
from pose_data.formats.cache import cached
from pose_data.formats.coco import announced, check_folder, choose, load_coco, usable_persons
from pose_data.formats.json import collector_paused, opens_list, read_pieces
from pose_data.formats.records import Columns, Rows, wrong_numbers
from pose_data.persons import Category, Persons
from pose_data.skeleton import AIC
from pose_data.writing import write_json

_COCO_CODE = np.array([0, 2, 1, 0], np.float32)  # by AIC's 1 visible, 2 occluded, 3 absent


def load_aic(annotation_file: str | Path, image_dir: str | Path, *, cache: bool = True) -> Persons:
    """Load the usable persons of an AIC file, original or converted, as `load_coco` does.

    visible has COCO's codes. The original names no sizes: they are read from the pictures' headers.
    Raises DatasetError naming file and record.
    """
    path, folder = Path(annotation_file), Path(image_dir)
    check_folder(folder)
    if not opens_list(path):
        return load_coco(path, folder, skeleton=AIC, cache=cache)

    findings = Findings(is_strict=True)
    read = partial(cached, read=read_original) if cache else read_original
    found = choose(read(path, folder, findings), path, findings, skeleton=AIC)
    return announced(usable_persons(found, path, folder, findings))


def convert_aic(annotation_file: str | Path, image_dir: str | Path, out: str | Path) -> int:
    """Write an original AIC file as COCO keypoint annotations; returns the number of persons.

    Pictures and persons are numbered from 1 in file order. AIC measures no areas: `area` is 0.53 *
    w * h, MMPose's stand-in, so that COCO's evaluation can run.
    """
    path, folder = Path(annotation_file), Path(image_dir)
    check_folder(folder)
    if not opens_list(path):
        raise DatasetError(f"{path} is an object, not a list of pictures: converted already?")
    findings = Findings(is_strict=True)
    found = choose(read_original(path, folder, findings), path, findings, skeleton=AIC)
    regions = found.regions
    sizes = found.image_sizes.tolist()
    images = [
        {"id": i, "file_name": str(name), "width": width, "height": height}
        for i, (name, (width, height)) in enumerate(zip(found.file_names, sizes, strict=True), 1)
    ]
    points = np.concatenate([regions.keypoints, regions.visible[..., None]], axis=2)
    annotations = [
        {
            "id": r + 1,
            "image_id": int(regions.image_index[r]) + 1,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": _short(box),
            "area": round(max(1.0, 0.53 * float(box[2] * box[3])), 2),
            "keypoints": _short(points[r].ravel()),
            "num_keypoints": int(regions.num_keypoints[r]),
        }
        for r, box in enumerate(regions.bbox_xywh)
    ]
    links = [(first + 1, second + 1) for first, second in AIC.links]
    category = {"id": 1, "name": "person", "keypoints": AIC.keypoints, "skeleton": links}
    category["supercategory"] = "person"
    content = {"images": images, "annotations": annotations, "categories": [category]}
    write_json(Path(out), content)
    return len(regions)


@collector_paused()
def read_original(path: Path, image_dir: Path | None, findings: Findings) -> Table:
    """Read an original AIC file; ids are counted from 1 in file order. Raises DatasetError."""
    names: list[str] = []
    counts: list[int] = []  # of the persons of each image
    boxes: list[list[float]] = []
    points: list[list[float]] = []
    for piece in read_pieces(path):
        records = Rows(piece.value, f"{path} image", piece.first, findings).records
        for number, record in enumerate(records, piece.first):
            _check_people(record, f"{path} image {number}")
            names.append(f"{record['image_id']}.jpg")
            own = record["human_annotations"]
            counts.append(len(own))
            boxes += own.values()
            points += (record["keypoint_annotations"][person] for person in own)
    count = len(boxes)
    corners = np.array(boxes, np.float64).reshape(-1, 4)  # (R, 4) x1 y1 x2 y2
    table = np.array(points, np.float32).reshape(count, AIC.num_keypoints, 3)
    table[..., 2] = _COCO_CODE[table[..., 2].astype(np.int64)]
    table[table[..., 2] == 0] = 0  # absent ones are at 0, 0
    images: Columns = {
        "id": np.arange(1, len(names) + 1),
        "name": np.array(names, np.str_),
        "size": np.zeros((len(names), 2), np.int64),
        "number": np.arange(len(names)),
    }
    zeros, none = np.zeros(count, np.int64), np.zeros(count, bool)
    side = corners[:, 2:] - corners[:, :2]
    rows: Columns = {
        "number": np.arange(count),
        "is_used": ~none,
        "id": np.arange(1, count + 1),
        "image_index": np.repeat(np.arange(len(names)), np.array(counts, np.int64)),
        "category_id": zeros + 1,
        "is_crowd": none,
        "num_keypoints": (table[..., 2] > 0).sum(axis=1),
        "bbox_xywh": np.concatenate([corners[:, :2], side], axis=1),
        "area": 0.53 * side.prod(axis=1),
        "points": table.ravel(),
        "point_count": zeros + 3 * AIC.num_keypoints,
        "lacks_area": ~none,
        "polygon_count": zeros,
        "vertex_count": np.zeros(0, np.int64),
        "vertices": np.zeros((0, 2)),
        "rle_count": zeros,
        "rle_bytes": np.zeros(0, np.uint8),
        "rle_size": np.zeros((count, 2), np.int64),
    }
    fill_sizes(images, path, image_dir, findings)
    category = Category(1, "person", AIC.keypoints, None, AIC.num_keypoints, is_used=True)
    return Table(images, rows, (category,), has_read_sizes=True)


def _check_people(record: dict[str, Any], where: str) -> None:
    """Raise DatasetError where a person of a picture has not a box and keypoints."""
    if not isinstance(record.get("image_id"), str):
        raise DatasetError(f"{where} has no image_id (text): not AI Challenger's original form")
    where = f"{where} ({record['image_id']})"
    boxes, points = record.get("human_annotations"), record.get("keypoint_annotations")
    if not isinstance(boxes, dict) or not isinstance(points, dict):
        raise DatasetError(f"{where} needs the objects human_annotations and keypoint_annotations")
    if odd := boxes.keys() ^ points.keys():
        raise DatasetError(f"{where}: {min(odd)} has not both a box and keypoints")
    widths = (("box", boxes, 4), ("keypoints", points, 3 * AIC.num_keypoints))
    for person in boxes:
        for what, values, width in widths:
            problem = wrong_numbers(values[person] or [], width)
            if problem or not values[person]:
                problem = problem or f"must be {width} numbers, got none"
                raise DatasetError(f"{where}: {what} of {person} {problem}")
        if codes := set(points[person][2::3]) - {1, 2, 3}:
            text = f"{where}: visibility of {person} must be 1 (visible), 2 (occluded) or 3 "
            raise DatasetError(f"{text}(absent), got {min(codes)}")


def _short(values: NDArray[np.floating]) -> list[float]:
    """Return numbers, whole ones as integers."""
    return [int(v) if v == int(v) else round(float(v), 3) for v in values.tolist()]
