"""Exit codes mean one thing everywhere: 0 done, 1 the data failed, 2 bad usage, 3 a gate failed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pose_backbones.__main__ import main as pose_backbones
from pose_data.__main__ import main as pose_data
from pose_eval.__main__ import main as pose_eval
from pose_train.__main__ import main as pose_train


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that can be used, and one of each kind that cannot."""
    points = [10, 12, 2, 20, 15, 2, 30, 18, 1]
    category = {"id": 1, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"]}
    row = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": points, "bbox": [5, 5, 40, 30]}
    image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    good = {"images": [image], "annotations": [row], "categories": [category]}
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "results.json").write_text(json.dumps([row | {"score": 0.5}]))
    far = row | {"score": 0.5, "keypoints": [50, 40, 1] * 3}
    (tmp_path / "far.json").write_text(json.dumps([far]))
    (tmp_path / "bad.json").write_text('{"images": [')
    (tmp_path / "bad.pth").write_bytes(b"no checkpoint")
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ["data.root=.", "data.synthetic=null"]
EVAL = ["--gt", "good.json", "--sigmas", "0.05,0.05,0.05"]


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (pose_data, ["check", "good.json"], 0),
        (pose_data, ["check", "bad.json"], 1),
        (pose_data, ["stats", "bad.json", "."], 1),
        (pose_data, ["split", "bad.json", "parts"], 1),
        (pose_data, ["fix", "bad.json", "new.json"], 1),
        (pose_data, ["fix", "good.json", "bad.json"], 2),
        (pose_data, ["chekc", "good.json"], 2),
        (pose_eval, ["results.json", *EVAL], 0),
        (pose_eval, ["bad.json", *EVAL], 1),
        (pose_eval, ["results.json", *EVAL, "--joints", "7-9"], 2),
        (pose_eval, ["compare", "far.json", "far.json", *EVAL, "--fail-below", "AP=0.9"], 3),
        (pose_backbones, ["list"], 0),
        (pose_backbones, ["info", "bad.pth"], 1),
        (pose_backbones, ["info", "hrnet_w33"], 2),
        (pose_train, ["configs"], 0),
        (pose_train, ["init", "bad.json", "--images", "."], 1),
        (pose_train, ["run", "demo", *DATA, "data.val.annotations=bad.json"], 2),
        (pose_train, ["test", "demo", "--weights", "bad.pth"], 1),
        (pose_train, ["run", "dmeo"], 2),
        (pose_train, ["run", "demo", "train.epochs=-1"], 2),
    ],
)
def test_exit_codes(
    folder: Path, command: object, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(command)
    try:
        found = command(words)
    except SystemExit as left:  # argparse
        found = left.code
    printed = capsys.readouterr()
    assert found == code, printed.err
    assert "Traceback" not in printed.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("pose_backbones", ["list"]),
        ("pose_data", ["check", "good.json"]),
        ("pose_eval", ["results.json", *EVAL]),
        ("pose_train", ["zoo"]),
    ],
)
def test_a_full_disk_behind_the_output_is_one_sentence(
    folder: Path, module: str, words: list[str]
) -> None:
    command = [sys.executable, "-m", module, *words]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    (line,) = (line for line in ended.stderr.splitlines() if not line.startswith("warning: "))
    assert line.startswith(f"{module.replace('_', '-')}: ")
    assert "No space left on device" in line


def test_a_reader_that_has_enough_is_no_error() -> None:
    """As with `pose-train zoo | head -0`: no traceback."""
    command = [sys.executable, "-m", "pose_train", "zoo"]
    reader, writer = os.pipe()
    os.close(reader)  # before the process begins, however slow this one is
    with os.fdopen(writer) as pipe:
        ended = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 1
    assert ended.stderr == b""
