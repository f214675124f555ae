"""Why the file of an image is not found."""

import json
from pathlib import Path

import pytest

from pose_data import DatasetError, check, load_coco
from pose_data.images.missing import why_missing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder as people have them: two subfolders, odd names, a folder beside it."""
    names = ["IMG_1.JPG", "b.png", "train/c.jpg", "train/deep/d.JPEG", "000000000139.jpg", "17.jpg"]
    names += ["A 1.jpg", "ä.jpg", "Val/e.jpg"]
    for name in [*names, "../other/f.jpg", "../set/g.jpg"]:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("IMG_1.jpg", "IMG_1.JPG is there, the file says IMG_1.jpg (another letter case)"),
        ("img_1.JPG", "IMG_1.JPG is there, the file says img_1.JPG (another letter case)"),
        ("b.jpg", "b.png is there, the file says b.jpg (another suffix)"),
        ("b", "b.png is there, the file says b (another suffix)"),
        ("B.jpg", "b.png is there, the file says B.jpg (another suffix and letter case)"),
        ("val/e.jpg", "Val/e.jpg is there, the file says val/e.jpg (another letter case)"),
        ("val/c.jpg", "train/c.jpg is there, the file says val/c.jpg (another folder)"),
        ("c.jpg", "it is in {folder}/train: give that folder"),
        ("d.jpeg", "train/deep/d.JPEG is there, the file says d.jpeg (another folder"),
        ("set/b.png", "it is in {folder.parent}: give that folder"),
        ("other/f.jpg", "it is in {folder.parent}: give that folder"),
        ("images/b.png", "b.png is there, the file says images/b.png: repair it with "),
        ("images/b.png", "`pose-data fix --strip-prefix images/`"),
        ("COCO_val2014_000000000139.jpg", "000000000139.jpg is there, .* (another prefix)"),
        ("139.jpg", "000000000139.jpg is there, .* (another prefix)"),
        ("000000000017.jpg", "17.jpg is there, .* (another prefix)"),
        ("frame_17.jpg", "17.jpg is there, .* (another prefix)"),
        ("a\u0308.jpg", "(another form of its Unicode letters)"),
        ("C:\\data\\b.png", "`pose-data fix --strip-prefix C:/data/`"),
        ("C:\\my data\\b.png", "`pose-data fix --strip-prefix 'C:/my data/'`"),
        ("train\\c.jpg", "the file says train\\c.jpg: repair it with `pose-data fix`"),
        ("D:\\x\\train\\c.jpg", "train/c.jpg is there, .* --strip-prefix D:/x/`"),
        ("/home/me/b.png", "b.png is there, .* --strip-prefix /home/me/`"),
        ("/home/me/gone.png", "/home/me/gone.png is an absolute path: strip the folder with "),
        ("https://x.org/a/b.png", "b.png is there, .* --strip-prefix https://x.org/a/`"),
        (
            "s3://bucket/gone.png",
            "s3://bucket/gone.png is a URL: fetch the images, then strip the folder with",
        ),
        ("s3://bucket/gone.png", "`pose-data fix --strip-prefix s3://bucket/`"),
        ("gone.jpg", "nothing like it is among the 10 files in {folder}, such as 000000000139.jpg"),
        ("139_2.jpg", "nothing like it is among"),
        ("a\0.jpg", "nothing like it is among"),
        ("", "the annotation file gives no file_name"),
    ],
)
def test_why(folder: Path, name: str, why: str) -> None:
    expected = why.format(folder=folder).split(" .* ")
    said = why_missing(folder, name)
    assert all(part in said for part in expected), said


def test_folders(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    assert why_missing(empty, "a.jpg") == f"the folder {empty} does not exist"
    empty.mkdir()
    assert why_missing(empty, "a.jpg") == f"{empty} is empty"
    (empty / "a.JPG").write_bytes(b"")  # what has come since is seen
    assert "a.JPG is there" in why_missing(empty, "a.jpg")


def test_check_says_why(tmp_path: Path, folder: Path) -> None:
    names = ["b.jpg", *(f"gone_{i}.jpg" for i in range(20))]
    content = {
        "images": [{"id": i, "file_name": n, "width": 8, "height": 8} for i, n in enumerate(names)],
        "annotations": [],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose"]}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(content))
    found = {each.slug: each for each in check(tmp_path / "gt.json", folder)}["missing-file"]
    assert (found.count, len(found.records)) == (21, 8)
    assert found.records[0].endswith("b.jpg: b.png is there, the file says b.jpg (another suffix)")
    assert "nothing like it" in found.records[1]


def write(file: Path, name: str) -> Path:
    image = {"id": 1, "file_name": name, "width": 64, "height": 48}
    row = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 30, 30, 2]}
    category = {"id": 1, "name": "a", "keypoints": ["nose", "tail"]}
    content = {"images": [image], "annotations": [row], "categories": [category]}
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("name", ["../other/f.jpg", "{above}/other/f.jpg", "train/../../x", ".."])
def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    name = name.format(above=folder.parent)
    file = write(folder / "gt.json", name)
    assert len(load_coco(file)) == 1  # without images
    with pytest.raises(DatasetError, match="leads out of"):
        load_coco(file, folder)
    slugs = [found.slug for found in check(file, folder)]
    assert "outside-folder" in slugs
    assert "broken-image" not in slugs, "it was opened"


@pytest.mark.parametrize("name", ["{folder}/b.png", "train/../b.png", "..b.png", "train/..c/d.png"])
def test_a_name_that_only_looks_like_it_is_not(folder: Path, name: str) -> None:
    assert len(load_coco(write(folder / "gt.json", name.format(folder=folder)), folder)) == 1


def test_a_size_is_not_read_outside_of_the_folder(folder: Path) -> None:
    file = write(folder / "gt.json", "../other/f.jpg")
    file.write_text(file.read_text().replace('"width": 64, ', ""))
    with pytest.raises(DatasetError, match="leads out of the folder"):
        load_coco(file, folder)


def test_a_name_longer_than_names_can_be_is_missing(folder: Path) -> None:
    file = write(folder / "gt.json", "x" * 3000)
    assert "missing-file" in [found.slug for found in check(file, folder)]
