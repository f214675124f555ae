"""A dataset of one's own, with keypoints of its own: trained and used without writing Python."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data.__main__ import main as pose_data
from pose_train.__main__ import main as pose_train

SMALL = [
    "model.name=hrnet",
    "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[64, 64]",
    "model.heatmap_size=[16, 16]",
    "train.epochs=1",
    "train.num_workers=0",
]


def test_nine_keypoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    drawn = ["--train", "6", "--val", "3", "--size", "128x96", "--keypoints", "9"]
    assert pose_data(["synth", str(data), *drawn]) == 0
    train, val = (
        str(data / f"annotations/person_keypoints_{split}2017.json") for split in ("train", "val")
    )
    capsys.readouterr()
    assert pose_train(["init", train, "--val", val]) == 0
    config = tmp_path / "my.yaml"
    config.write_text(capsys.readouterr().out)
    names = json.loads(Path(train).read_text())["categories"][0]["keypoints"]
    assert len(names) == 9

    picture = str(tmp_path / "batch.png")
    assert pose_train(["check", str(config), *SMALL, "--out", picture]) == 0
    assert f"9 keypoints: {', '.join(names)}" in capsys.readouterr().out
    assert pose_train(["run", str(config), f"out={run}", *SMALL]) == 0
    assert (run / "report.html").is_file()
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["AP"] is not None
    trained_rows = json.loads((run / "results.json").read_text())

    results = tmp_path / "results.json"
    assert pose_train(["test", str(run), "--out", str(results)]) == 0
    for ours, theirs in zip(json.loads(results.read_text()), trained_rows, strict=True):
        assert ours["keypoints"] == pytest.approx(theirs["keypoints"], abs=1e-3)

    # Away from its data, the checkpoint still knows its keypoints.
    data.rename(tmp_path / "moved")
    pictures, out = str(tmp_path / "moved" / "val2017"), tmp_path / "out"
    assert (
        pose_train(["predict", str(run / "checkpoint_last.pth"), pictures, "--out", str(out)]) == 0
    )
    rows = json.loads((out / "predictions.json").read_text())
    assert len(rows) == 3
    assert all(np.array(row["keypoints"]).reshape(9, 3).shape == (9, 3) for row in rows)
    assert cv2.imread(str(out / rows[0]["file_name"])).shape == (96, 128, 3)


def drawn(folder: Path, content: dict[str, Any]) -> Path:
    """Write an annotation file, and an empty image for each of its names."""
    folder.mkdir()
    for image in content["images"]:
        cv2.imwrite(str(folder / image["file_name"]), np.zeros((320, 400, 3), np.uint8))
    file = folder / "mine.json"
    file.write_text(json.dumps(content))
    return file


def test_the_file_that_the_guide_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that a file must hold, by the guide, is enough for every command."""
    guide = Path(__file__).parents[1] / "docs/your-own-data.md"
    (text,) = re.findall(r"```json\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    file = drawn(tmp_path / "data", json.loads(text))
    assert pose_data(["check", str(file), "--images", str(file.parent)]) == 0
    capsys.readouterr()
    assert pose_train(["init", str(file)]) == 0
    config, run = tmp_path / "my.yaml", tmp_path / "run"
    config.write_text(capsys.readouterr().out)
    small = [*SMALL, "train.batch_size=1", "train.warmup_steps=1", "train.lr_steps=[]"]
    small += ["train.freeze=[backbone]"]  # batch norm wants more than one person
    assert pose_train(["check", str(config), *small, "--out", str(tmp_path / "batch.png")]) == 0
    assert pose_train(["run", str(config), f"out={run}", *small]) == 0
    assert pose_train(["resume", str(run), "train.epochs=2"]) == 0
    assert pose_train(["test", str(run)]) == 0
    assert "AP" in capsys.readouterr().out


def animals(*categories: dict[str, Any]) -> dict[str, Any]:
    """Return four images of two animals for each category."""
    images = [{"id": i + 1, "file_name": f"{i}.png"} for i in range(4)]
    annotations = []
    for category in categories:
        for i in range(8):
            points = [
                (60 + 30 * k + 5 * i, 80 + 20 * k, 2) for k in range(len(category["keypoints"]))
            ]
            annotations.append(
                {
                    "image_id": i // 2 + 1,
                    "category_id": category["id"],
                    "keypoints": [value for point in points for value in point],
                }
            )
    return {"images": images, "annotations": annotations, "categories": list(categories)}


CAT = {"id": 5, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"]}
DOG = CAT | {"id": 3, "name": "dog"}
FISH = {"id": 8, "name": "fish", "keypoints": ["snout", "tail"]}


def test_two_categories_of_one_skeleton(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = drawn(tmp_path / "data", animals(CAT, DOG))
    assert pose_train(["init", str(file)]) == 0
    config, run = tmp_path / "my.yaml", tmp_path / "run"
    config.write_text(capsys.readouterr().out)
    assert pose_train(["run", str(config), f"out={run}", *SMALL]) == 0
    rows = json.loads((run / "results.json").read_text())
    assert {row["category_id"] for row in rows} == {3, 5}
    out = capsys.readouterr().out
    assert re.search(r"(?m)^cat +8 ", out)
    assert re.search(r"(?m)^dog +8 ", out)
    bottomup = ["recipe=bottomup", "model.name=demo_higherhrnet", "model.heatmap_size=null"]
    arguments = [*SMALL[1:], *bottomup, "model.heatmap_sizes=[[16, 16]]"]
    assert pose_train(["check", str(config), *arguments]) == 2
    assert "a bottom-up network does not tell apart" in capsys.readouterr().err.replace("\n", " ")


def test_categories_of_different_skeletons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = drawn(tmp_path / "data", animals(CAT, FISH))
    assert pose_data(["check", str(file)]) == 1
    assert pose_train(["init", str(file)]) == 1
    assert "Choose with data.categories: [cat]" in capsys.readouterr().err
    assert pose_train(["init", str(file), "--categories", "cat"]) == 0
    config, run = tmp_path / "my.yaml", tmp_path / "run"
    text = capsys.readouterr().out
    config.write_text(text)
    assert pose_train(["run", str(config), f"out={run}", *SMALL]) == 0
    assert {row["category_id"] for row in json.loads((run / "results.json").read_text())} == {5}
    assert pose_train(["test", str(run)]) == 0
    config.write_text(text.replace("  categories: [cat]\n", ""))
    for command in (["run", str(config), f"out={tmp_path / 'other'}"], ["check", str(config)]):
        assert pose_train([*command, *SMALL]) == 1
        assert "several skeletons" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
