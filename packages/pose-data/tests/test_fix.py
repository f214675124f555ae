"""pose-data fix, merge and filter: plain content repaired, joined and chosen from."""

import json
from pathlib import Path
from typing import Any

import pytest

from pose_data import load_coco
from pose_data.__main__ import main
from pose_data.fix import repair

POINTS = [310, 95, 2, 330, 80, 1, 0, 0, 0]


def image(number: Any, name: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name or f"{number}.jpg", "width": 640, "height": 480} | more


def row(number: Any, image_id: Any = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": POINTS,
        "bbox": [300, 70, 40, 40],
        "area": 900,
        "iscrowd": 0,
        "num_keypoints": 2,
        **more,
    }


def content(images: list[Any], rows: list[Any], **more: Any) -> dict[str, Any]:
    names = ["nose", "ear_left", "ear_right"]
    category = {"id": 1, "name": "mouse", "keypoints": names, "skeleton": [[1, 2], [1, 3]]}
    return {"images": images, "annotations": rows, "categories": [category]} | more


def write(path: Path, what: Any) -> str:
    path.write_text(json.dumps(what))
    return str(path)


def test_a_good_file_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = content(
        [image(7, license=3)],
        [row(5, 7, attributes={"sex": "f"}, segmentation=[[1, 2, 3, 4, 5, 6]])],
        info={"year": 2026},
        licenses=[{"id": 3}],
    )
    out = tmp_path / "out.json"
    assert main(["fix", write(tmp_path / "in.json", good), str(out)]) == 0
    assert json.loads(out.read_text()) == good
    assert "nothing to repair" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["fix", str(out), str(out)])
    assert caught.value.code == 2
    assert json.loads(out.read_text()) == good


def test_ids(tmp_path: Path) -> None:
    """Text, equal, missing and odd ids are numbered anew; references follow."""
    images = [
        image("a", "a.jpg"),
        image("12", "b.jpg"),
        image(7.0, "c.jpg"),
        image(None, "d.jpg"),
        image(2**70, "e.jpg"),
        image(True, "f.jpg"),
    ]
    rows = [row(i, image_id) for i, image_id in ((4, "a"), (4, 12), (None, "7"), ("x", 2**70))]
    result, done = repair(content(images, rows))
    assert [i["id"] for i in result["images"]] == [13, 12, 7, 14, 15, 16]
    assert [a["image_id"] for a in result["annotations"]] == [13, 12, 7, 15]
    assert [a["id"] for a in result["annotations"]] == [5, 4, 6, 7]
    assert done == {"image ids numbered anew": 6, "annotation ids numbered anew": 3}


def test_images_listed_twice() -> None:
    images = [
        image(1, "a.jpg", height=None),
        image(2, "b.jpg"),
        image(3, "a.jpg"),
        image(2, "c.jpg"),
    ]
    rows = [row(1, 1), row(2, 2), row(3, 3, keypoints=[5, 6, 2, 7, 8, 2, 0, 0, 0]), row(4, 9)]
    result, done = repair(content(images, rows))
    assert [(i["id"], i["file_name"]) for i in result["images"]] == [
        (1, "a.jpg"),
        (3, "b.jpg"),  # of equal ids the last counts, as for pycocotools
        (2, "c.jpg"),
    ]
    assert [(a["id"], a["image_id"]) for a in result["annotations"]] == [(1, 1), (2, 2), (3, 1)]
    assert done["images merged with another of the same file"] == 1
    assert done["annotations of unknown images or categories dropped"] == 1


def test_what_is_missing_is_derived() -> None:
    bare = {"image_id": 1, "category_id": 1, "keypoints": POINTS}
    nulls = row(9, keypoints=None, bbox=None, area=None, iscrowd=None, num_keypoints=None)
    wrong = row(10, num_keypoints=-1, area=None, keypoints=[1, 2, 2] * 3, bbox=[])
    odd = row(11, keypoints=["a"] * 9)
    no_box = row(12, bbox=True, keypoints=[5, 6, 2] * 3)
    result, done = repair(content([image(1)], [bare, nulls, wrong, odd, no_box]))
    first, second, third, fourth, fifth = result["annotations"]
    assert first["bbox"] == [308, 78.5, 24, 18]  # the extent, a tenth wider on each side
    assert first["area"] == pytest.approx(0.53 * 24 * 18)
    assert (first["id"], first["num_keypoints"], first["iscrowd"]) == (13, 2, 0)
    assert (second["keypoints"], second["bbox"], second["area"]) == ([0] * 9, [0, 0, 0, 0], 0)
    assert (third["num_keypoints"], third["bbox"]) == (3, [1, 2, 0, 0])
    assert fourth["keypoints"] == ["a"] * 9
    assert fifth["bbox"] is True, "`check` says what it is"
    assert done["annotations left alone: keypoints are not x, y, v (see `pose-data check`)"] == 1
    assert done["boxes derived from the keypoints"] == 3
    assert done["of them without a size: one keypoint"] == 1


