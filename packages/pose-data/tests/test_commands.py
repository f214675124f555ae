"""The command line, on synthetic people."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_data import BottomUp, load_aic, load_coco
from pose_data.__main__ import main
from pose_data.commands import show, synth
from pose_data.images.depth import FEWEST, MOST
from pose_data.images.headers import EXIFS
from pose_data.samples.pixels import PIXELS
from pose_data.samples.scene import SceneAugmentation
from pose_data.skeleton import SKELETONS
from pose_data.view.gallery import augmented_samples
from pose_data.view.stats import statistics

# pycocotools 2.0.11 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "hard"
    options = ["--train", "8", "--val", "3", "--size", "200x150", "--seed", "2", "--hard"]
    assert main(["synth", str(out), *options]) == 0
    return out


def train(data: Path) -> list[str]:
    return [str(data / "annotations/person_keypoints_train2017.json"), str(data / "train2017")]


def test_check(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, images = train(data)
    assert main(["check", file, "--images", images]) == 0
    assert capsys.readouterr().out.endswith(f"{file}: 0 errors, 0 warnings\n")
    content = json.loads(Path(file).read_text())
    content["annotations"][0]["category_id"] = 3
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    assert main(["check", str(bad)]) == 1
    assert "error wrong-category (1)" in capsys.readouterr().out
    assert main(["check", str(bad), "--format", "json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["slug"], row["count"], row["error"]) == ("wrong-category", 1, True)
    assert main(["check", str(tmp_path / "none.json")]) == 1


class Page(HTMLParser):
    """Collect tags, and refuse what would be loaded from elsewhere or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert tag not in ("script", "link", "iframe")
        for name, value in attrs:
            assert name not in ("src", "href") or (value or "").startswith("data:")
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_stats(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    persons = load_coco(*train(data))
    found = statistics(persons)
    assert found.counts.sum(axis=1).tolist() == [len(persons)] * 17
    assert found.per_image.sum() == len(persons)
    assert main(["stats", *train(data), "-o", str(tmp_path / "new" / "stats.html")]) == 0
    text = capsys.readouterr().out
    seen = int((persons.visible[:, 0] == 2).sum())
    assert f"nose              {seen:>7}" in text
    left_out = re.search(r"(\d+) crowds, (\d+) persons without labels", text)
    assert left_out is not None
    assert sum(map(int, left_out.groups())) + len(persons) == len(persons.regions or [])
    page = parsed(tmp_path / "new" / "stats.html")
    assert page.tags.count("svg") == 6
    assert page.tags.count("rect") > 100


def test_stats_of_nobody(tmp_path: Path, data: Path) -> None:
    content = json.loads(Path(train(data)[0]).read_text())
    file = tmp_path / "nobody.json"
    file.write_text(json.dumps(content | {"annotations": []}))
    assert main(["stats", str(file), train(data)[1], "-o", str(tmp_path / "page.html")]) == 0
    parsed(tmp_path / "page.html")
    assert main(["show", str(file), train(data)[1], "-o", str(tmp_path / "show.html")]) == 1


def test_show(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--pictures", "3", "--samples", "2", "--draws", "2", "--input-size", "48x64"]
    assert main(["show", *train(data), "-o", str(tmp_path / "a.html"), *options]) == 0
    page = parsed(tmp_path / "a.html")
    assert page.tags.count("img") == 3 + 2, "the draws of a person are one image"
    text = (tmp_path / "a.html").read_text()
    assert "the person&#x27;s left" in text
    assert re.search(r"<figcaption>\d{12}\.jpg, annotation id \d+<", text)
    assert "image id" not in text
    assert main(["show", *train(data), "-o", str(tmp_path / "a.png"), *options]) == 0
    assert cv2.imread(str(tmp_path / "a.png")).std() > 10
    changed = [*options, "--pixels", "noise", "erase"]
    assert main(["show", *train(data), "-o", str(tmp_path / "changed.png"), *changed]) == 0
    sheets = [cv2.imread(str(tmp_path / f"{name}.png")) for name in ("a", "changed")]
    assert (sheets[0] != sheets[1]).any()
    assert main(["show", *train(data), "-o", str(tmp_path / "a.tiff"), *options]) == 1
    assert "end it with .html, .png or .jpg" in capsys.readouterr().err
    ids = load_coco(*train(data)).ids[:1].tolist()
    one = ["--ids", str(ids[0]), "--draws", "1"]
    assert main(["show", *train(data), "-o", str(tmp_path / "b.html"), *one]) == 0
    assert parsed(tmp_path / "b.html").tags.count("img") == 2
    assert main(["show", *train(data), "-o", str(tmp_path / "b.html"), "--ids", "77777"]) == 1


def test_show_whole_pictures_as_samples(data: Path, tmp_path: Path) -> None:
    options = ["--pictures", "2", "--samples", "1", "--draws", "3", "--input-size", "64x64"]
    page = tmp_path / "page.html"
    assert main(["show", *train(data), "-o", str(page), *options, "--bottom-up"]) == 0
    assert parsed(page).tags.count("img") == 2 + 1

    far = SceneAugmentation(flip_prob=0, rotate=0, scale=(3, 3), translate=0)
    persons = load_coco(*train(data))
    (shown,) = augmented_samples(BottomUp(persons, (64, 64), [(64, 64)], augment=far), [0], 1)
    assert shown.image[0, 0].tolist() == [100, 30, 100], "the loss does not look beside the picture"
    assert shown.image[32, 32].tolist() != [100, 30, 100]


def test_aic_and_its_conversion(tmp_path: Path) -> None:
    out = tmp_path / "aic"
    assert (
        main(["synth", str(out), "--train", "3", "--val", "1", "--aic", "--size", "160x120"]) == 0
    )
    file, images = out / "keypoint_train_annotations.json", out / "keypoint_train_images"
    converted = tmp_path / "aic_train.json"
    assert main(["convert", str(file), str(converted), "--images", str(images)]) == 0
    assert main(["check", str(converted), "--images", str(images)]) == 0
    original, again = load_aic(file, images), load_aic(converted, images)
    assert (original.keypoints == again.keypoints).all()
    assert (original.visible == again.visible).all()
    assert set(original.visible.ravel().tolist()) == {0, 1, 2}
    assert main(["stats", str(file), str(images)]) == 0


@pytest.mark.parametrize("keypoints", ["3", "8", "9", "18"])
def test_a_skeleton_of_its_own(tmp_path: Path, keypoints: str) -> None:
    out = tmp_path / "custom"
    options = ["--train", "2", "--val", "1", "--size", "160x120", "--keypoints", keypoints]
    assert main(["synth", str(out), *options]) == 0
    persons = load_coco(*train(out))
    assert persons.skeleton.num_keypoints == int(keypoints)
    alone = {"nose", "neck"} & set(persons.skeleton.keypoints)
    assert 2 * len(persons.skeleton.flip_pairs) + len(alone) == int(keypoints)
    assert main(["check", train(out)[0]]) == 0


def test_split(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = train(data)[0]
    assert main(["split", file, str(tmp_path), "--val", "0.25"]) == 0
    whole = json.loads(Path(file).read_text())
    parts = [
        json.loads((tmp_path / f"person_keypoints_train2017_{name}.json").read_text())
        for name in ("train", "val")
    ]
    assert [len(part["images"]) for part in parts] == [6, 2]
    for key in ("images", "annotations"):
        together = sorted((row for part in parts for row in part[key]), key=lambda row: row["id"])
        assert together == whole[key]
    for part in parts:
        assert {a["image_id"] for a in part["annotations"]} <= {i["id"] for i in part["images"]}
        assert part["categories"] == whole["categories"]
    assert main(["split", file, str(tmp_path)]) == 1
    assert "exists; nothing was written" in capsys.readouterr().err


def test_a_split_that_was_killed_can_be_done_again(data: Path, tmp_path: Path) -> None:
    """One of the two files is there already, and is what would be written."""
    command = ["split", str(data / "annotations/person_keypoints_train2017.json"), str(tmp_path)]
    assert main(command) == 0
    first, second = sorted(tmp_path.iterdir())
    for path in (first, second):
        content = path.read_bytes()
        path.unlink()
        assert main(command) == 0
        assert path.read_bytes() == content
    second.unlink()
    first.write_bytes(b"mine")
    assert main(command) == 1
    assert (first.read_bytes(), second.exists()) == (b"mine", False)
    assert main([*command, "--seed", "5"]) == 1


def test_split_loses_nothing_silently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"images": images, "annotations": [{"id": 1, "image_id": 9}]}))
    assert main(["split", str(file), str(tmp_path / "new")]) == 1
    assert "annotation 0: image_id 9 is not in `images`" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_split_keeps_groups_together(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"video{i % 4}_{i}.jpg"} for i in range(40)]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"images": images, "annotations": []}))
    assert main(["split", str(file), str(tmp_path), "--group", "^(.+)_", "--val", "0.5"]) == 0
    names = []
    for part in ("train", "val"):
        content = json.loads((tmp_path / f"all_{part}.json").read_text())
        names.append({image["file_name"].split("_")[0] for image in content["images"]})
        assert len(content["images"]) == 20
    assert not names[0] & names[1]
    other = ["split", str(file), str(tmp_path / "new"), "--group", "(nothing)"]
    assert main(other) == 1
    assert main(["split", str(file), str(tmp_path / "new"), "--val", "1.5"]) == 1


