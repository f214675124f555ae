"""Annotations of other tools than YOLO, in the form that they document, to COCO's form."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import load_coco
from pose_data.__main__ import main
from pose_data.formats.foreign import foreign


def picture(path: Path, width: int = 200, height: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(path.suffix, np.full((height, width, 3), 90, np.uint8))[1].tobytes()
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


def shape(label: str, *points: tuple[float, float], **more: Any) -> dict[str, Any]:
    kind = "point" if len(points) == 1 else "rectangle"
    row = {"label": label, "points": [list(p) for p in points], "group_id": None}
    return row | {"description": "", "shape_type": kind, "flags": {}, "mask": None} | more


def labelme(path: Path, *shapes: dict[str, Any], **more: Any) -> None:
    content = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imageData": None}
    content |= {"imagePath": f"..\\images\\{path.stem}.jpg", "imageHeight": 100, "imageWidth": 200}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | more, indent=2))
    picture(path.parent.parent / "images" / f"{path.stem}.jpg")


def test_labelme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "labels"
    labelme(
        folder / "a.json",
        shape("nose", (50, 40), group_id=1),
        shape("mouse", (90, 80), (30, 20), group_id=1),  # corners in any order
        shape("tail", (80, 70), group_id=1, flags={"occluded": True}),
        shape("nose", (150, 40), group_id=0),
        shape("tail", (170, 60), group_id=0, difficult=True),
        shape("cage", (1, 1), (9, 9), (5, 9), shape_type="polygon"),
        imageData="aGVsbG8=" * 2000,
    )
    labelme(folder / "b.json", shape("tail", (20, 30)), shape("nose", (60, 50)), imageWidth=None)
    labelme(folder / "c.json", shape("mouse", (10, 10), (60, 60)))  # nobody labelled its points
    labelme(folder / "d.json", imagePath="C:\\somewhere\\d.jpg")
    picture(folder / "d.jpg")
    (folder / "notes.json").write_text("{}")
    content = converted(folder, tmp_path)
    printed = capsys.readouterr().out
    assert "1 shapes left out: polygon" in printed
    assert "1 other files left out" in printed
    names = [image["file_name"] for image in content["images"]]
    assert names == ["images/a.jpg", "images/b.jpg", "images/c.jpg", "labels/d.jpg"]
    (category,) = content["categories"]
    assert (category["name"], category["keypoints"]) == ("mouse", ["nose", "tail"])
    rows = content["annotations"]
    assert [row["keypoints"] for row in rows] == [
        [50, 40, 2, 80, 70, 1],
        [150, 40, 2, 170, 60, 1],
        [60, 50, 2, 20, 30, 2],
        [0, 0, 0, 0, 0, 0],
    ]
    assert rows[0]["bbox"] == [30, 20, 60, 60]
    assert rows[1]["bbox"] == pytest.approx([148, 38, 24, 24])  # a tenth wider on each side
    assert [row["num_keypoints"] for row in rows] == [2, 2, 2, 0]
    ordered = converted(folder / "b.json", tmp_path / "images", "--names", "tail, nose")
    assert ordered["annotations"][0]["keypoints"] == [20, 30, 2, 60, 50, 2]
    assert ordered["images"][0].items() >= {"width": 200, "height": 100}.items()


def test_a_damaged_file_in_a_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.json").write_text('{"version": "5')
    error = refused(capsys, tmp_path / "x", tmp_path / "new.json")
    assert f"x has no known format, or is damaged, such as {tmp_path / 'x/a.json'}; con" in error


def test_labelme_of_two_animals_without_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelme(tmp_path / "x/a.json", shape("nose", (50, 40)), shape("nose", (80, 40)))
    error = refused(capsys, tmp_path / "x", tmp_path / "new.json")
    assert "a.json: nose occurs twice in one animal: give" in error
    labelme(tmp_path / "y/a.json", shape("nose", (50, 40), points=[[1]]))
    assert "a.json: a value is missing or wrong" in refused(
        capsys, tmp_path / "y", tmp_path / "new"
    )
    labelme(tmp_path / "z/a.json", shape("mouse", (50, 40), (60, 60)))
    assert "no labelled keypoints" in refused(capsys, tmp_path / "z", tmp_path / "new")


def dlc(root: Path, text: str, video: str = "m1") -> Path:
    file = root / "labeled-data" / video / "CollectedData_Jo.csv"
    for number in range(3):
        picture(file.parent / f"img{number:03d}.png")
    file.write_text(text)
    return file


def test_deeplabcut_of_one_animal(tmp_path: Path) -> None:
    file = dlc(
        tmp_path,
        "scorer,Jo,Jo,Jo,Jo,Jo,Jo\n"
        "bodyparts,snout,snout,leftear,leftear,rightear,rightear\n"
        "coords,x,y,x,y,x,y\n"
        "labeled-data/m1/img000.png,50.5,40.25,60,30,,\n"
        "labeled-data\\m1\\img001.png,,,NaN,NaN,,\n"
        "labeled-data/m1/img002.png,,,60,30,70,30\n",
    )
    for source in (file, tmp_path):
        content = converted(source, tmp_path)
        assert [i["file_name"][-10:] for i in content["images"]] == [
            "img000.png",
            "img001.png",
            "img002.png",
        ]
        assert content["images"][1]["file_name"] == "labeled-data/m1/img001.png"
        first, second = content["annotations"]
        assert first["keypoints"] == [50.5, 40.25, 2, 60, 30, 2, 0, 0, 0]
        assert second["image_id"] == 3
        assert second["bbox"] == pytest.approx([59, 29.5, 12, 1])  # a straight one has a box too
        assert content["categories"][0]["keypoints"] == ["snout", "leftear", "rightear"]


def test_deeplabcut_of_several_animals(tmp_path: Path) -> None:
    """DeepLabCut 2.2 and later: three columns name the frame; `single` is no animal."""
    who = ["m1"] * 4 + ["m2"] * 4 + ["single"] * 2
    parts = ["snout", "snout", "tail", "tail"] * 2 + ["corner"] * 2
    rows = [
        ["scorer", "", "", *["Jo"] * 10],
        ["individuals", "", "", *who],
        ["bodyparts", "", "", *parts],
        ["coords", "", "", *["x", "y"] * 5],
        ["labeled-data", "m1", "img000.png", "10", "20", "30", "50", "", "", "", "", "3", "4"],
        [
            "labeled-data",
            "m1",
            "img002.png",
            *["10", "20", "30", "50"],
            "60",
            "70",
            "80",
            "90.5",
            "",
            "",
        ],
    ]
    file = dlc(tmp_path, "\r\n".join(",".join(row) for row in rows))
    content = converted(file, tmp_path)
    assert [row["image_id"] for row in content["annotations"]] == [1, 2, 2]
    assert content["annotations"][2]["keypoints"] == [60, 70, 2, 80, 90.5, 2]
    assert content["categories"][0]["keypoints"] == ["snout", "tail"]


def test_bad_deeplabcut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "scorer,Jo,Jo\nbodyparts,snout,snout\ncoords,x,y\n"
    file = dlc(tmp_path, head + "labeled-data/m1/img000.png,5,five\n")
    new = tmp_path / "new.json"
    assert "row 4: a value is missing or wrong" in refused(capsys, file, new)
    file.write_text(head + "labeled-data/m1/img009.png,5,5\n")
    assert "cannot read image" in refused(capsys, file, new)
    file.write_text("scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.9\n")
    assert "not a table of labels" in refused(capsys, file, new)
    file.write_text("scorer,n,n\nbodyparts,a,a\ncoords,x,y\n")
    assert f"{file} has no labels below its header" in refused(capsys, file, new)
    file.with_suffix(".h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "writes a .csv beside it" in refused(capsys, file.with_suffix(".h5"), new)


LABELS = """
<labels>
 <label><name>fox</name><color>#fff</color><type>skeleton</type><attributes></attributes>
  <svg>&lt;line x1="1" data-type="edge" data-node-from="1" data-node-to="2"&gt;&lt;/line&gt;
   &lt;circle r="1" data-type="element node" data-node-id="1" data-label-name="nose"&gt;
   &lt;/circle&gt; &lt;circle data-node-id="2" data-label-name="tail"&gt;
   &lt;/circle&gt;</svg></label>
 <label><name>nose</name><type>points</type><attributes></attributes><parent>fox</parent></label>
 <label><name>tail</name><type>points</type><attributes></attributes><parent>fox</parent></label>
