"""Several categories with keypoints in one file: each by its name, beside the mean."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import Evaluator, analyse, bootstrap, compare, diagnose, evaluate, read_ground_truth
from pose_eval.__main__ import main
from pose_eval.analysis.pck_persons import pck_report
from pose_eval.coco.tables import SettingsError
from pose_eval.render.html import page
from pose_eval.render.parts import markdown
from pose_eval.settings import parse_categories

FOUR = ["left_eye", "right_eye", "nose", "tail"]
SIGMAS = {"cat": [0.05] * 4, "dog": [0.05] * 5, "bottle": [0.05] * 2}


def animals(unused: bool = True) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return cats of 4 joints, dogs of 5 found less well, and bottles that nobody annotated."""
    rng = np.random.default_rng(0)
    gt: dict[str, Any] = {
        "images": [{"id": n, "width": 320, "height": 240} for n in range(1, 13)],
        "categories": [
            {"id": 4, "name": "dog", "keypoints": [*FOUR, "ear"]},
            {"id": 3, "name": "cat", "keypoints": FOUR},
        ],
        "annotations": [],
    }
    if unused:
        gt["categories"].append({"id": 1, "name": "bottle", "keypoints": ["neck", "base"]})
    rows = []
    for n in range(24):
        count, noise = (5, 8) if n % 2 else (4, 2)
        placed = rng.uniform(20, 200, (count, 2))
        animal: dict[str, Any] = {
            "id": n + 1,
            "image_id": n // 2 + 1,
            "category_id": 3 + n % 2,
            "iscrowd": 0,
        }
        keypoints = np.column_stack([placed, np.full(count, 2)]).ravel().tolist()
        animal |= {"keypoints": keypoints, "num_keypoints": count, "area": 5000.0}
        gt["annotations"].append(animal | {"bbox": [20, 20, 180, 180]})
        found = placed + rng.normal(0, noise, (count, 2))
        row = {key: animal[key] for key in ("image_id", "category_id")}
        keypoints = np.column_stack([found, np.ones(count)]).ravel().tolist()
        rows.append(row | {"keypoints": keypoints, "score": rng.uniform()})
    return gt, rows


def only(content: Any, category: int) -> Any:
    """Return the ground truth or the rows of one category."""
    if isinstance(content, list):
        return [row for row in content if row["category_id"] == category]
    named = [c for c in content["categories"] if c["id"] == category]
    rest = only(content["annotations"], category)
    return {**content, "categories": named, "annotations": rest}


def test_the_numbers_of_each_category_are_those_of_its_own_file() -> None:
    gt, rows = animals()
    report = evaluate(rows, gt, sigmas=SIGMAS)
    found = report.by_category()
    assert list(found) == ["bottle", "cat", "dog"]
    for name, key in (("cat", 3), ("dog", 4)):
        alone = evaluate(only(rows, key), only(gt, key), sigmas=SIGMAS)
        assert found[name]["stats"] == alone.stats
        assert (found[name]["id"], found[name]["persons"], found[name]["detections"]) == (
            key,
            12,
            12,
        )
        assert alone.all_stats() == alone.stats, "one category needs no names"
        for chosen in (name, key, [name], str(key), f" {name} "):
            got = evaluate(rows, gt, sigmas=SIGMAS, categories=chosen)
            assert got.stats == alone.stats
            assert got.counts == alone.counts
    assert set(found["bottle"]["stats"].values()) == {None}
    assert report.stats["AP"] == pytest.approx(
        (found["cat"]["stats"]["AP"] + found["dog"]["stats"]["AP"]) / 2
    )
    assert report.all_stats()["AP/dog"] == found["dog"]["stats"]["AP"]
    both = evaluate(rows, gt, sigmas=SIGMAS, categories="dog,cat")
    assert both.stats == report.stats
    assert [c.name for c in both.gt.categories] == ["cat", "dog"]


