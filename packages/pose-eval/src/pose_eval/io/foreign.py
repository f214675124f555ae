"""Recognise files of other tools, and suggest what to do with them."""

import re
from collections.abc import Mapping
from typing import Any

CONVERT = "`pose-data convert` makes a COCO file of it"


def foreign_bytes(head: bytes) -> str:
    """Return what kind of binary file this is, "" if it may be JSON."""
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive; unpack it and give the JSON file in it"
    if head.startswith(b"\x89HDF"):
        return f"is an HDF5 file, such as DeepLabCut writes; {CONVERT}"
    return ""


def foreign_text(text: str) -> str:
    """Return what kind of text this is instead of JSON, "" if that is unknown."""
    head = text[:4096].lstrip()
    if head.startswith("<"):
        kind = "a CVAT XML file" if "<annotations" in head else "XML or HTML"
        return f"is {kind}, not JSON" + (f"; {CONVERT}" if "<annotations" in head else "")
    if head.startswith("scorer,"):
        return f"is a CSV file of DeepLabCut; {CONVERT}"
    first = head.splitlines()[0] if head else ""
    if re.fullmatch(r"\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*", first):
        return f"holds lines of numbers, as YOLO's label files do; {CONVERT}"
    return ""


def foreign_object(content: Mapping[Any, Any]) -> str:
    """Return what a JSON object is instead of COCO or a row of results, "" if unknown."""
    keys = set(content)
    if "shapes" in keys and keys & {"version", "flags", "imagePath"}:
        return f"is a LabelMe file of one image; {CONVERT}"
    people = content.get("people")
    if isinstance(people, list) and (not people or "pose_keypoints_2d" in people[0]):
        return (
            "is an OpenPose file of one image; results are a list of rows with image_id, "
            "category_id, keypoints and score"
        )
    if "annotations" in keys and "images" not in keys and keys & {"item", "dataset", "image"}:
        return "is a V7 Darwin file of one image; COCO has all images in one file"
    return ""