</labels>"""


def cvat(body: str, meta: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta><task><name>t</name>{LABELS}{meta}</task></meta>\n{body}</annotations>\n"
    )


def point(label: str, where: str, outside: int = 0, occluded: int = 0) -> str:
    return (
        f'<points label="{label}" source="manual" outside="{outside}" occluded="{occluded}" '
        f'points="{where}">\n</points>'
    )


def test_cvat_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = f"""
  <image id="0" name="sub/a.jpg" subset="default" task_id="1" width="200" height="100">
    <skeleton label="fox" source="manual" z_order="0" group_id="4">
      {point("tail", "30.5,60", occluded=1)}{point("nose", "10,20")}
      <attribute name="sex">m</attribute>
    </skeleton>
    <box label="fox" occluded="0" xtl="5" ytl="10" xbr="45" ybr="80" z_order="0" group_id="4"></box>
    <skeleton label="fox">{point("nose", "90,20")}{point("tail", "1,1", 1)}</skeleton>
    <skeleton label="fox">{point("nose", "9,9", 1)}{point("tail", "1,1", 1)}</skeleton>
    <polyline label="way" points="1,1;2,2"></polyline>
  </image>
  <image id="1" name="b.jpg" width="200" height="100">
    <skeleton label="fox">{point("nose", "90,20")}{point("tail", "100,50")}</skeleton>
  </image>"""
    file = tmp_path / "annotations.xml"
    file.write_text(cvat(body))
    picture(tmp_path / "sub/a.jpg")
    picture(tmp_path / "b.jpg")
    content = converted(tmp_path, tmp_path)
    printed = capsys.readouterr().out
    assert "1 shapes left out: polyline" in printed
    assert "1 objects left out: no keypoints, or one and no box" in printed
    (category,) = content["categories"]
    assert category == {"id": 1, "name": "fox", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    first, second = content["annotations"]
    assert first["keypoints"] == [10, 20, 2, 30.5, 60, 1]
    assert first["bbox"] == [5, 10, 40, 70]
    assert second["image_id"] == 2


def test_cvat_video(tmp_path: Path) -> None:
    size = "<original_size><width>200</width><height>100</height></original_size>"
    shapes = "".join(
        f'<skeleton frame="{frame}" keyframe="{int(not frame)}" z_order="0">'
        f"{point('nose', f'{10 + frame},20', gone)}{point('tail', '30,60', gone)}</skeleton>"
        for frame, gone in ((0, 0), (1, 0), (2, 1))
    )
    boxes = '<box frame="1" outside="0" xtl="1" ytl="2" xbr="60" ybr="70" keyframe="1"></box>'
    body = f'<track id="0" label="fox" source="manual" group_id="7">{shapes}</track>'
    body += f'<track id="1" label="fox" group_id="7">{boxes}</track>'
    file = tmp_path / "annotations.xml"
    file.write_text(cvat(body, size))
    for frame in range(3):
        picture(tmp_path / f"frame_{frame:06d}.PNG")
    content = converted(file, tmp_path)
    assert [image["file_name"] for image in content["images"]][1] == "frame_000001.PNG"
    first, second = content["annotations"]
    assert first["keypoints"][0] == 10
    assert second["bbox"] == [1, 2, 59, 68]


def test_cvat_points_in_groups_and_in_one_shape(tmp_path: Path) -> None:
    grouped = "".join(
        point(label, where).replace("<points ", '<points group_id="3" ')
        for label, where in (("eye", "20,30"), ("mouth", "40,50"))
    )
    picture(tmp_path / "a.jpg")
    found = []
    for name, shapes in (("a", grouped), ("b", point("bird", "1.5,2;30,40;50,60"))):
        body = f'<image id="0" name="a.jpg" width="200" height="100">{shapes}</image>'
        (tmp_path / f"{name}.xml").write_text(f"<annotations>{body}</annotations>")
        found.append(converted(tmp_path / f"{name}.xml", tmp_path)["categories"][0])
    assert [c["name"] for c in found] == ["object", "bird"]
    assert [c["keypoints"] for c in found] == [["eye", "mouth"], ["point_1", "point_2", "point_3"]]


def test_bad_cvat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, new = tmp_path / "a.xml", tmp_path / "new.json"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    for encoding in ("utf-8", "utf-16"):
        file.write_text(f'<?xml version="1.0"?>{bomb}<annotations>&b;</annotations>', encoding)
        error = refused(capsys, file, new, "--from", "cvat")
        assert "document type declaration" in error or "cannot read" in error
    file.write_text(cvat("<image")[:-20])
    assert "cannot read" in refused(capsys, file, new)
    for odd in ('points="1,2;3"', 'points="a,b"', ""):
        shape = f'<image name="a.jpg" width="9" height="9"><points label="nose" {odd}/></image>'
        file.write_text(cvat(shape))
        assert "image a.jpg: " in refused(capsys, file, new)
    file.write_text(
        cvat('<image name="a.jpg" width="9" height="9"><box label="a" xtl="1"/></image>')
    )
    assert "image a.jpg: a value is missing or wrong: no" in refused(capsys, file, new)


def test_aic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "aic"
    words = ["--train", "3", "--val", "1", "--aic", "--size", "160x120"]
    assert main(["synth", str(out), *words]) == 0
    images = out / "keypoint_train_images"
    content = converted(out / "keypoint_train_annotations.json", images, "--images", str(images))
    assert len(content["categories"][0]["keypoints"]) == 14


def test_what_convert_does_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": []}')
    error = refused(capsys, tmp_path / "coco.json", tmp_path / "new.json")
    assert (
        "has no known format, or no such files; convert reads yolo, cvat, deeplabcut, labelme, aic"
        in error
    )
    with pytest.raises(SystemExit) as caught:
        main(["convert", str(tmp_path / "coco.json"), str(tmp_path / "coco.json")])
    assert caught.value.code == 2
    assert "exists; nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"PK\x03\x04" + bytes(26) + b"annotations.json", "a packed archive: unpack it"),
        (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl", "a checkpoint"),
        (b"\x80\x02}q\x00", "a checkpoint"),
        (b"\x89HDF\r\n\x1a\n", "HDF5; DeepLabCut writes a .csv"),
        (b"\xff\xd8\xff\xe0", "an image"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<annotation><folder>VOC</folder>", "XML, but not CVAT's"),
        (cvat("").encode(), "CVAT's XML: `pose-data convert`"),
        (b"scorer,Jo,Jo\nbodyparts,a,a\n", "DeepLabCut's table: `pose-data convert`"),
        (b"0 0.5 0.5 0.2 0.3 0.1 0.2 2\n", "a label file of YOLO"),
        (b"path: .\ntrain: a\nkpt_shape: [3, 3]\n", "YOLO-pose's data.yaml: `pose-data convert`"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b'{"version": "5.4.1", "flags": {}, "shapes": [', "LabelMe's: `pose-data convert`"),
        (
            b'[{"image_id": "a", "keypoint_annotations": {}, "human_annotations": {}',
            "one of AI Challenger",
        ),
        (b'{"version":1.3,"people":[{"pose_keypoints_2d":[1,2', "OpenPose's output"),
        (b'{"version": "2.0", "schema_ref": "https://x", "item": {"name"', "V7 Darwin's form"),
        (b'{"_via_settings": {"ui": {}}, "_via_img_metadata"', "the VGG Image Annotator's"),
        (
            b'[{"image_id":1,"category_id":1,"keypoints":[1],"score":1}]',
            "results (for load_detections",
        ),
        (b'{"annotations": [{"id": 1, "score": 2, "image_id": 3, "shape": 4}]', None),
        (b'{"flags": {}, "lineColor": [1, 2], "shapes": [{"label": "a"', "LabelMe's"),
        (b'{"dataset": "d", "image": {"filename": "a.jpg"}, "annotations": [', "V7 Darwin's form"),
        (b'{"a.jpg1": {"regions": [{"shape_attributes": {"name": "point"', "the VGG Image"),
        (b'{"images": [{"id": 1, "score": 2, "image_id": 3}]', None),
        (b'\xef\xbb\xbf{"info": {"version": "1"}, "annotations": []}', None),
        (b"", None),
        (b"hello", None),
        (b"1 1" * 1300, None),  # these two took a careless pattern hours
        (b"<!-- -->" * 500, "XML, but not CVAT's"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, head: bytes, said: str | None) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(head)
    found = foreign(file)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"{file} is {said}")
    assert foreign(tmp_path / "none") is None


def test_labelme_images_outside_are_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret.jpg"
    picture(secret, 60, 40)
    file = tmp_path / "set/labels/a.json"
    no_size = {"imageWidth": None, "imageHeight": None}
    for given in ("../../secret.jpg", "..\\..\\secret.jpg"):
        labelme(file, shape("nose", (5, 5)), shape("tail", (9, 9)), imagePath=given, **no_size)
        assert "leads out of" in refused(capsys, file, tmp_path / "o.json")
    labelme(file, shape("nose", (5, 5)), shape("tail", (9, 9)), imagePath=str(secret), **no_size)
    assert "cannot read image" in refused(capsys, file, tmp_path / "o.json")  # looked for beside
    content = converted(file, tmp_path, "--images", str(tmp_path))
    assert content["images"][0]["file_name"] == "secret.jpg"


@pytest.mark.parametrize("name", ["../b.png", "/b.png"])
def test_names_that_lead_out_of_a_folder(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.xml").write_text(
        f'<annotations><image name="{name}" width="9" height="9"><points label="a" points="1,2"/>'
        "</image></annotations>"
    )
    (tmp_path / "CollectedData_me.csv").write_text(
        f"scorer,me,me\nbodyparts,a,a\ncoords,x,y\n{name},1,2\n"
    )
    record = {"image_id": name.removesuffix(".png"), "human_annotations": {"human1": [1, 1, 9, 9]}}
    record["keypoint_annotations"] = {"human1": [1, 1, 1] * 14}
    (tmp_path / "aic.json").write_text(json.dumps([record]))
    for file in ("a.xml", "CollectedData_me.csv", "aic.json"):
        said = refused(capsys, tmp_path / file, tmp_path / "o.json", "--images", str(tmp_path))
        assert "leads out of" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imageWidth": 2**63}, "width and height must be 1 to 65536"),
        ({"imageHeight": 0.5}, "width and height must be 1 to 65536"),
        ({"shapes": [shape("nose", (1e30, 5)), shape("tail", (3, 4))]}, "beyond 1e+09"),
        ({"shapes": [shape("nose", (5, 5)), shape("Nose ", (3, 4))]}, "two keypoints called"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    labelme(tmp_path / "a/a.json", shape("nose", (5, 5)), shape("tail", (9, 9)), **changes)
    assert message in refused(capsys, tmp_path / "a/a.json", tmp_path / "o.json")
    assert not (tmp_path / "o.json").exists()


def test_numbers_of_aic_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"image_id": "a", "human_annotations": {"h": [1, 1, 9, 10**400]}}
    record["keypoint_annotations"] = {"h": [1, 1, 1] * 14}
    (tmp_path / "aic.json").write_text(json.dumps([record]))
    assert "box of h" in refused(capsys, tmp_path / "aic.json", tmp_path / "o.json")


def test_names_are_printed_without_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "a.jpg")
    labelme(tmp_path / "a/a.json", shape("\x1b]0;x\x07", (5, 5)), shape("\ud800", (9, 9)))
    assert main(["convert", str(tmp_path / "a/a.json"), str(tmp_path / "o.json")]) == 0
    main(["check", str(tmp_path / "o.json")])
    main(["stats", str(tmp_path / "o.json")])
    captured = capsys.readouterr()
    assert "\\x1b]0;x\\x07" in captured.out
    assert not any(sign in captured.out + captured.err for sign in "\x1b\x07\ud800")
