"""AI Challenger's keypoints: the original release's JSON, and its COCO-style conversion.

The original is a list of images: `image_id` (the file name without .jpg), `human_annotations`
(a box [x1, y1, x2, y2] per person) and `keypoint_annotations` (14 times x, y, v per person), where
v is 1 for visible, 2 for occluded and 3 for absent: not COCO's codes.
"""

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from pose_data.errors import DatasetError
from pose_data.findings import Findings
from pose_data.formats.annotations import read_table
from pose_data.formats.cache import read_cached
from pose_data.formats.coco import checked_folder, choose, load_coco, log_notices, usable_persons
from pose_data.formats.json import Piece, opens_list, read_pieces
from pose_data.formats.records import LARGEST, wrong_numbers
from pose_data.images.headers import read_header, upright_size
from pose_data.images.missing import inside
from pose_data.persons import Persons
from pose_data.skeleton import AIC, coco_category
from pose_data.writing import write_json

_COCO_CODE = {1: 2, 2: 1, 3: 0}  # by AIC's 1 visible, 2 occluded, 3 absent


def load_aic(
    annotation_file: str | Path, image_dir: str | Path | None = None, *, cache: bool = True
) -> Persons:
    """Load the usable persons of an AIC file, original or converted, as `load_coco` does.

    visible has COCO's codes. The original has no sizes: they are read from the images' headers, so
    that it needs image_dir. Raises DatasetError naming file and record.
    """
    path, folder = Path(annotation_file), checked_folder(image_dir)
    if not opens_list(path):
        return load_coco(path, folder, skeleton=AIC, cache=cache)
    findings = Findings(is_strict=True)
    table = (read_cached if cache else read_table)(path, folder, findings, coco_pieces)
    for slug in ("missing-field", "no-segmentation"):  # areas, sizes and masks: the form has none
        findings.by_slug.pop(slug, None)
    found = choose(table, path, findings, skeleton=AIC)
    return log_notices(usable_persons(found, path, folder, findings))


def convert_aic(annotation_file: str | Path, image_dir: str | Path, out: str | Path) -> int:
    """Write an original AIC file as COCO keypoint annotations; returns the number of persons.

    Images and persons are numbered from 1 in file order. AIC measures no areas: `area` is 0.53 *
    w * h, MMPose's stand-in, so that COCO's evaluation can run. Raises DatasetError.
    """
    path, folder = Path(annotation_file), Path(image_dir)
    checked_folder(folder)
    if not opens_list(path):
        raise DatasetError(f"{path} is an object, not a list of images: converted already?")
    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    for key, records, _ in coco_pieces(path):
        content[key] += records
    for image in content["images"]:
        header = read_header(inside(folder, image["file_name"]))
        image["width"], image["height"] = upright_size(header)
    for row in content["annotations"]:
        _, _, w, h = row["bbox"]
        row["area"] = round(max(1.0, 0.53 * w * h), 2)
    write_json(Path(out), content)
    return len(content["annotations"])


def coco_pieces(path: Path) -> Iterator[Piece]:
    """Yield an original AIC file as the pieces of a COCO file; ids count from 1 in file order.

    Raises DatasetError naming the record.
    """
    count = 0  # of persons
    for _, records, first in read_pieces(path):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, record in enumerate(records, first):
            _check_people(record, f"{path} image {number}")
            images.append({"id": number + 1, "file_name": f"{record['image_id']}.jpg"})
            for person, (left, top, right, bottom) in record["human_annotations"].items():
                points = _coco_points(record["keypoint_annotations"][person])
                annotations.append(
                    {
                        "id": count + len(annotations) + 1,
                        "image_id": number + 1,
                        "category_id": 1,
                        "iscrowd": 0,
                        "bbox": [left, top, right - left, bottom - top],
                        "keypoints": points,
                        "num_keypoints": sum(v > 0 for v in points[2::3]),
                    }
                )
        yield Piece("images", images, first)
        yield Piece("annotations", annotations, count)
        count += len(annotations)
    yield Piece("categories", [coco_category(AIC)], 0)


def _coco_points(values: list[float]) -> list[float]:
    """Return x, y, v of each keypoint with COCO's codes; absent ones are at 0, 0."""
    points: list[float] = []
    for x, y, code in zip(values[::3], values[1::3], values[2::3], strict=True):
        visible = _COCO_CODE[int(code)]
        points += (x, y, visible) if visible else (0, 0, 0)
    return points


def _check_people(record: Any, where: str) -> None:
    """Raise DatasetError where a person of an image has not a box and keypoints."""
    if not isinstance(record, dict):
        raise DatasetError(f"{where}: must be an object, got {type(record).__name__}")
    if not isinstance(record.get("image_id"), str):
        raise DatasetError(f"{where} has no image_id (text): not AI Challenger's original form")
    where = f"{where} ({record['image_id']})"
    boxes, points = record.get("human_annotations"), record.get("keypoint_annotations")
    if not isinstance(boxes, dict) or not isinstance(points, dict):
        raise DatasetError(f"{where} needs the objects human_annotations and keypoint_annotations")
    if odd := boxes.keys() ^ points.keys():
        raise DatasetError(f"{where}: {min(odd)} has not both a box and keypoints")
    for what, values, width in (("box", boxes, 4), ("keypoints", points, 3 * AIC.num_keypoints)):
        for person, numbers in values.items():
            is_list = isinstance(numbers, list) and len(numbers) == width
            is_plain = is_list and set(map(type, numbers)) <= {int, float}
            if is_plain and max(map(abs, numbers)) <= LARGEST and isfinite(sum(numbers)):
                continue  # nearly always, and ten times as fast
            problem = wrong_numbers(numbers or [], width)
            if problem or not numbers:
                problem = problem or f"must be {width} numbers, got none"
                raise DatasetError(f"{where}: {what} of {person} {problem}")
    for person, numbers in points.items():
        if codes := set(numbers[2::3]) - set(_COCO_CODE):
            text = f"{where}: visibility of {person} must be 1 (visible), 2 (occluded) or 3 "
            raise DatasetError(f"{text}(absent), got {min(codes)}")
