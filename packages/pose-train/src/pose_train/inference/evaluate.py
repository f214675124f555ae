"""What result rows are worth, on the annotations as they were loaded: nothing is read twice."""

from typing import Any

import numpy as np

from pose_data import Persons, Skeleton
from pose_data.combine import keypoint_indices
from pose_data.shares import Unit
from pose_eval import Report, evaluate, read_ground_truth
from pose_train.config.schema import ConfigError

Rows = list[dict[str, Any]]


def evaluate_rows(rows: Rows, val: Persons) -> Report:
    """Evaluate result rows on the set they are of, with the sigmas of its skeleton."""
    return evaluate(rows, ground_truth(val), sigmas=val.skeleton.sigmas)


def ground_truth(val: Persons) -> dict[str, Any]:
    """Return what was loaded of a set, crowds and unlabelled persons too, as pose_eval takes it."""
    regions = val.regions
    assert regions is not None
    return {
        "name": val.annotation_file.name,
        "images": val.image_ids,
        "file_names": val.file_names,
        "image_sizes": val.image_sizes,
        "categories": [
            {
                "id": category.id,
                "name": category.name,
                "keypoints": list(val.skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in val.skeleton.links],
            }
            for category in val.categories
        ],
        "id": regions.ids,
        "image_id": val.image_ids[regions.image_index],
        "category_id": regions.category_ids,
        "keypoints": np.concatenate([regions.keypoints, regions.visible[..., None]], axis=2),
        "bbox": regions.bbox_xywh,
        "area": regions.area,
        "iscrowd": regions.is_crowd,
        "num_keypoints": regions.num_keypoints,
    }


def check_evaluation(network: Skeleton, val: Persons, unit: Unit) -> None:
    """Raise ConfigError, or what pose_eval raises, where results could not be evaluated on a set.

    Before the first step, that is, not after hours.
    """
    kept_keypoints(network, val.skeleton)
    if unit == "images" and len(val.categories) > 1:
        names = ", ".join(category.name for category in val.categories)
        raise ConfigError(
            f"{val.annotation_file} has people of several categories ({names}), which a bottom-up "
            "network does not tell apart: choose one with data.categories, or give all one id"
        )
    read_ground_truth(ground_truth(val))


def kept_keypoints(network: Skeleton, evaluated: Skeleton) -> list[int] | None:
    """Return which of a network's keypoints are the evaluated ones, by name; None for all as is.

    A network of COCO's keypoints and two more is evaluated on COCO's 17. Raises ConfigError where
    it lacks some.
    """
    if network.keypoints == evaluated.keypoints:
        return None
    places: list[int] = keypoint_indices(network, evaluated)[:, 0].tolist()
    lacking = [name for name, at in zip(evaluated.keypoints, places, strict=True) if at < 0]
    if lacking:
        raise ConfigError(
            f"the network has no keypoint {', '.join(lacking)}; it has "
            f"{', '.join(network.keypoints)}"
        )
    return places