def test_an_evaluator_of_some_categories() -> None:
    gt, rows = animals()
    evaluator, other = (Evaluator(gt, sigmas=SIGMAS, categories="dog") for _ in range(2))
    evaluator.add(rows[:9])
    other.add(rows[9:])
    evaluator.merge(other)
    expected = evaluate(rows, gt, sigmas=SIGMAS, categories="dog")
    assert evaluator.report().stats == expected.stats
    with pytest.raises(SettingsError, match="different"):
        evaluator.merge(Evaluator(gt, sigmas=SIGMAS, categories="cat"))


def test_sigmas_of_a_category_that_nobody_has_do_not_matter() -> None:
    gt, rows = animals()
    for annotation in gt["annotations"]:
        annotation["category_id"] = 3
        annotation["keypoints"], annotation["num_keypoints"] = annotation["keypoints"][:12], 4
    rows = [row for row in rows if row["category_id"] == 3]
    assert evaluate(rows, gt, sigmas=[0.05] * 4).stats["AP"] is not None
    with pytest.raises(
        SettingsError, match="'cat' of the ground truth has 4 keypoints but there are"
    ):
        evaluate(rows, gt, sigmas=[0.05] * 5)


def test_joints_of_a_chosen_category() -> None:
    gt, rows = animals()
    got = evaluate(rows, gt, sigmas=[0.05], categories="dog", joints="ear")
    assert got.gt.categories[0].joint_names == ("ear",)
    with pytest.raises(SettingsError, match="--category chooses it"):
        evaluate(rows, gt, sigmas=[0.05], joints="nose")


