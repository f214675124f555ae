"""The page about a run: numbers beside the published ones, curves, worst images."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_data import load_coco, synthesize
from pose_data.persons import Persons
from pose_eval import Report
from pose_train.config.load import load_config, to_yaml
from pose_train.config.schema import Config
from pose_train.files.write import RunDirError
from pose_train.inference.evaluate import evaluate_rows
from pose_train.report import published_row, write_report

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
    facts = [("trained on", "10 <persons>")]
    page = write_report(run_dir, config, records, facts, evaluation, persons)
    return page, page.read_text(encoding="utf-8"), evaluation


def test_the_page_is_that_of_pose_eval_with_what_the_run_adds(
    tmp_path: Path, persons: Persons
) -> None:
    _, empty = spoilt(persons)
    _, text, evaluation = reported(tmp_path, persons, load_config("demo"))
    assert f"<b>{evaluation.stats['AP']:.3f}</b>" in text
    assert "<span>trained on <b>10 &lt;persons&gt;</b></span>" in text
    assert "<span>evaluated with <b>annotated boxes, no flip test</b></span>" in text
    for title in ("Learning curves", "Images that lose most", "Images of the evaluated set"):
        assert f"<h2>{title}</h2>" in text
    worst = text.partition("Images that lose most")[2].partition("<h2>")[0]
    assert f'alt="image {empty}"' in worst
    assert worst.count("<figure>") == 1, "the others lose nothing"
    some = text.partition("Images of the evaluated set")[2].partition("<h2>")[0]
    assert some.count("<figure>") == 8
    assert f'alt="image {evaluation.gt.image_ids[0]}"' in some
    assert "synthetic" in text.partition("<h2>Config</h2>")[2]
    assert "run &lt;1&gt;" in text


def test_a_run_without_evaluation_has_a_page(tmp_path: Path) -> None:
    config = load_config("demo", ["eval=null"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    metrics = [{"kind": "train", "epoch": 1, "step": 1, "lr": 0.1, "loss": 0.5, "my_share": 0.25}]
    text = write_report(tmp_path, config, metrics).read_text()
    assert "<h3>my share</h3>" in text, "what a recipe records is drawn"
    assert "<span>not evaluated <b>the config says eval: null</b></span>" in text
    assert text.count("<svg") == 3


def test_the_published_row_stands_beside_ours(tmp_path: Path, persons: Persons) -> None:
    config = load_config(ZOO_ROW, ["eval.multi_scale=[2, 1, 0.5]"])
    _, text, evaluation = reported(tmp_path, persons, config)
    theirs = published_row(config, persons.skeleton)
    assert theirs is not None
    assert theirs["AP"] != published_row(load_config(ZOO_ROW), persons.skeleton)["AP"]  # type: ignore[index]
    cells = text.partition("<td>published</td>")[2].partition("</tr>")[0]
    shown = re.findall(r"<td[^>]*>([\d.]+)</td>", cells)
    assert shown == [f"{value:.3f}" for value in theirs.values()]
    ours = evaluation.stats["AP"]
    assert ours is not None
    assert f">{ours - theirs['AP']:+.3f}</td>" in text
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


def test_a_page_that_cannot_be_written_is_one_error(tmp_path: Path, persons: Persons) -> None:
    page, *_ = reported(tmp_path, persons, load_config("demo"))
    page.unlink()
    page.mkdir()
    with pytest.raises(RunDirError, match=r"cannot write .*report\.html"):
        reported(tmp_path, persons, load_config("demo"))


# Writes down what a reader would stumble over.
PROBE = (
    "<script>addEventListener('load',()=>{const w=document.documentElement;"
    "const broken=[...document.images].filter(i=>!i.naturalWidth).length;"
    "document.title=JSON.stringify([w.scrollWidth-w.clientWidth,broken,"
    "document.images.length,document.querySelectorAll('svg').length])})</script></body>"
)


def test_a_browser_shows_the_page(
    tmp_path: Path, persons: Persons, title_of: Callable[..., str]
) -> None:
    page, text, _ = reported(tmp_path, persons, load_config(ZOO_ROW))
    for svg in page.parent.glob("curve_*.svg"):
        ElementTree.parse(svg)
    probed = tmp_path / "page.html"
    probed.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    for width in (1400, 600):
        title = title_of(probed, f"--window-size={width},900")
        beyond, broken, pictures, drawings = json.loads(title)
        assert beyond <= 0, f"at {width} pixels the page is {beyond} too wide"
        assert broken == 0
        assert pictures == text.count("<img ") > 8
        assert drawings == text.count("<svg")
