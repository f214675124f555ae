"""Tell by its first bytes what a file is that is no COCO JSON, and say the way out."""

import re
from pathlib import Path

_HEAD = 4096  # bytes that are looked at

_BYTES = (
    ("checkpoint", rb"PK\x03\x04(?s:.*)/data\.pkl|\x80[\x02-\x05]"),
    ("zip", rb"PK\x03\x04|7z\xbc\xaf|Rar!"),
    ("hdf", rb"\x89HDF"),
    ("picture", rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\x00{4}|II\*\x00|MM\x00\*|RIFF.{4}WEBP"),
    ("cvat", rb"\s*(<\?xml[^>]*>\s*)?(<!--(?s:.*?)-->\s*)*<annotations>"),
    ("page", rb"(?i)\s*<(!doctype html|html)"),
    ("xml", rb"\s*<"),
    ("lfs", rb"version https://git-lfs"),
    ("deeplabcut", rb'"?scorer"?,'),
    ("yolo-labels", rb"\s*\d+( -?\d*\.?\d+(e-?\d+)?){4,}\s*[\r\n]"),
    ("yolo", rb"(?s)[^{\[].*^kpt_shape\s*:|(?m)^kpt_shape\s*:"),
)
_KEYS = (  # of JSON: all keys of a row stand in the first bytes
    ("aic", ("human_annotations", "keypoint_annotations")),
    ("labelme", ("shapes", "version")),
    ("labelme", ("shapes", "imagePath")),
    ("openpose", ("people", "pose_keypoints_2d")),
    ("darwin", ("schema_ref",)),
    ("darwin", ("dataset", "image", "annotations")),
    ("via", ("_via_settings",)),
    ("via", ("filename", "regions", "file_attributes")),
    ("label-studio", ("annotations", "result", "from_name")),
    ("results", ("image_id", "keypoints", "score")),
)
_CONVERT = "`pose-data convert` makes a COCO file of it"
_WAYS = {
    "checkpoint": "a checkpoint (pickled data), no annotations",
    "zip": "a packed archive: unpack it, and give the annotation file in it",
    "hdf": "an HDF5 file; DeepLabCut writes CollectedData_*.csv beside it: `pose-data convert` that",
    "picture": "a picture, no annotations",
    "cvat": f"CVAT's XML: {_CONVERT}",
    "page": "a web page: the download has failed",
    "xml": "XML, but not CVAT's: export COCO keypoints",
    "lfs": "a pointer of Git LFS: `git lfs pull` fetches the file",
    "deeplabcut": f"DeepLabCut's table: {_CONVERT}",
    "yolo-labels": "a label file of YOLO: `pose-data convert` reads its data.yaml",
    "yolo": f"the data.yaml of YOLO-pose: {_CONVERT}",
    "aic": f"AI Challenger's original form: {_CONVERT}",
    "labelme": f"a LabelMe file of one picture: {_CONVERT} and of its folder",
    "openpose": "OpenPose's output for one picture, no annotations",
    "darwin": "V7 Darwin's form: export COCO there",
    "via": "a project of the VGG Image Annotator: export COCO there",
    "label-studio": "Label Studio's form: export COCO there",
    "results": "a list of results: give it as results or detections, beside the annotations",
}


def kind_of(path: Path) -> str | None:
    """Return what a file is, a key of the table above; None where that is not known.

    Looks at the first 4 KB. COCO files are not known here.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return None
    for kind, pattern in _BYTES:
        if re.match(pattern, head, re.MULTILINE):
            return kind
    if not head.lstrip().startswith((b"{", b"[")):
        return None
    keys = {key.decode("ascii", "replace") for key in re.findall(rb'"(\w+)"\s*:', head)}
    if "images" in keys or "categories" in keys:
        return None
    return next((kind for kind, wanted in _KEYS if keys.issuperset(wanted)), None)


def foreign(path: str | Path) -> str | None:
    """Return a sentence that names what a file is instead of COCO JSON, and the way out."""
    kind = kind_of(Path(path))
    return None if kind is None else f"{path} is {_WAYS[kind]}"
