"""Result rows and detections, as a list or line by line."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from harness import fuzzed, pictures, typed
from hypothesis import note
from mutations import dumps, mutated
from test_annotations import NAMES, SIGMAS, results
from test_three_readers import good

from pose_data import DatasetError, load_coco, load_detections
from pose_data.__main__ import main as pose_data
from pose_eval.__main__ import main as pose_eval
from pose_train.files.boxes import read_boxes


def rows() -> list[dict[str, Any]]:
    boxes = [row["bbox"] for row in good()["annotations"]]
    pairs = zip(results(good()), boxes, strict=True)
    return [row | {"bbox": box, "area": 400.0} for row, box in pairs]


@fuzzed(300)
def test_commands_and_detections(tmp_path: Path, rng: Random) -> None:
    pictures(tmp_path, NAMES)
    gt, file, page = (tmp_path / name for name in ("gt.json", "r.json", "out.html"))
    gt.write_text(dumps(good()))
    damaged = mutated(rows(), rng)
    by_line = rng.randrange(3) == 0 and isinstance(damaged, list)
    text = "\n".join(map(dumps, damaged)) if by_line else dumps(damaged)
    note(text)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    commands: list[tuple[Any, ...]] = [
        (pose_eval, file, "--gt", gt, *SIGMAS, "-o", page, "--images-dir", tmp_path),
        (pose_eval, "check", file),
        (pose_eval, "nms", file, *SIGMAS),
        (pose_eval, "errors", file, "--gt", gt, *SIGMAS),
        (pose_eval, "pck", file, "--gt", gt),
        (pose_data, "check", gt, "--results", file),
    ]
    assert typed(*rng.choice(commands))[0] in (0, 1, 2)
    persons = load_coco(gt, tmp_path, cache=False)
    readers: list[Callable[[], object]] = [
        lambda: load_detections(file, persons),
        lambda: read_boxes(file),
    ]
    for read in readers:
        with contextlib.suppress(DatasetError):
            read()