def test_names_that_are_wrong_or_not_enough() -> None:
    gt, rows = animals()
    known = evaluate(rows, gt, sigmas=SIGMAS).gt.categories
    message = (
        r"no category 'dgo' with keypoints \(did you mean dog\?\); there are bottle \(id 1\), cat"
    )
    with pytest.raises(SettingsError, match=message):
        parse_categories("cat,dgo", known)
    with pytest.raises(SettingsError, match="no category is chosen"):
        parse_categories([], known)
    gt["categories"][0]["name"] = "cat"
    with pytest.raises(SettingsError, match="'cat' is the name of several categories"):
        evaluate(rows, gt, sigmas=[0.05] * 4, categories="cat")
    sigmas = {"3": [0.05] * 4, "4": [0.05] * 5, "1": [0.05] * 2}
    assert list(evaluate(rows, gt, sigmas=sigmas).by_category()) == ["bottle", "cat (3)", "cat (4)"]
    gt["categories"][0]["name"] = "cat, wild"
    assert evaluate(rows, gt, sigmas=sigmas, categories="cat, wild").counts["persons"] == 12


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Return the arguments that name the files."""
    gt, rows = animals()
    for name, content in (("gt", gt), ("r", rows), ("s", SIGMAS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    names = [str(tmp_path / f"{name}.json") for name in ("r", "gt", "s")]
    return [names[0], "--gt", names[1], "--sigmas", names[2]]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, *(["--quiet"] if words[0] != "nms" else [])]) == 0
    return capsys.readouterr().out


def test_every_format_has_each_category(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gt, rows = animals()
    report = evaluate(rows, gt, sigmas=SIGMAS)
    dog = report.by_category()["dog"]["stats"]
    lines = printed(capsys, *files).splitlines()
    assert lines[11].split() == ["category", "persons", "detections", *report.stats]
    assert lines[12].split() == ["bottle", "0", "0", *["-"] * 10]
    assert lines[14].split()[:4] == ["dog", "12", "12", f"{dog['AP']:.3f}"]
    content = json.loads(printed(capsys, *files, "--format", "json"))
    assert content["categories"]["dog"]["stats"] == dog
    assert content["categories"]["bottle"]["stats"]["AP"] is None
    table = csv.DictReader(io.StringIO(printed(capsys, *files, "--format", "csv")))
    values = {row["name"]: row["value"] for row in table}
    assert float(values["AP/dog"]) == dog["AP"]
    assert float(values["AP"]) == report.stats["AP"]
    assert values["AP/bottle"] == ""
    analysis = analyse(report, replicates=20)
    assert f"| dog | 12 | 12 | {dog['AP']:.3f} |" in markdown(analysis)
    assert "| AP/dog | " in markdown(analysis)
    assert f"<td>dog</td><td>12</td><td>12</td><td>{dog['AP']:.3f}</td>" in page(analysis)
    assert "<td>bottle</td><td>0</td><td>0</td><td>-</td>" in page(analysis)
    one = printed(capsys, *files, "--category", "dog")
    assert len(one.splitlines()) == 10
    assert one.startswith(lines[0].rsplit("=", 1)[0] + f"= {dog['AP']:.3f}\n")


def test_pck_and_errors_of_each_category(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gt, rows = animals()
    report = evaluate(rows, gt, sigmas=SIGMAS)
    for command in ("pck", "errors"):
        text = printed(capsys, command, *files)
        assert [line for line in text.splitlines() if line.startswith("category")] == [
            "category cat",
            "category dog",
        ]
        content = json.loads(printed(capsys, command, *files, "--format", "json"))
        assert list(content) == ["cat", "dog"]
        alone = json.loads(
            printed(capsys, command, *files, "--format", "json", "--category", "dog")
        )
        assert alone == content["dog"]
    assert pck_report(report, category="dog").section() == pck_report(report, category=2).section()
    assert diagnose(report, category="4").joint_names == (*FOUR, "ear")
    assert main(["pck", *files, "--norm", "ear,nose"]) == 2
    assert "category cat: there is no keypoint 'ear'" in capsys.readouterr().err
    assert main(["errors", *files, "--flip-pairs", "ear-nose"]) == 2
    assert "category cat: there is no keypoint 'ear'" in capsys.readouterr().err


def test_nms_knows_the_names_with_gt(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert len(json.loads(printed(capsys, "nms", *files))) == 24
    assert main(["nms", files[0], "--sigmas", files[-1]]) == 2
    assert "no sigmas for category '3'; there are some for cat, dog" in capsys.readouterr().err


def test_compare_and_bootstrap_of_each_category(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gt, rows = animals()
    worse = [row | {"score": 0.5} for row in rows]
    a, b = (evaluate(r, gt, sigmas=SIGMAS) for r in (rows, worse))
    changes = compare(a, b, replicates=20).changes
    assert changes["AP/dog"].b == b.by_category()["dog"]["stats"]["AP"]
    dog = evaluate(only(rows, 4), only(gt, 4), sigmas=SIGMAS)
    mine, alone = bootstrap(a, 20)["AP/dog"], bootstrap(dog, 20)["AP"]
    assert (mine.low, mine.value, mine.high) == (alone.low, alone.value, alone.high)
    command = ["compare", files[0], files[0], *files[1:], "--bootstrap", "5", "--quiet"]
    assert main([*command, "--fail-below", "AP/dog=0.999"]) == 3
    done = capsys.readouterr()
    assert "gate failed: AP/dog is " in done.err
    assert "\nAP/cat " in done.out
    assert re.search(r"\nAPL +- +- +-\n", done.out)


def test_what_was_not_measured_is_a_dash() -> None:
    gt, rows = animals(unused=False)
    for annotation in gt["annotations"]:
        annotation["num_keypoints"] = 0
    report = evaluate(rows, gt, sigmas=SIGMAS)
    assert report.table().count("= -\n") == 10
    for category in (0, 1):
        section = pck_report(report, category=category).section()
        assert {section[key] for key in ("auc", "epe", "nme")} == {None}
        assert section["pck"]["0.1"]["mean"] is None
    found = page(analyse(report, replicates=5))
    assert "AP 0.000" not in found
    assert "0 %<" not in found
    assert "-1.0" not in found
    assert "0.000" not in markdown(analyse(report, replicates=5))


def test_ids_as_numbers_and_as_text_without_a_list_of_categories() -> None:
    points = [5, 5, 2, 30, 30, 2]
    rows = [
        {"id": i, "image_id": 1, "category_id": key, "keypoints": points, "area": 400}
        for i, key in enumerate((1, "1"))
    ]
    gt, _ = read_ground_truth({"images": [{"id": 1}], "annotations": rows})
    assert [category.id for category in gt.categories] == [1]
    assert len(gt.ids) == 2
