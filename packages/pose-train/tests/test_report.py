"""The page about a run: numbers beside the published ones, curves, worst images."""

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import load_coco, synthesize
from pose_data.persons import Persons
from pose_eval import Report
from pose_train.config.load import load_config, to_yaml
from pose_train.config.schema import Config
from pose_train.files.write import RunDirError
from pose_train.inference.evaluate import evaluate_rows
from pose_train.report.images import draw_pair, find_mistakes, spread, worst
from pose_train.report.page import write_report
from pose_train.report.published import published_row

Rows = list[dict[str, Any]]
ZOO_ROW = "higherhrnet_w32_coco_512x512"


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> Persons:
    """Ten drawn pictures with some persons each."""
    root = tmp_path_factory.mktemp("report") / "data"
    synthesize(root, num_train=1, num_val=10, image_size=(120, 90), seed=5)
    return load_coco(root / "annotations/person_keypoints_val2017.json", root / "val2017")


def perfect(persons: Persons) -> Rows:
    """Result rows that say what is annotated, all with one score."""
    poses = np.concatenate([persons.keypoints, np.ones_like(persons.visible)[..., None]], axis=-1)
    return [
        {
            "image_id": int(persons.image_ids[picture]),
            "category_id": 1,
            "keypoints": pose.ravel().tolist(),
            "score": 0.5,
        }
        for pose, picture in zip(poses, persons.image_index, strict=True)
    ]


def spoilt(persons: Persons) -> tuple[Rows, int]:
    """Rows of which one picture has none, another a confident one too many; return the one's id."""
    rows = perfect(persons)
    empty, crowded = (int(persons.image_ids[persons.image_index[i]]) for i in (0, -1))
    assert empty != crowded
    rows = [row for row in rows if row["image_id"] != empty]
    away = np.array(rows[-1]["keypoints"]).reshape(-1, 3) + np.array([500.0, 500.0, 0.0])
    extra = {**rows[-1], "keypoints": away.ravel().tolist(), "score": 0.9}
    return [*rows, extra, {**extra, "score": 0.1}], empty


def reported(tmp_path: Path, persons: Persons, config: Config) -> tuple[Path, str, Report]:
    rows, _ = spoilt(persons)
    evaluation = evaluate_rows(rows, persons)
    run_dir = tmp_path / "run <1>"
    run_dir.mkdir(exist_ok=True)
    (run_dir / "config.yaml").write_text(to_yaml(config))
    train = {"kind": "train", "step": 1, "lr": 1e-3, "loss": 0.5, "images_per_s": 9.0}
    if config.recipe == "bottomup":
        train |= {"heatmap_loss": 0.4, "push_loss": 0.06, "pull_loss": 0.04}
    records = [
        r | {"epoch": e} for e in (1, 2) for r in (train, {"kind": "val"} | evaluation.stats)
    ]
    page = write_report(run_dir, config, records, evaluation, persons)
    return page, page.read_text(encoding="utf-8"), evaluation


def test_mistakes_are_found_and_named(tmp_path: Path, persons: Persons) -> None:
    rows, empty = spoilt(persons)
    evaluation = evaluate_rows(rows, persons)
    here = persons.image_ids[persons.image_index]
    mistakes = find_mistakes(evaluation)
    assert evaluation.gt.ids[mistakes.missed].tolist() == persons.ids[here == empty].tolist()
    assert mistakes.wrong.tolist() == [len(rows) - 2], "the one with a low score costs little"
    assert [row["image_id"] for row in worst(evaluation, 8)] == [empty], "the others lose nothing"
    ids = [row["image_id"] for row in spread(evaluation, 4)]
    assert len(set(ids)) == 4
    assert ids[0] == evaluation.gt.image_ids[0]
    _, text, _ = reported(tmp_path, persons, load_config("demo"))
    missed = int((here == empty).sum())
    words = "1 person" if missed == 1 else f"{missed} persons"
    assert f"mean OKS 0.00, {missed} of {words} missed</figcaption>" in text
    assert text.count(" missed</figcaption>") == 2, "among those spread over the set, and the worst"
    assert text.count("1 confident detection of nobody</figcaption>") == 1


