"""Recognize files that are not COCO JSON by their first bytes, and name the way out."""

import re
from pathlib import Path


def _keys(*names: str) -> bytes:
    """Return a pattern of JSON whose first bytes have all these keys, and none of COCO's."""
    has = "".join(rf'(?=.*"(?:{name})"\s*:)' for name in names)
    return rf'\s*(?=[\[{{])(?!.*"(?:images|categories)"\s*:){has}'.encode()


_CONVERT = "`pose-data convert` makes a COCO file of it"
_THERE = "export COCO there"
_AIC = f"one of AI Challenger's original files for load_aic; {_CONVERT}"
_IMAGE = rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\x00{4}|II\*\x00|MM\x00\*|RIFF.{4}WEBP"
_LABELS = rb"\d+(?: [\d.-][\d.e-]*){4,} *[\r\n]"
_RESULTS = rb"(?=\s*\[)" + _keys("image_id", "score")
_KINDS = (
    ("checkpoint", rb"PK\x03\x04.*/data\.pkl|\x80[\x02-\x05]", "a checkpoint, no annotations"),
    ("zip", rb"PK\x03\x04|7z\xbc\xaf|Rar!", "a packed archive: unpack it, and give the file in it"),
    ("hdf", rb"\x89HDF", "HDF5; DeepLabCut writes a .csv beside it: `pose-data convert` that"),
    ("image", _IMAGE, "an image, no annotations"),
    ("cvat", rb"\s*(<\?xml[^>]*>\s*)?<annotations>", f"CVAT's XML: {_CONVERT}"),
    ("page", rb"(?i)\s*<(!doctype html|html)", "a web page: the download has failed"),
    ("xml", rb"\s*<", "XML, but not CVAT's: export COCO keypoints"),
    ("lfs", rb"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` fetches the file"),
    ("deeplabcut", rb'"?scorer"?,', f"DeepLabCut's table: {_CONVERT}"),
    ("labels", _LABELS, "a label file of YOLO: `pose-data convert` reads its data.yaml"),
    ("yolo", rb"[^{\[].*\bkpt_shape\s*:|kpt_shape:", f"YOLO-pose's data.yaml: {_CONVERT}"),
    ("aic", _keys("human_annotations", "keypoint_annotations"), _AIC),
    ("labelme", _keys("shapes", "imagePath|flags|lineColor"), f"LabelMe's: {_CONVERT}"),
    ("openpose", _keys("people", "pose_keypoints_2d"), "OpenPose's output, no annotations"),
    ("darwin", _keys("schema_ref|dataset", "item|image"), f"V7 Darwin's form: {_THERE}"),
    ("via", _keys("_via_settings|shape_attributes"), f"the VGG Image Annotator's: {_THERE}"),
    ("studio", _keys("from_name", "to_name"), f"Label Studio's form: {_THERE}"),
    ("results", _RESULTS, "results (for load_detections, --results), no annotations"),
)


def kind_of(path: Path) -> str | None:
    """Return the kind of a file by its first 4 KB; None where unknown, as for COCO's JSON."""
    try:
        with path.open("rb") as file:
            head = file.read(4096).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return None
    return next((kind for kind, pattern, _ in _KINDS if re.match(pattern, head, re.S)), None)


def foreign(path: str | Path) -> str | None:
    """Return a sentence that says what a file is instead of COCO JSON, and the way out."""
    kind = kind_of(Path(path))
    return next((f"{path} is {text}" for name, _, text in _KINDS if name == kind), None)