def test_split_keeps_one_picture_under_two_ids_together(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"sub/{i % 5}.jpg"} for i in range(10)]
    images[7]["file_name"] = "sub\\2.jpg"
    file = tmp_path / "all.json"
    rows = [{"id": i, "image_id": i} for i in range(10)]
    file.write_text(json.dumps({"images": images, "annotations": rows, "licenses": [1]}))
    assert main(["split", str(file), str(tmp_path), "--val", "0.4"]) == 0
    sides = [json.loads((tmp_path / f"all_{part}.json").read_text()) for part in ("train", "val")]
    numbers = [{image["id"] % 5 for image in side["images"]} for side in sides]
    assert (len(numbers[0]), len(numbers[1])) == (3, 2)
    assert not numbers[0] & numbers[1]
    assert [len(side["annotations"]) for side in sides] == [6, 4]
    assert sides[0]["licenses"] == [1]


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [], "annotations": []} {"images": [], "annotations": []}',
        '{"images": [], "annotations": [], "annotations": [{"id": 1}]}',
        '{"images": [{"id": null}, {"id": 2}], "annotations": []}',
        '{"images": [{"id": 1}, 2], "annotations": []}',
    ],
)
def test_split_refuses_what_it_would_lose(tmp_path: Path, text: str) -> None:
    file = tmp_path / "all.json"
    file.write_text(text)
    assert main(["split", str(file), str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", [[], ["fly"], ["synth"], ["synth", "x", "--size", "3"]])
def test_bad_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_bad_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(tmp_path / "none.json"), str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["synth", str(tmp_path / "x"), "--keypoints", "99"]) == 1
    assert "keypoints must be 3 to 18, got 99" in capsys.readouterr().err


def test_names_in_pages_are_text_not_markup(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    name = evil.replace("/", "_")
    black = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1]
    (tmp_path / name).write_bytes(black.tobytes())
    image = {"id": 1, "file_name": name, "width": 64, "height": 48}
    row = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 30, 30, 2]}
    category = {
        "id": 1,
        "name": f"{evil}\ud800",  # half a character
        "keypoints": [f"a{evil}", f"b{evil}"],
        "skeleton": [[1, 2]],
    }
    content = {"images": [image], "annotations": [row], "categories": [category]}
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    for command in ("show", "stats"):
        page = tmp_path / f"{command}.html"
        assert main([command, str(file), str(tmp_path), "-o", str(page)]) == 0
        assert "img" not in parsed(page).tags or command == "show"


def test_the_choices_of_help_are_those_of_the_code() -> None:
    assert sorted(SKELETONS) == list(synth._SKELETONS)
    assert sorted(PIXELS) == list(show._PIXELS)
    assert show._EXIFS == EXIFS
    assert (FEWEST, MOST) == (8, 16)
