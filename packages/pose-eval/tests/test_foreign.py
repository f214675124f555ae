"""Files of other tools are named as what they are, with the way out."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pose_eval import ResultsError, evaluate
from pose_eval.__main__ import main

Set = tuple[dict[str, Any], list[dict[str, Any]]]


def zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", "{}")
    return data.getvalue()


LABELME = {
    "version": "5.4.1",
    "flags": {},
    "shapes": [
        {"label": "nose", "points": [[1, 2]], "group_id": 1, "shape_type": "point", "flags": {}}
    ],
    "imagePath": "a.jpg",
    "imageData": None,
    "imageHeight": 480,
    "imageWidth": 640,
}
OPENPOSE = {
    "version": 1.3,
    "people": [
        {"person_id": [-1], "pose_keypoints_2d": [1, 2, 0.5], "face_keypoints_2d": []},
    ],
}
DARWIN = {
    "version": "2.0",
    "schema_ref": "https://darwin-public.s3.eu-west-1.amazonaws.com/darwin_json/2.0/schema.json",
    "item": {"name": "a.jpg", "path": "/", "slots": []},
    "annotations": [{"id": "a", "name": "person", "skeleton": {"nodes": []}}],
}
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <image id="0" name="a.jpg" width="640" height="480">
  </image>
</annotations>
"""
DEEPLABCUT = """scorer,,,me,me,me,me
bodyparts,,,nose,nose,tail,tail
coords,,,x,y,x,y
labeled-data,mouse,img01.png,12.5,30.1,,
"""
FILES = [
    (zipped(), "is a zip archive; unpack it"),
    (json.dumps(LABELME).encode(), "is a LabelMe file of one image; `pose-data convert`"),
    (json.dumps(OPENPOSE).encode(), "is an OpenPose file of one image"),
    (b'{"version": 1.3, "people": []}', "is an OpenPose file of one image"),
    (json.dumps(DARWIN).encode(), "is a V7 Darwin file of one image"),
    (b'{"dataset": "mice", "image": {}, "annotations": []}', "is a V7 Darwin file of one image"),
    (CVAT.encode(), "is a CVAT XML file, not JSON; `pose-data convert`"),
    (b"\xef\xbb\xbf" + CVAT.encode(), "is a CVAT XML file"),
    (b"<!DOCTYPE html><html>404</html>", "is XML or HTML, not JSON"),
    (DEEPLABCUT.encode(), "is a CSV file of DeepLabCut; `pose-data convert`"),
    (b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file, such as DeepLabCut writes"),
    (b"0 0.5 0.5 0.25 0.4 0.51 0.32 2\n1 0.1 0.2 0.3 0.4 0.5 0.6 0\n", "as YOLO's label files do"),
    (b"0 0.501 .5 0.25 1e-05 0.51 0.32 2.0", "as YOLO's label files do"),
]


@pytest.mark.parametrize(("data", "message"), FILES, ids=[m[:20] for _, m in FILES])
def test_files_of_other_tools(
    data: bytes, message: str, small_set: Set, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gt, rows = small_set
    file = tmp_path / "file.json"
    for content in (data, gzip.compress(data)):
        file.write_bytes(content)
        with pytest.raises(ResultsError, match=r"^file\.json is|^file\.json holds") as error:
            evaluate(rows, file)
        assert message in str(error.value)
        with pytest.raises(ResultsError) as error:
            evaluate(file, gt)
        assert message in str(error.value)
        assert main(["check", str(file)]) == 1
        assert message in capsys.readouterr().err
        assert main(["sigmas", str(file)]) == 1
        assert message in capsys.readouterr().err


def test_coco_files_with_keys_of_other_tools_are_read(small_set: Set) -> None:
    gt, rows = small_set
    wanted = evaluate(rows, gt).stats
    extra = {"info": {}, "licenses": [], "version": "1", "dataset": "mice", "flags": {}}
    assert evaluate(rows, gt | extra).stats == wanted


def test_a_line_of_numbers_is_not_tried_in_all_ways(tmp_path: Path) -> None:
    """A regular expression that is not careful takes 10 times as long for each further number."""
    file = tmp_path / "labels.txt"
    file.write_text("0" + " 11111111" * 400 + " x")
    with pytest.raises(ResultsError, match="is not JSON"):
        evaluate([], file)


def test_people_that_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"people": [1]}')
    with pytest.raises(ResultsError, match="has no list `images`"):
        evaluate([], file)


def test_what_unpacks_to_very_much(small_set: Set, tmp_path: Path) -> None:
    gt, rows = small_set
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(b"[" + b" " * (100 << 20)))
    for given in ((rows, file), (file, gt)):
        with pytest.raises(ResultsError, match="unpacks to more than 200 times its own size"):
            evaluate(*given)
