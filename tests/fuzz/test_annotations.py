"""COCO annotations: the three readers agree, and every command ends with an exit code."""

import contextlib
import shutil
from pathlib import Path
from random import Random
from typing import Any

from harness import fuzzed, pictures, typed
from hypothesis import note
from mutations import dumps, mutated
from test_three_readers import COUNT, OF_CHECK_ALONE, good, loaded, rows_near

from pose_data import check
from pose_data.__main__ import main as pose_data
from pose_eval import ResultsError, SettingsError, evaluate, read_ground_truth
from pose_eval.__main__ import main as pose_eval
from pose_train.inference.evaluate import ground_truth

NAMES = [f"{i}.png" for i in range(COUNT)]
SIGMAS = ("--sigmas", "0.05,0.05,0.05,0.05")


def document() -> dict[str, Any]:
    """Return a file with all that one can hold: crowds, masks, polygons, keys of its own."""
    content = good()
    rows = content["annotations"]
    rows[1] |= {"iscrowd": 1, "segmentation": {"size": [48, 64], "counts": [0, 100, 2972]}}
    rows[2]["segmentation"] = [[1, 1, 20, 1, 20, 20]]
    rows[4]["segmentation"] = {"size": [48, 64], "counts": "0d0`0"}
    for row in rows:
        row["person"] = row["id"] // 2
    return content | {"info": {"year": 2026}, "licenses": []}


def results(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": row["image_id"],
            "category_id": 1,
            "keypoints": [float(value) for value in row["keypoints"]],
            "score": 0.9 - 0.1 * i,
        }
        for i, row in enumerate(content["annotations"])
    ]


def write(file: Path, rng: Random) -> None:
    text = dumps(mutated(document(), rng))
    note(text)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")


@fuzzed(400)
def test_the_readers_agree(tmp_path: Path, rng: Random) -> None:
    pictures(tmp_path, NAMES)
    file = tmp_path / "gt.json"
    write(file, rng)
    errors = {finding.slug for finding in check(file, tmp_path) if finding.is_error}
    persons = loaded(file)
    if persons is None:
        assert errors, "check finds nothing, and loading refuses it"
        with contextlib.suppress(ResultsError, SettingsError):
            read_ground_truth(file)
        return
    if len(persons) == COUNT:
        assert errors <= OF_CHECK_ALONE, f"it loads whole, and check finds {errors}"
    if not len(persons):
        return  # whom could an evaluation be of?
    rows = rows_near(persons)
    sigmas = [0.05] * persons.skeleton.num_keypoints
    as_loaded = evaluate(rows, ground_truth(persons), sigmas=sigmas).stats
    assert as_loaded == evaluate(rows, file, sigmas=sigmas).stats


@fuzzed(300)
def test_commands(tmp_path: Path, rng: Random) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)  # what the example before has left
    folder.mkdir()
    pictures(folder, NAMES)
    gt, other, rows, out = (folder / name for name in ("gt.json", "b.json", "r.json", "out"))
    write(gt, rng)
    other.write_text(dumps(document()))
    rows.write_text(dumps(results(document())))
    page = folder / "out.html"
    commands: list[tuple[Any, ...]] = [
        (pose_data, "check", gt, "--images", folder, "--results", rows),
        (pose_data, "fix", gt, out, "--strip-prefix", "../"),
        (pose_data, "split", gt, out),
        (pose_data, "merge", gt, other, "-o", out, "--prefix", "a", "b"),
        (pose_data, "filter", gt, out, "--min-keypoints", "2"),
        (pose_data, "stats", gt, folder, "-o", page),
        (pose_data, "show", gt, folder, "-o", page),
        (pose_data, "convert", gt, out, "--to", "yolo", "--images", folder),
        (pose_eval, "check", gt),
        (pose_eval, "errors", rows, "--gt", gt, *SIGMAS),
        (pose_eval, "pck", rows, "--gt", gt),
        (pose_eval, "sigmas", gt, "--by", "person"),
        (pose_eval, rows, "--gt", gt, *SIGMAS, "-o", page, "--images-dir", folder),
        (pose_eval, rows, "--gt", gt, *SIGMAS, "--per-image", out),
    ]
    command = rng.choice(commands)
    note(command[1] if command[0] is pose_data else "pose-eval")
    assert typed(*command)[0] in (0, 1, 2)
    assert list(tmp_path.iterdir()) == [folder], "it wrote outside of the folder"
