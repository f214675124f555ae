"""YOLO-pose, in the form that Ultralytics documents, to COCO's form and back."""

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import load_coco
from pose_data.__main__ import main

needs_yaml = pytest.mark.skipif(
    importlib.util.find_spec("yaml") is None, reason="the extra pose-data[yolo] is not installed"
)


def picture(path: Path, width: int = 200, height: int = 100, exif: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(path.suffix, np.full((height, width, 3), 90, np.uint8))[1].tobytes()
    if exif > 1:
        tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, exif])
        segment = b"Exif\x00\x00" + tiff + b"\x00\x00" + b"\x00" * 4
        data = data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    path.write_bytes(data)


def converted(sources: Sequence[Path] | Path, images: Path, *options: str) -> dict[str, Any]:
    """Convert, check and load; returns the content."""
    listed = [sources] if isinstance(sources, Path) else sources
    folder = listed[0] if listed[0].is_dir() else listed[0].parent
    out = folder / f"out{len(list(folder.glob('out*')))}.json"
    assert main(["convert", *map(str, listed), str(out), *options]) == 0
    assert main(["check", str(out), "--images", str(images)]) == 0
    assert len(load_coco(out, images))
    content = json.loads(out.read_text())
    for key in ("images", "annotations", "categories"):
        assert [row["id"] for row in content[key]] == list(range(1, len(content[key]) + 1))
    return content


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    capsys.readouterr()
    assert main(["convert", *map(str, words)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("pose-data: error: ")
    return error


YAML = """\
path: . # dataset root dir
train: images/train # train images (relative to 'path')
val: images/val
test: # test images (optional)

kpt_shape: [3, 3] # number of keypoints, number of dims (2 for x,y or 3 for x,y,visible)
flip_idx: [0, 2, 1]
names:
  0: tiger
kpt_names:
  0:
    - nose
    - left_ear
    - right_ear
"""


def yolo(root: Path, yaml: str = YAML, line: str = "") -> Path:
    for part, name in (("train", "a.jpg"), ("train", "sub/b.png"), ("val", "c.jpg")):
        picture(root / "images" / part / name)
    line = line or "0 0.5 0.5 0.4 0.6 0.4 0.3 2.000000 0.5 0.4 1 0 0 0"
    for label in ("train/a.txt", "val/c.txt"):
        (root / "labels" / label).parent.mkdir(parents=True, exist_ok=True)
        (root / "labels" / label).write_text(
            f"{line}\n{line}\n\n"
        )  # a double, as some exports have
    (root / "data.yaml").write_text(yaml)
    return root / "data.yaml"


@needs_yaml
def test_yolo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = converted(yolo(tmp_path), tmp_path / "images")
    printed = capsys.readouterr().out
    assert [i["file_name"] for i in content["images"]] == [
        "train/a.jpg",
        "train/sub/b.png",
        "val/c.jpg",
    ]
    assert content["images"][0].items() >= {"id": 1, "width": 200, "height": 100}.items()
    (first, second) = content["annotations"]
    assert first["keypoints"] == [80, 30, 2, 100, 40, 1, 0, 0, 0]
    assert first["bbox"] == pytest.approx([60, 20, 80, 60])
    assert first["area"] == pytest.approx(0.53 * 80 * 60)
    assert (first["num_keypoints"], first["iscrowd"], second["image_id"]) == (2, 0, 3)
    (category,) = content["categories"]
    assert (category["name"], category["keypoints"]) == ("tiger", ["nose", "left_ear", "right_ear"])
    assert "2 exact duplicates dropped" in printed
    assert f"relative to {tmp_path / 'images'}" in printed
    only = converted(tmp_path, tmp_path / "images/val", "--split", "val")
    assert [image["file_name"] for image in only["images"]] == ["c.jpg"]


@needs_yaml
def test_labels_that_are_a_link_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are not those of an image without people."""
    source = yolo(tmp_path)
    labels = tmp_path / "labels/val/c.txt"
    labels.unlink()
    assert len(converted(source, tmp_path / "images")["annotations"]) == 1
    labels.symlink_to("gone.txt")
    error = refused(capsys, source, tmp_path / "new.json")
    assert f"{labels}: No such file or directory" in error


@needs_yaml
def test_yolo_without_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = (
        YAML[: YAML.index("kpt_names")].replace("[3, 3]", "[3, 2]").replace("  0: tiger", "['t']")
    )
    bare = bare.replace("images/train", "../images/train")  # Roboflow's
    file = yolo(tmp_path, bare.replace("names:\n[", "names: ["), "0 .5 .5 .4 .6 .4 .3 .5 .4 0 0")
    content = converted(file, tmp_path / "images")
    assert content["categories"][0]["keypoints"] == ["kpt0", "left_kpt1", "right_kpt1"]
    assert content["annotations"][0]["keypoints"] == [80, 30, 2, 100, 40, 2, 0, 0, 0]
    persons = load_coco(next(tmp_path.glob("out*.json")), tmp_path / "images")
    assert persons.skeleton.flip_indices == (0, 2, 1)
    assert "give --names" in capsys.readouterr().out
    named = converted(file, tmp_path / "images", "--names", "nose,tail,paw")
    assert named["categories"][0]["keypoints"] == ["nose", "tail", "paw"]
    assert "flip_idx that pairs otherwise" in capsys.readouterr().out


@needs_yaml
def test_yolo_of_coco_keypoints_and_turned_images(tmp_path: Path) -> None:
    flips = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    points = " ".join(f"{0.3 + 0.02 * i:g} {0.2 + 0.04 * (i % 5):g} 2" for i in range(17))
    yaml = f"train: images/train\nkpt_shape: [17, 3]\nflip_idx: {flips}\nnames: {{0: person}}\n"
    file = yolo(tmp_path, yaml, f"0 0.5 0.5 0.9 0.9 {points}")
    picture(tmp_path / "images/train/a.jpg", exif=6)  # labels are of what is seen: 100 x 200
    content = converted(file, tmp_path / "images/train", "--names", ",".join("abcdefghijklmnopq"))
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (100, 200)
    assert content["annotations"][0]["keypoints"][:2] == [30, 40]


@needs_yaml
@pytest.mark.parametrize(
    ("line", "yaml", "message"),
    [
        ("0 0.5 0.5 0.4 0.6", YAML, "a.txt line 1: 5 numbers, kpt_shape [3, 3] wants 14"),
        ("0 100 50 40 60 80 30 2 100 40 1 0 0 0", YAML, "must be fractions of the image"),
        ("0 nan .5 .4 .6 .8 .3 2 .1 .4 1 0 0 0", YAML, "must be fractions of the image"),
        ("0 .5 .5 .4 .6 .8 .3 7 .1 .4 1 0 0 0", YAML, "visibility must be 0, 1 or 2"),
        ("3 .5 .5 .4 .6 .8 .3 2 .1 .4 1 0 0 0", YAML, "class 3 is not in the names"),
        (
            "tiger .5 .5 .4 .6 .8 .3 2",
            YAML,
            "a.txt line 1: a value is missing or wrong: could not convert",
        ),
        ("", YAML.replace("kpt_shape: [3, 3]", "a: 1"), "kpt_shape must be [K, 2] or [K, 3]"),
        ("", YAML.replace("[0, 2, 1]", "[0, 2, 2]").replace("kpt_n", "n"), "flip_idx must hold"),
        ("", YAML.replace("images/", "pictures/"), "no images of train, val or test"),
        ("", YAML + "}", "as YAML: "),
    ],
)
def test_bad_yolo(
    tmp_path: Path, line: str, yaml: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = yolo(tmp_path, yaml, line)
    error = refused(capsys, source, tmp_path / "new.json", "--from", "yolo")
    assert message in error
    assert not (tmp_path / "new.json").exists()


def test_yolo_without_pyyaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    error = refused(capsys, yolo(tmp_path), tmp_path / "new.json")
    assert "pip install 'pose-data[yolo]'" in error


@needs_yaml
def test_to_yolo_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert main(["synth", str(data), "--train", "3", "--val", "0", "--size", "160x120"]) == 0
    file = data / "annotations/person_keypoints_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1]["keypoints"][:3] = [-5, 10, 2]
    del content["images"][0]["width"]
    file.write_text(json.dumps(content))
    out = tmp_path / "yolo"
    images = ["--images", str(data / "train2017")]
    assert main(["convert", str(file), str(out), "--to", "yolo", *images]) == 0
    printed = capsys.readouterr().out
    assert "1 crowds" in printed
    assert "1 points outside" in printed
    (data / "train2017").rename(out / "images")
    again = converted(out, out / "images")
    assert again["categories"][0]["keypoints"] == content["categories"][0]["keypoints"]
    assert load_coco(out / "out0.json", out / "images").skeleton.name == "coco"
    assert len(again["annotations"]) == len(content["annotations"]) - 1
    assert again["annotations"][0]["keypoints"][:3] == [0, 0, 0]
    for ours, theirs in zip(again["annotations"], content["annotations"][1:], strict=True):
        np.testing.assert_allclose(ours["keypoints"][3:], theirs["keypoints"][3:], atol=0.01)
        np.testing.assert_allclose(ours["bbox"], theirs["bbox"], atol=0.01)
    import yaml

    settings = yaml.safe_load((out / "data.yaml").read_text())
    assert settings["kpt_shape"] == [17, 3]
    assert settings["flip_idx"][:5] == [0, 2, 1, 4, 3]
    assert settings["names"] == ["person"]
    absolute = tmp_path / "absolute.json"
    content["images"][1]["file_name"] = "/data/b.jpg"
    absolute.write_text(json.dumps(content))
    words = (absolute, tmp_path / "new", "--to", "yolo", "--images", out / "images")
    assert "leaves the folder" in refused(capsys, *words)
    assert not (tmp_path / "new").exists()


@needs_yaml
@pytest.mark.parametrize("train", ["/", "../../../images", "images.txt"])
def test_images_outside_are_not_followed(
    tmp_path: Path, train: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = yolo(tmp_path / "a/set")
    picture(tmp_path / "images/a.jpg")
    (file.parent / "images.txt").write_text("../../images/a.jpg\n")
    kept = [line for line in YAML.splitlines() if not line.startswith(("train", "val", "path"))]
    file.write_text("\n".join([f"train: {train}", *kept]))
    assert "leads out of" in refused(capsys, file, tmp_path / "o.json")
    if train != "/":  # where the user says so
        assert (
            main(["convert", str(file), str(tmp_path / "o.json"), "--images", str(tmp_path)]) == 1
        )
        assert "no labelled keypoints" in capsys.readouterr().err


@needs_yaml
@pytest.mark.parametrize("text", ["[" * 3000, "a: " + "9" * 5000, "#" * 1_000_001])
def test_yaml_that_is_none(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.yaml").write_text(f"kpt_shape: [3, 3]\nx: {text}")
    refused(capsys, tmp_path / "data.yaml", tmp_path / "o.json")
