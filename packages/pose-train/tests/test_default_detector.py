"""Who finds the people where nobody says it: the default detector, or nobody."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_train import Predictor
from pose_train.__main__ import main
from pose_train.config.schema import Synthetic
from pose_train.files.images import Image
from pose_train.inference import detect
from pose_train.inference import predictor as predictors
from pose_train.inference.load import load_trained

BOXES = [[10, 10, 60, 80, 0.8], [70, 5, 120, 60, 0.6]]
WHOLE_IMAGE = [[0, 0, 120, 90]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The default detector can be used; the names of detectors that were loaded."""
    names: list[Any] = []

    def load(source: Any, **_: Any) -> Any:
        names.append(source)
        return lambda pixels: BOXES[:2]

    for module in (detect, predictors):
        monkeypatch.setattr(module, "lacks_default", lambda: None)
        monkeypatch.setattr(module, "load_detector", load)
    return names


def of_others(run_dir: Path) -> Iterator[tuple[str, Any]]:
    """Yield networks that a detector of people is of no use to, and why."""
    trained = load_trained(run_dir)
    data = trained.config.data
    drawn = replace(trained.config, data=replace(data, root=None, synthetic=Synthetic(2, 2)))
    yield "drawn people", replace(trained, config=drawn)
    names = tuple(f"mouse {name}" for name in trained.skeleton.keypoints)
    yield "mice", replace(trained, skeleton=replace(trained.skeleton, keypoints=names))


def test_people_are_found_by_default(run_dir: Path, image: Image, asked: list[Any]) -> None:
    """By COCO's networks, when they are first wanted; others take the whole image."""
    predictor = Predictor(run_dir)
    assert len(predictor(image, BOXES[:1])) == 1
    assert asked == [], "nothing is loaded, or fetched, before it is needed"
    assert [len(people) for people in predictor([image, image], [None, BOXES[:1]])] == [2, 1]
    assert len(predictor(image)) == 2
    assert asked == [predictors.DEFAULT_DETECTOR]
    np.testing.assert_array_equal(Predictor(run_dir, detector=None)(image).bboxes, WHOLE_IMAGE)
    for reason, trained in of_others(run_dir):
        np.testing.assert_array_equal(Predictor(trained)(image).bboxes, WHOLE_IMAGE, reason)
    assert len(asked) == 1


def test_what_keeps_a_predictor_from_it_is_logged_once(
    run_dir: Path,
    image: Image,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    predictor = Predictor(run_dir)
    for _ in range(2):
        np.testing.assert_array_equal(predictor(image).bboxes, WHOLE_IMAGE)
    assert caplog.messages == [
        "whole images are taken for one person (detector=None): the detector of people needs "
        "transformers: pip install 'pose-train[detect]'"
    ]


def test_the_command_finds_people_by_default(
    run_dir: Path,
    tmp_path: Path,
    image: Image,
    asked: list[Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), image)
    words = ["predict", str(run_dir), str(tmp_path / "x.png"), "--out", str(tmp_path / "out")]

    def printed(*options: str, code: int = 0) -> tuple[str, str]:
        assert main([*words, "--no-draw", "--no-flip", *options]) == code
        shown = capsys.readouterr()
        return shown.out.partition(":")[0], shown.err.splitlines()[-1]

    found = "people are found by none; --whole-image takes each image for a person"
    assert printed() == ("2 people in 1 image", found)
    assert printed("--detector", "mine")[0] == "2 people in 1 image"
    assert asked == ["none", "mine"]
    people, line = printed("--whole-image")
    assert (people, line.partition(":")[0]) == ("1 person in 1 image", "weights")
    boxes = [{"file_name": "x.png", "bbox": [1, 2, 30, 40]}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    given = ("--boxes", str(tmp_path / "boxes.json"))
    assert printed(*given)[0] == "1 person in 1 image"
    _, line = printed(*given, "--whole-image", code=2)
    assert line.endswith("--boxes and --whole-image both say where people are: leave one out")
    assert len(asked) == 2
    monkeypatch.setattr(detect, "lacks_default", lambda: "there is none")
    expected = "note: the whole image is taken for one person: there is none"
    assert printed() == ("1 person in 1 image", expected)


def test_parts_know_who_found_the_people(
    run_dir: Path, tmp_path: Path, image: Image, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without the detector does not do parts of one with it."""
    cv2.imwrite(str(tmp_path / "x.png"), image)
    words = ["predict", str(run_dir), str(tmp_path / "x.png"), "--out", str(tmp_path / "out")]
    assert main([*words, "--no-draw", "--parts", "1"]) == 0
    monkeypatch.setattr(detect, "lacks_default", lambda: "there is none")
    assert main([*words, "--no-draw", "--parts", "1"]) == 2