def test_doubles_and_categories() -> None:
    crowd = {"keypoints": [0] * 9, "num_keypoints": 0, "iscrowd": 1}
    rows = [
        *(row(1), row(2), row(3, category_id="1"), row(4, category_id=None)),  # all the same
        *(row(5, category_id=5), row(6, 2)),
        *(row(7, **crowd), row(8, **crowd, bbox=[1, 2, 3, 4]), row(9, **crowd)),
    ]
    links = [[1, 2], [2, 2], [3, 4], "x", [1, 3, 2]]
    whole = content([image(1), image(2)], rows)
    whole["categories"][0]["skeleton"] = links
    result, done = repair(whole)
    assert [a["id"] for a in result["annotations"]] == [1, 6, 7, 8]
    assert done["exact duplicates dropped"] == 4
    assert done["annotations of unknown images or categories dropped"] == 1
    assert result["categories"][0]["skeleton"] == [[1, 2]]
    assert done["wrong skeleton links dropped"] == 4
    whole["categories"][0]["skeleton"] = [[0, 1], [0, 2]]
    assert repair(whole)[0]["categories"][0]["skeleton"] == [[1, 2], [1, 3]]
    whole["categories"] = [{"name": "mouse", "keypoints": ["a", "b", "c"]}]
    whole["annotations"] = [row(1, category_id=3)]
    assert repair(whole)[0]["categories"][0]["id"] == 3
    del whole["categories"]
    assert repair(whole)[0]["annotations"] == whole["annotations"]


@pytest.mark.parametrize(
    ("name", "prefix", "plain"),
    [
        ("images\\sub\\a.jpg", "", "images/sub/a.jpg"),
        ("/data/set/a.jpg", "/data/set", "a.jpg"),
        ("https://x.org/set/a.jpg", "https://x.org/set/", "a.jpg"),
        ("C:\\set\\a.jpg", "C:\\set", "a.jpg"),
        ("/other/a.jpg", "/data", "/other/a.jpg"),
    ],
)
def test_file_names(name: str, prefix: str, plain: str, tmp_path: Path) -> None:
    file, out = tmp_path / "in.json", tmp_path / "out.json"
    write(file, content([image(1, name)], [row(1)]))
    assert main(["fix", str(file), str(out), "--strip-prefix", prefix]) == 0
    assert json.loads(out.read_text())["images"][0]["file_name"] == plain


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([], "needs a list of objects `images`"),
        ({"images": [], "annotations": [3]}, "needs a list of objects `annotations`"),
        ({"images": {}, "annotations": []}, "needs a list of objects `images`"),
        ({"images": [], "annotations": [], "categories": 3}, "`categories`"),
    ],
)
def test_what_cannot_be_fixed(
    tmp_path: Path, what: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fix", write(tmp_path / "in.json", what), str(tmp_path / "out.json")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_a_fixed_file_is_clean(tmp_path: Path) -> None:
    bad = content([image("a"), image("a"), image("b")], [row(1, "a"), row(1, "b"), row(1, "c")])
    for annotation in bad["annotations"]:
        for key in ("bbox", "area", "iscrowd", "num_keypoints"):
            del annotation[key]
    out = tmp_path / "out.json"
    assert main(["check", write(tmp_path / "in.json", bad)]) == 1
    assert main(["fix", str(tmp_path / "in.json"), str(out)]) == 0
    assert main(["check", str(out)]) == 0
    assert len(load_coco(out, tmp_path)) == 2


def test_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = content(
        [image(1)], [row(1, attributes={"n": 1})], info={"a": 1}, licenses=[{"id": 1, "name": "x"}]
    )
    b = content([image(1, "2.jpg", license=1)], [row(1), row(2, bbox=None)], licenses=a["licenses"])
    b["categories"][0]["id"] = 4
    b["categories"].append({"id": 9, "name": "cat", "keypoints": ["nose"]})
    b["annotations"] = [row(1, category_id=4), row(2, category_id=9, keypoints=[1, 2, 2], bbox=[])]
    files = [write(tmp_path / f"{name}.json", what) for name, what in (("a", a), ("b", b))]
    assert main(["merge", *files, "-o", str(tmp_path / "out.json")]) == 0
    out = json.loads((tmp_path / "out.json").read_text())
    assert [i["id"] for i in out["images"]] == [1, 2]
    assert [(r["id"], r["image_id"], r["category_id"]) for r in out["annotations"]] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 2, 2),
    ]
    assert [c["name"] for c in out["categories"]] == ["mouse", "cat"]
    assert (out["info"], out["licenses"]) == ({"a": 1}, [{"id": 1, "name": "x"}])
    assert out["annotations"][0]["attributes"] == {"n": 1}
    printed = capsys.readouterr().out
    assert "2 images" in printed
    assert "1 boxes derived" in printed


