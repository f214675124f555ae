"""Read COCO keypoint annotations into arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.skeleton import COCO, Skeleton


@dataclass(frozen=True)
class Persons:
    """The N annotated persons of I pictures, one row each, in file order.

    image_ids (I,), file_names (I), image_sizes (I, 2) as (w, h): every picture of the file.
    ids (N,) annotation ids, image_index (N,) rows of the picture arrays, bbox_xyxy (N, 4) clipped
    to the picture, area (N,), keypoints (N, K, 2), visible (N, K) with COCO's 0 (not labelled),
    1 (occluded) and 2 (visible).
    """

    annotation_file: Path
    image_dir: Path
    skeleton: Skeleton
    image_ids: NDArray[np.int64]
    file_names: tuple[str, ...]
    image_sizes: NDArray[np.int64]
    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    bbox_xyxy: NDArray[np.float32]
    area: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    visible: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        """Return the picture of person `index`."""
        return self.image_dir / self.file_names[self.image_index[index]]


class _Row(NamedTuple):
    id: int
    image_row: int
    bbox_xyxy: tuple[float, float, float, float]
    area: float
    keypoints: NDArray[np.float64]  # (K, 3)


def load_coco(
    annotation_file: str | Path, image_dir: str | Path, *, skeleton: Skeleton = COCO
) -> Persons:
    """Load the usable persons of a COCO keypoint file, by the rules of the published recipes.

    Dropped: crowds, persons without labelled keypoints, and boxes that are empty after clipping to
    the picture. A missing `area` becomes 0.53 * w * h of the clipped box (MMPose's rule).

    Raises DatasetError where a file is missing, is not JSON, or a record cannot be used.
    """
    path, folder = Path(annotation_file), Path(image_dir)
    if not folder.is_dir():
        raise DatasetError(f"image folder {folder} does not exist")
    content = _read_json(path)
    images = content["images"]
    for number, image in enumerate(images):
        _require(image, ("id", "file_name", "width", "height"), f"{path} image {number}")
    row_of_image = {image["id"]: row for row, image in enumerate(images)}

    rows: list[_Row] = []
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path} annotation {number}"
        _require(annotation, ("id", "image_id", "bbox", "keypoints"), where)
        if annotation["image_id"] not in row_of_image:
            raise DatasetError(f"{where}: image_id {annotation['image_id']} is not in `images`")
        image_row = row_of_image[annotation["image_id"]]
        row = _usable_row(annotation, image_row, images[image_row], skeleton, where)
        if row is not None:
            rows.append(row)

    keypoints = np.array([row.keypoints for row in rows], np.float32)
    keypoints = keypoints.reshape(-1, skeleton.num_keypoints, 3)  # (N, K, 3)
    return Persons(
        annotation_file=path,
        image_dir=folder,
        skeleton=skeleton,
        image_ids=np.array([image["id"] for image in images], np.int64),
        file_names=tuple(image["file_name"] for image in images),
        image_sizes=np.array([(i["width"], i["height"]) for i in images], np.int64).reshape(-1, 2),
        ids=np.array([row.id for row in rows], np.int64),
        image_index=np.array([row.image_row for row in rows], np.int64),
        bbox_xyxy=np.array([row.bbox_xyxy for row in rows], np.float32).reshape(-1, 4),
        area=np.array([row.area for row in rows], np.float32),
        keypoints=np.ascontiguousarray(keypoints[..., :2]),
        visible=np.ascontiguousarray(keypoints[..., 2]),
    )


def _usable_row(
    annotation: dict[str, Any],
    image_row: int,
    image: dict[str, Any],
    skeleton: Skeleton,
    where: str,
) -> _Row | None:
    """Return one person, or None where the published recipes leave it out."""
    keypoints = _numbers(annotation["keypoints"], 3 * skeleton.num_keypoints, "keypoints", where)
    keypoints = keypoints.reshape(-1, 3)  # (K, 3)
    labelled = int((keypoints[:, 2] > 0).sum())
    if annotation.get("iscrowd", 0) or annotation.get("num_keypoints", labelled) == 0:
        return None
    x, y, w, h = _numbers(annotation["bbox"], 4, "bbox", where)
    x1, x2 = np.clip((x, x + w), 0, image["width"] - 1)
    y1, y2 = np.clip((y, y + h), 0, image["height"] - 1)
    if x2 <= x1 or y2 <= y1 or keypoints.max() <= 0:
        return None
    area = annotation.get("area") or max(1.0, 0.53 * (x2 - x1) * (y2 - y1))
    return _Row(annotation["id"], image_row, (x1, y1, x2, y2), area, keypoints)


def _numbers(values: object, count: int, key: str, where: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise DatasetError(f"{where}: {key} must be {count} numbers, got {values!r:.60}") from None
    if array.shape != (count,):
        raise DatasetError(f"{where}: {key} must be {count} numbers, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise DatasetError(f"{where}: {key} holds NaN or infinity")
    return array


def _require(record: object, keys: tuple[str, ...], where: str) -> None:
    if not isinstance(record, dict):
        raise DatasetError(f"{where} must be an object, got {type(record).__name__}")
    missing = [key for key in keys if key not in record]
    if missing:
        raise DatasetError(f"{where} has no {' and no '.join(missing)}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read annotations {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not a JSON file: {error}") from error
    _require(content, ("images", "annotations"), str(path))
    for key in ("images", "annotations"):
        if not isinstance(content[key], list):
            raise DatasetError(f"{path}: `{key}` must be a list")
    result: dict[str, Any] = content
    return result
