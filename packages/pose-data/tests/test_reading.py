"""Reading annotation files: in pieces, packed, damaged, cached; what is derived and masked out."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle

from pose_data import DatasetError, load_coco
from pose_data.formats import json as reading
from pose_data.formats.json import read_json, read_pieces

# pycocotools 2.0.11 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TRIANGLE = [[10, 10, 30, 10, 20, 30.5]]


def content(count: int = 30, **changes: Any) -> dict[str, Any]:
    """Return a file of some persons in three pictures; every third has no keypoints."""
    images = [{"id": 7 + i, "file_name": f"{i}.jpg", "width": 100, "height": 60} for i in range(3)]
    rows = []
    for i in range(count):
        labelled = i % 3 < 2
        rows.append(
            {
                "id": i,
                "image_id": 7 + (i * 2) % 3,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [1.0 + i, 2, 30, 40],
                "area": 500 + i,
                "num_keypoints": 2 if labelled else 0,
                "keypoints": [5 + i, 6, 2, 7, 8.5, 1, 0, 0, 0] if labelled else [0] * 9,
                "segmentation": TRIANGLE,
                "attributes": {"names": [{"a": "}, {"}, {"b": '"\\'}]},
            }
        )
    category = {"id": 1, "name": "thing", "keypoints": ["nose", "left_x", "right_x"]}
    return {"info": {}, "images": images, "annotations": rows, "categories": [category]} | changes


def write(tmp_path: Path, value: Any, **options: Any) -> Path:
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(value, **options), encoding="utf-8")
    return file


@pytest.mark.parametrize("piece", [1, 50, 300, 3000, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_pieces_hold_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, indent: int | None
) -> None:
    monkeypatch.setattr(reading, "PIECE", piece)
    whole = content() | {
        "name": 'Zoë 人 \\ "',
        "after": [1, [2, {"x": []}]],
        "empty": [],
        "n": -1.5,
    }
    file = write(tmp_path, whole, indent=indent, ensure_ascii=False)
    found: dict[str, Any] = {}
    for part in read_pieces(file):
        if isinstance(part.value, list):
            assert part.first == len(found.setdefault(part.key, []))
            found[part.key] += part.value
        else:
            found[part.key] = part.value
    assert found == whole
    assert list(found) == list(whole)
    assert read_json(file) == whole


def test_long_lists_come_in_several_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 3000)
    rows = [{"a": i, "b": [1, 2, 3]} for i in range(2000)]
    pieces = list(read_pieces(write(tmp_path, rows)))
    assert len(pieces) > 10
    assert [row for piece in pieces for row in piece.value] == rows


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    text = json.dumps(content()).encode()
    (tmp_path / "gt.json").write_bytes(b"\xef\xbb\xbf" + text)
    (tmp_path / "gt.json.gz").write_bytes(gzip.compress(text))
    plain = load_coco(tmp_path / "gt.json", tmp_path)
    packed = load_coco(tmp_path / "gt.json.gz", tmp_path)
    assert len(plain) == 20
    parts = gzip.compress(text[:700]) + gzip.compress(text[700:])
    (tmp_path / "two.json.gz").write_bytes(parts)
    assert len(load_coco(tmp_path / "two.json.gz", tmp_path)) == 20
    np.testing.assert_array_equal(plain.keypoints, packed.keypoints)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b'{"images": [', "where the file ends"),
        (b'{"images": [{"id": 1},\n\n {"id": }]}', "line 3 column 9"),
        (b'{"images": [], "annotations": []} x', "Extra data"),
        (b'{"images" []}', "double quotes and a colon"),
        (b'{"images": [] "annotations": []}', "Expecting a comma"),
        (b'{"images": [], "annotations": [],}', "Expecting a key behind the comma"),
        pytest.param(
            gzip.compress(b"[" + b" " * (100 << 20)),
            "unpacks to more than 200 times its own size",
            id="a bomb",  # not the bytes, which hold the time
        ),
        (b'{"images": [{"file_name": "\xe9.jpg"}]}', "is not UTF-8 at byte 27"),
        (b"\x1f\x8b\x08broken", "damaged gzip"),
        (b"7", "must hold a JSON object or list"),
        (b"[" * 100_000, "not a JSON file"),
        (b"[]", "must be an object with `images`"),
        (b"{}", "no `images` and no `annotations`"),
    ],
)
def test_damaged_files(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "gt.json"
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=message) as caught:
        load_coco(file, tmp_path)
    assert str(file) in str(caught.value)


def test_cut_off_packed_file(tmp_path: Path) -> None:
    file = tmp_path / "gt.json.gz"
    file.write_bytes(gzip.compress(json.dumps(content()).encode())[:-40])
    with pytest.raises(DatasetError, match="damaged gzip"):
        load_coco(file, tmp_path)


@pytest.mark.parametrize("piece", [200, 1 << 20])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1.0] * 8}, "keypoints must be 9 numbers, got 8"),
        ({"keypoints": [float("nan")] * 9}, "keypoints holds NaN"),
        ({"keypoints": ["1"] * 9}, "keypoints must be a list of numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox must be 4 numbers"),
        ({"image_id": "7"}, "image_id must be an integer, got '7'"),
        ({"area": "big"}, "area must be a number from 0 on"),
        ({"iscrowd": 1, "segmentation": {"size": [60, 100], "counts": [5]}}, "add up to 5"),
        ({"iscrowd": 1, "segmentation": {"size": [6, 10], "counts": [60]}}, "6 x 10, the"),
        ({"iscrowd": 1, "segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "has a polygon with an odd"),
        ({"iscrowd": 1, "segmentation": [[1, 2, 3, 4, 5, "x"]]}, "not numbers up to"),
        ({"iscrowd": 1, "segmentation": 3}, "segmentation must be"),
    ],
)
def test_the_bad_record_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    message: str,
    piece: int,
) -> None:
    monkeypatch.setattr(reading, "PIECE", piece)
    value = content()
    value["annotations"][20] |= changes
    with pytest.raises(DatasetError, match=message) as caught:
        load_coco(write(tmp_path, value), tmp_path)
    assert "gt.json annotation 20 (id 20): " in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 8}, r"image 1 \(id 8\): duplicate id, of"),
        ({"file_name": 3}, r"image 0 \(id 7\): file_name must be text"),
        ({"width": 10**6}, r"image 0 \(id 7\): width and height must be 1 to 65536"),
        ({"height": -3}, r"image 0 \(id 7\): width and height must be"),
        ({"width": "100"}, r"image 0 \(id 7\): width must be an integer"),
    ],
)
def test_bad_images(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    value = content()
    value["images"][0] |= changes
    with pytest.raises(DatasetError, match=message):
        load_coco(write(tmp_path, value), tmp_path)


def test_what_is_missing_is_derived_and_said(tmp_path: Path) -> None:
    value = content()
    for row in value["annotations"]:
        for key in ("area", "iscrowd", "num_keypoints", "segmentation"):
            del row[key]
    del value["annotations"][0]["bbox"]
    persons = load_coco(write(tmp_path, value), tmp_path)
    assert len(persons) == 20
    text = "\n".join(persons.notices)
    for part in (
        "1 annotations have no bbox",
        "30 annotations have no iscrowd",
        "30 annotations have no num_keypoints",
        "10 annotations without labels have no segmentation",
        "30 annotations have no area",
    ):
        assert part in text
    row = persons.ids.tolist().index(0)  # keypoints from (5, 6) to (7, 8.5), a tenth wider
    np.testing.assert_allclose(persons.bbox_xyxy[row], [4.8, 5.75, 7.2, 8.75], rtol=1e-6)
    np.testing.assert_allclose(persons.area[row], max(1, 0.53 * 2.4 * 3), rtol=1e-5)
    regions = persons.regions
    assert regions is not None
    (mask,) = regions.rles(2, (100, 60))
    assert rle.toBbox(mask).tolist() == regions.bbox_xywh[2].tolist()


def test_order_is_by_picture_then_as_in_the_file(tmp_path: Path) -> None:
    persons = load_coco(write(tmp_path, content()), tmp_path)
    expected = [r["id"] for k in (7, 8, 9) for r in content()["annotations"] if r["image_id"] == k]
    assert persons.ids.tolist() == [number for number in expected if number % 3 < 2]


def test_masks_are_those_of_pycocotools(tmp_path: Path) -> None:
    value = content()
    flat = np.zeros((60, 100), np.uint8)
    flat[10:20, 5:50] = 1
    packed = rle.encode(np.asfortranarray(flat))
    changes: list[Any] = [
        {"iscrowd": 1, "segmentation": {"size": [60, 100], "counts": [600, 5000, 400]}},
        {"iscrowd": 1, "segmentation": {"size": [60, 100], "counts": packed["counts"].decode()}},
        {"num_keypoints": 0, "segmentation": [*TRIANGLE, [50, 5, 90.25, 7, 70, 55.5, 51, 30]]},
    ]
    for row, change in zip(value["annotations"], changes, strict=False):
        row |= change
    regions = load_coco(write(tmp_path, value), tmp_path).regions
    assert regions is not None
    assert len(regions) == 30
    for i, row in enumerate(value["annotations"]):
        is_ignored = bool(row["iscrowd"]) or row["num_keypoints"] == 0
        assert regions.is_ignored[i] == is_ignored
        own = regions.rles(i, (100, 60))
        if not is_ignored:
            assert own == []
            continue
        theirs = row["segmentation"]
        if not isinstance(theirs, dict) or isinstance(theirs["counts"], list):
            theirs = rle.frPyObjects(theirs, 60, 100)
        theirs = [theirs] if isinstance(theirs, dict) else theirs
        np.testing.assert_array_equal(rle.decode(own), rle.decode(theirs))


def test_other_categories_are_left_out(tmp_path: Path) -> None:
    value = content()
    value["categories"].append({"id": 2, "name": "chair"})
    for row in value["annotations"][::2]:
        row["category_id"] = 2
    persons = load_coco(write(tmp_path, value), tmp_path)
    assert set(persons.ids.tolist()) == {i for i in range(1, 30, 2) if i % 3 < 2}
    assert persons.regions is not None
    assert len(persons.regions) == 15
    assert len(persons.regions.rles(2, (100, 60))) == 1  # annotation 5
    assert any("15 annotations of other categories" in n for n in persons.notices)


@pytest.mark.parametrize("piece", [200, 1 << 20])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"annotations": [], "images": [], "annotations": []}', "the key 'annotations' twice"),
        ('{"images": [], "annotations": []} {"images": []}', "Extra data"),
        ('{"images": [{"id": 1, "file_name": "a", "id": 2}], "annotations": []}', "key 'id' twice"),
        ('{"images": [], "annotations": [{"id": 5, "bbox": [], "bbox": []}]}', "key 'bbox' twice"),
    ],
)
def test_what_json_readers_drop_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str, piece: int
) -> None:
    monkeypatch.setattr(reading, "PIECE", piece)
    file = tmp_path / "gt.json"
    file.write_text(text)
    with pytest.raises(DatasetError, match=message):
        load_coco(file, tmp_path)
    with pytest.raises(DatasetError, match=message):
        read_json(file)


def test_keys_twice_in_a_long_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 500)
    text = json.dumps(content(200))
    file = tmp_path / "gt.json"
    file.write_text(text.replace('"id": 77,', '"id": 77, "bbox": [0, 0, 1, 1],'))
    with pytest.raises(DatasetError, match="with the id 77 has the key 'bbox' twice"):
        load_coco(file, tmp_path)


def test_images_and_annotations_that_do_not_meet(tmp_path: Path) -> None:
    value = content()
    value["images"].append(value["images"][1])
    value["annotations"][0]["image_id"] = 99
    value["annotations"][1]["id"] = None
    persons = load_coco(write(tmp_path, value), tmp_path)
    assert len(persons.image_ids) == 3
    assert len(persons) == 19
    text = "\n".join(persons.notices)
    assert "1 images are listed twice, id 8 for one" in text
    assert "1 annotations left out, whose image_id is not in `images`: annotation ids 0" in text
    assert "1 annotations have no id: numbered" in text
    assert 30 in persons.ids
    for row in value["annotations"]:
        row["image_id"] = 99
    with pytest.raises(DatasetError, match=r"of the images 99, 99, .*none of which is in `images`"):
        load_coco(write(tmp_path, value), tmp_path)
