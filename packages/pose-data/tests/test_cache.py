"""The arrays that are kept beside a large annotation file."""

import json
import os
import shutil
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import Regions, load_coco
from pose_data.formats import cache as cache_module
from pose_data.formats import json as reading
from pose_data.formats.cache import cache_path

# pycocotools 2.0.11 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def content(count: int = 30) -> dict[str, Any]:
    """Return a file of some persons in three images; every third has no labels."""
    images = [{"id": 7 + i, "file_name": f"{i}.jpg", "width": 100, "height": 60} for i in range(3)]
    rows = [
        {
            "id": i,
            "image_id": 7 + (i * 2) % 3,
            "category_id": 1,
            "bbox": [1.0 + i, 2, 30, 40],
            "keypoints": [5 + i, 6, 2, 7, 8.5, 1, 0, 0, 0] if i % 3 < 2 else [0] * 9,
            "segmentation": [[10, 10, 30, 10, 20, 30.5]],
        }
        for i in range(count)
    ]
    category = {"id": 1, "name": "thing", "keypoints": ["nose", "left_x", "right_x"]}
    return {"images": images, "annotations": rows, "categories": [category]}


def write(tmp_path: Path, value: Any, **options: Any) -> Path:
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(value, **options), encoding="utf-8")
    return file


def test_the_cache_holds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())
    first = load_coco(file, tmp_path)
    assert cache_path(file).is_file()
    monkeypatch.setattr(reading, "read_bytes", None)  # now reading JSON would fail
    again = load_coco(file, tmp_path)
    for field in fields(type(first)):
        if field.name == "categories":
            assert first.categories == again.categories
        elif field.name != "regions":
            np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    for field in fields(Regions):
        np.testing.assert_array_equal(
            getattr(first.regions, field.name), getattr(again.regions, field.name)
        )
    assert [path.name for path in tmp_path.iterdir()] == unordered("gt.json", "gt.json.cache.npz")


def unordered(*names: str) -> Any:
    class Same:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, list) and sorted(other) == sorted(names)

    return Same()


def test_an_outdated_or_damaged_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())
    assert len(load_coco(file, tmp_path)) == 20
    write(tmp_path, content(12))
    assert len(load_coco(file, tmp_path)) == 8
    same_size = content(12)
    same_size["annotations"][10]["id"] = 99
    before = file.stat()
    write(tmp_path, same_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file.stat().st_size == before.st_size
    assert 99 in load_coco(file, tmp_path).ids
    data = cache_path(file).read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"junk", data[:200] + bytes(50) + data[250:]):
        cache_path(file).write_bytes(damaged)
        assert len(load_coco(file, tmp_path)) == 8


def test_any_bit_of_a_cache_may_flip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that says that it is packed in some way, or locked."""
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())
    ids = load_coco(file, tmp_path).ids
    whole = cache_path(file).read_bytes()
    directory = whole.index(b"PK\x01\x02")
    for place in range(directory, directory + 46):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            cache_path(file).write_bytes(damaged)
            np.testing.assert_array_equal(load_coco(file, tmp_path).ids, ids)


def test_a_cache_with_objects_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())
    load_coco(file, tmp_path)
    with np.load(cache_path(file)) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays["file_names"] = np.array([Bomb()], object)
    np.savez(cache_path(file), **arrays)
    assert len(load_coco(file, tmp_path)) == 20


class Bomb:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickled object was loaded",)


def test_the_cache_keeps_no_sizes_of_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    value = content()
    for image in value["images"]:
        del image["width"], image["height"]
    file = write(tmp_path, value)
    for folder, size in (("large", (100, 60)), ("small", (50, 30))):
        (tmp_path / folder).mkdir()
        for i in range(3):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            cv2.imwrite(str(tmp_path / folder / f"{i}.jpg"), pixels)
    for folder, size in (("large", (100, 60)), ("small", (50, 30)), ("small", (50, 30))):
        assert (load_coco(file, tmp_path / folder).image_sizes == size).all()


def test_no_cache_where_none_is_wanted_or_worth_it(tmp_path: Path) -> None:
    file = write(tmp_path, content())
    load_coco(file, tmp_path)  # small
    load_coco(file, tmp_path, cache=False)
    assert not cache_path(file).exists()


def test_a_cache_that_cannot_be_written_is_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pose_data.writing.tempfile.mkstemp", refuse)
    persons = load_coco(file, tmp_path)
    assert len(persons) == 20
    said = "no cache beside it, it is parsed each time: Permission denied"
    assert any(notice.endswith(said) for notice in persons.notices)


@pytest.mark.skipif(os.name == "nt", reason="modes of files are those of POSIX")
def test_the_cache_can_be_read_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())
    load_coco(file, tmp_path)
    assert stat.S_IMODE(cache_path(file).stat().st_mode) == 0o644


def test_a_cache_from_elsewhere_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing checks what is in it, and an archive can give files any time of modification."""
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    file = write(tmp_path, content())
    load_coco(file, tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path, copy)  # with the times of modification
    assert (copy / "gt.json").stat().st_mtime_ns == file.stat().st_mtime_ns
    monkeypatch.setattr(reading, "read_bytes", lambda path: pytest.fail("it is read, as it should"))
    with pytest.raises(pytest.fail.Exception, match="as it should"):
        load_coco(copy / "gt.json", tmp_path)
