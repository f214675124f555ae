"""SECURITY.md: each promise has its test, and those that cross packages are here."""

import json
import re
import zipfile
from pathlib import Path

import pytest
import torch

from pose_backbones import CheckpointError, read_checkpoint
from pose_data.__main__ import main as pose_data

ROOT = Path(__file__).resolve().parent.parent


def test_every_test_that_is_named_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/-]+\.py)::(\w+)`", text)
    assert len(named) > 30
    for file, name in named:
        assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"
    promises = re.split(r"\n- ", text.partition("## What is not promised")[0])[1:]
    for promise in promises:
        assert "::" in promise, f"it names no test: {promise}"


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "a/../../evil.png"])
def test_labels_of_yolo_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    image = {"id": 1, "file_name": name, "width": 64, "height": 48}
    row = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 30, 30, 2]}
    category = {"id": 1, "name": "a", "keypoints": ["nose", "tail"]}
    content = {"images": [image], "annotations": [row], "categories": [category]}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    words = ["convert", str(tmp_path / "gt.json"), str(tmp_path / "x/y/out"), "--to", "yolo"]
    assert pose_data(words) == 1
    assert not list(tmp_path.rglob("evil*"))


def test_nothing_of_a_checkpoint_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run" / "a.pth"
    file.parent.mkdir()
    torch.save({"a.weight": torch.ones(2)}, file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../evil", b"x")
        archive.writestr("/evil", b"x")
    assert list(read_checkpoint(file).tensors) == ["a.weight"]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../evil/data.pkl", b"\x80\x02}.")
    with pytest.raises(CheckpointError):
        read_checkpoint(file)
    assert [each.name for each in tmp_path.rglob("*")] == ["run", "a.pth"]