def test_red_boxes_stand_at_the_mistakes(persons: Persons) -> None:
    rows, empty = spoilt(persons)
    evaluation = evaluate_rows(rows, persons)
    mistakes = find_mistakes(evaluation)
    none = mistakes._replace(missed=mistakes.missed[:0])
    pair, plain = (draw_pair(evaluation, persons, empty, m) for m in (mistakes, none))
    width = pair.shape[1] // 2
    changed = (pair != plain).any(axis=2)
    assert changed[:, :width].any()
    assert not changed[:, width:].any()
    y, x = np.nonzero(changed)
    here = persons.image_ids[persons.image_index] == empty
    points = persons.keypoints[here][persons.visible[here] > 0]
    assert x.min() <= points[:, 0].min()
    assert y.max() >= min(points[:, 1].max(), pair.shape[0] - 1)


def test_the_published_row_stands_beside_ours(tmp_path: Path, persons: Persons) -> None:
    config = load_config(ZOO_ROW, ["eval.multi_scale=[2, 1, 0.5]"])
    _, text, evaluation = reported(tmp_path, persons, config)
    theirs = published_row(config, persons.skeleton)
    assert theirs is not None
    assert theirs["AP"] != published_row(load_config(ZOO_ROW), persons.skeleton)["AP"]  # type: ignore[index]
    cells = text.partition("<td>published</td>")[2].partition("</tr>")[0]
    shown = [cell for cell in cells.replace("<td>", "").split("</td>") if cell]
    assert shown == [f"{value:.3f}" for value in theirs.values()]
    ours = evaluation.stats["AP"]
    assert ours is not None
    assert f"<td>{ours - theirs['AP']:+.3f}</td>" in text
    assert "scales 2, 1, 0.5" in text


def test_what_is_not_comparable_has_no_published_row(tmp_path: Path, persons: Persons) -> None:
    assert published_row(load_config("demo"), persons.skeleton) is None
    mice = replace(persons.skeleton, keypoints=("tail", *persons.skeleton.keypoints[1:]))
    assert published_row(load_config(ZOO_ROW), mice) is None
    _, text, _ = reported(tmp_path, persons, load_config("demo"))
    assert "<td>published</td>" not in text
    file = tmp_path / "mine.yaml"
    file.write_text(f"base: {ZOO_ROW}\n")
    assert published_row(load_config(file), persons.skeleton) is not None


def test_pictures_of_an_earlier_evaluation_go(tmp_path: Path, persons: Persons) -> None:
    page, *_ = reported(tmp_path, persons, load_config("demo"))
    (page.parent / "pictures/old.jpg").write_bytes(b"")
    page, text, _ = reported(tmp_path, persons, load_config("demo"))
    names = {path.stem for path in (page.parent / "pictures").iterdir()}
    assert names <= {Path(name).stem for name in map(str, persons.file_names)}
    assert cv2.imread(str(page.parent / f"pictures/{min(names)}.jpg")).shape == (90, 240, 3)
    assert "run &lt;1&gt;" in text


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path, persons: Persons) -> None:
    page, *_ = reported(tmp_path, persons, load_config("demo"))
    shutil.rmtree(page.parent / "pictures")
    (page.parent / "pictures").write_text("a file")
    with pytest.raises(RunDirError, match=r"cannot write .*pictures"):
        reported(tmp_path, persons, load_config("demo"))


# Writes down what a reader would stumble over.
PROBE = (
    "<script>addEventListener('load',()=>{const w=document.documentElement;"
    "const broken=[...document.images].filter(i=>!i.naturalWidth).length;"
    "document.title=JSON.stringify([w.scrollWidth-w.clientWidth,broken,"
    "document.images.length,document.querySelectorAll('svg').length])})</script></body>"
)


def test_a_browser_shows_the_page(tmp_path: Path, persons: Persons) -> None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    page, text, _ = reported(tmp_path, persons, load_config(ZOO_ROW))
    for svg in page.parent.glob("curve_*.svg"):
        ElementTree.parse(svg)
    probed = tmp_path / "page.html"
    probed.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    for width in (1400, 600):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
        done = subprocess.run(
            [*command, probed.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        title = done.stdout.partition("<title>")[2].partition("</title>")[0]
        beyond, broken, pictures, drawings = json.loads(title)
        assert beyond <= 0, f"at {width} pixels the page is {beyond} too wide"
        assert broken == 0
        assert pictures == text.count("<img ") > 8
        assert drawings == 5, "the bottom-up curves"
