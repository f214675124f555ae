"""Read results and ground truth; every mistake is a ResultsError that names file, row and key."""

import json
import math
from pathlib import Path
from typing import Any

Source = str | Path | list[Any] | dict[str, Any]
SHOWN = 5  # how many bad rows an error lists


class ResultsError(ValueError):
    """Results or ground truth that cannot be evaluated."""


def read_json(source: Source) -> tuple[Any, str]:
    """Return the parsed content of a path, or the object itself, and a name for messages."""
    if not isinstance(source, str | Path):
        return source, "results" if isinstance(source, list) else "ground truth"
    path = Path(source)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")), path.name
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # also UnicodeDecodeError
        raise ResultsError(f"{path} is not a JSON file: {error}") from error


def check_ground_truth(content: Any, name: str) -> int:
    """Check a COCO annotation object and return its number of keypoints."""
    if not isinstance(content, dict):
        raise ResultsError(f"{name} must be a COCO object with images, annotations, categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise ResultsError(f"{name} has no list `{key}`; is it a COCO annotation file?")
    image_ids = {image.get("id") for image in content["images"]}
    num_keypoints = _keypoints_of(content, name)
    problems = []
    for row, annotation in enumerate(content["annotations"]):
        where = f"{name} annotation {row} (id {annotation.get('id')})"
        missing = [
            k for k in ("id", "image_id", "area", "bbox", "keypoints") if k not in annotation
        ]
        if missing:
            problems.append(f"{where} has no {', '.join(missing)}")
        elif annotation["image_id"] not in image_ids:
            problems.append(f"{where}: image_id {annotation['image_id']} is not in `images`")
        elif len(annotation["keypoints"]) != 3 * num_keypoints:
            problems.append(_wrong_length(where, annotation["keypoints"], num_keypoints))
    ids = [annotation.get("id") for annotation in content["annotations"]]
    if not problems and len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        problems.append(f"{name}: annotation id {twice} occurs more than once")
    _raise_if(problems)
    return num_keypoints


def check_results(rows: Any, name: str, image_ids: set[Any], num_keypoints: int) -> None:
    """Check result rows: image_id, category_id, keypoints (3 K numbers), score."""
    if not isinstance(rows, list):
        raise ResultsError(f"{name} must be a list of results, got {type(rows).__name__}")
    problems = []
    for number, row in enumerate(rows):
        problem = _row_problem(row, image_ids, num_keypoints)
        if problem:
            image = (
                f" (image {row['image_id']})" if isinstance(row, dict) and "image_id" in row else ""
            )
            problems.append(f"{name} row {number}{image}: {problem}")
    _raise_if(problems)
    if rows and len({"bbox" in row for row in rows}) > 1:
        # pycocotools looks at row 0 only and takes every area from `bbox` or none.
        raise ResultsError(f"{name}: some rows have a bbox and some have none")


def _row_problem(row: Any, image_ids: set[Any], num_keypoints: int) -> str | None:
    if not isinstance(row, dict):
        return f"must be an object, got {type(row).__name__}"
    missing = [k for k in ("image_id", "category_id", "keypoints", "score") if k not in row]
    if missing:
        return f"has no {', '.join(missing)}"
    if row["image_id"] not in image_ids:
        return "this image is not in the ground truth"
    if not _is_number(row["score"]):
        return f"score must be a finite number, got {row['score']!r}"
    keypoints = row["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * num_keypoints:
        return _wrong_length("", keypoints, num_keypoints)
    bad = next((i for i, value in enumerate(keypoints) if not _is_number(value)), None)
    if bad is not None:
        return f"keypoints[{bad}] must be a finite number, got {keypoints[bad]!r}"
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _wrong_length(where: str, keypoints: Any, num_keypoints: int) -> str:
    got = f"{len(keypoints)} numbers" if isinstance(keypoints, list) else repr(keypoints)
    text = f"keypoints has {got}, the ground truth has {num_keypoints} joints"
    return f"{where + ': ' if where else ''}{text} ({3 * num_keypoints} numbers)"


def _keypoints_of(content: dict[str, Any], name: str) -> int:
    for category in content["categories"]:
        if category.get("keypoints"):
            return len(category["keypoints"])
    for annotation in content["annotations"]:
        if annotation.get("keypoints"):
            return len(annotation["keypoints"]) // 3
    raise ResultsError(f"{name} holds no keypoints, neither in its categories nor annotations")


def _raise_if(problems: list[str]) -> None:
    if problems:
        more = f"\n... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ResultsError("\n".join(problems[:SHOWN]) + more)