def test_merge_refuses_what_could_be_mixed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, out = write(tmp_path / "a.json", content([image(1)], [row(1)])), tmp_path / "out.json"
    b = content([image(1)], [row(1, keypoints=[9, 9, 2, 8, 7, 2, 6, 6, 1])])
    b["categories"][0]["skeleton"] = []
    words = ["merge", a, write(tmp_path / "b.json", b), "-o", str(out)]
    assert main(words) == 1
    assert f"1.jpg is in {a} and" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--prefix", ".", "."]) == 0  # the same image
    assert [len(json.loads(out.read_text())[k]) for k in ("images", "annotations")] == [1, 2]
    out.unlink()
    assert main([*words, "--prefix", "a", "b/"]) == 0  # two of that name
    names = [i["file_name"] for i in json.loads(out.read_text())["images"]]
    assert names == ["a/1.jpg", "b/1.jpg"]
    out.unlink()
    assert main([*words, "--prefix", "a"]) == 1
    b["categories"][0]["keypoints"][0] = "snout"
    write(tmp_path / "b.json", b)
    assert main([*words, "--prefix", "a", "b"]) == 1
    assert "category mouse has other keypoints" in capsys.readouterr().err


def test_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = content(
        [image(1), image(2), image(3), image(4)],
        [
            row(1),
            row(2, 2, keypoints=[1, 2, 2, *[0] * 6], num_keypoints=0),
            row(3, 3, category_id=2, keypoints=[1, 2, 2]),
            row(4, 1, keypoints=[0] * 9, iscrowd=1),
        ],
        licenses=[1],
    )
    whole["categories"].append({"id": 2, "name": "cat", "keypoints": ["nose"]})
    file, out = write(tmp_path / "in.json", whole), tmp_path / "out.json"

    def kept(*words: str) -> tuple[list[int], list[int], list[str]]:
        out.unlink(missing_ok=True)
        assert main(["filter", file, str(out), *words]) == 0
        result = json.loads(out.read_text())
        assert result["licenses"] == [1]
        return (
            [i["id"] for i in result["images"]],
            [r["id"] for r in result["annotations"]],
            [c["name"] for c in result["categories"]],
        )

    assert kept("--categories", "mouse") == ([1, 2, 3, 4], [1, 2, 4], ["mouse"])
    assert kept("--categories", "2, mouse") == ([1, 2, 3, 4], [1, 2, 3, 4], ["mouse", "cat"])
    assert kept("--min-keypoints", "2") == ([1, 2, 3, 4], [1, 4], ["mouse", "cat"])
    assert kept("--drop-empty-images") == ([1, 2, 3], [1, 2, 3, 4], ["mouse", "cat"])
    assert kept("--min-keypoints", "2", "--drop-empty-images")[0] == [1]
    assert "3 images dropped" in capsys.readouterr().out
    out.unlink()
    assert main(["filter", file, str(out), "--categories", "dog"]) == 1
    assert "has no category dog; it has mouse, cat" in capsys.readouterr().err
    assert not out.exists()


def test_ctrl_c_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    file = write(tmp_path / "in.json", content([image(1)], [row(1)]))
    monkeypatch.setattr("pose_data.writing.os.replace", stop)
    assert main(["fix", file, str(tmp_path / "out.json")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]
    assert "stopped" in capsys.readouterr().err
