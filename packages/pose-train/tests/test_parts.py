"""A job in parts gives the rows of one process, whoever does them and however often it stops."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_train import Predictor
from pose_train.__main__ import main
from pose_train.inference import predict


@pytest.fixture
def images(drawn_data: Path, tmp_path: Path) -> Path:
    """Seven images and a video, of which one image cannot be read."""
    folder = tmp_path / "in"
    folder.mkdir()
    given = sorted((drawn_data / "val2017").iterdir())
    for i in range(7):
        (folder / f"{i}.jpg").write_bytes(given[i % 4].read_bytes())
    (folder / "3.jpg").write_bytes(given[0].read_bytes()[:400])
    writer = cv2.VideoWriter(str(folder / "5.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for shade in (50, 100, 150):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    return folder


def predicted(run_dir: Path, images: Path, out: Path, *options: str) -> tuple[int, Any, str]:
    command = ["predict", str(run_dir), str(images), "--out", str(out), "--no-draw", "--csv"]
    code = main([*command, "--batch-size", "1", *options])
    rows, table = out / "predictions.json", out / "predictions.csv"
    return code, json.loads(rows.read_text()) if rows.exists() else None, table.read_text()


def test_parts_are_those_of_one_run_and_are_done_once(
    run_dir: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = predicted(run_dir, images, tmp_path / "whole")
    assert "9 people in 6 images, 3 video frames" in capsys.readouterr().out
    assert whole[0] == 1, "an image cannot be read"
    out = tmp_path / "out"
    assert predicted(run_dir, images, out, "--parts", "3") == whole
    printed = capsys.readouterr().out
    assert "9 people in 6 images, 3 video frames" in printed
    assert "3.jpg" in printed
    parts = sorted((out / "parts").iterdir())
    assert [path.name for path in parts] == [
        f"predictions-0000{i}-of-00003.jsonl" for i in range(3)
    ]
    (out / "predictions.json").unlink()
    parts[1].unlink()
    times = [path.stat().st_mtime_ns for path in (parts[0], parts[2])]
    assert predicted(run_dir, images, out, "--parts", "3") == whole
    assert [path.stat().st_mtime_ns for path in (parts[0], parts[2])] == times, "done already"
    assert parts[1].is_file()


def test_what_is_killed_goes_on(
    run_dir: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = predicted(run_dir, images, tmp_path / "whole")
    out, calls = tmp_path / "out", [0]
    original = predict._Job.write

    def killed(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 5:
            raise KeyboardInterrupt
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(predict._Job, "write", killed)
        command = ["predict", str(run_dir), str(images), "--out", str(out), "--no-draw", "--csv"]
        assert main([*command, "--batch-size", "1", "--parts", "4"]) == 130
    assert not (out / "predictions.json").exists()
    done = sorted((out / "parts").glob("*-of-?????.jsonl"))
    assert 0 < len(done) < 4
    assert predicted(run_dir, images, out, "--parts", "4") == whole
    done[0].write_text(done[0].read_text()[:-20])
    assert main([*command, "--batch-size", "1", "--parts", "4"]) == 1
    assert "is damaged: delete it" in capsys.readouterr().err


def test_a_damaged_part_is_named_and_done_again_once_deleted(
    run_dir: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that was cut at the end of a line, which is valid JSON as it is."""
    out = tmp_path / "out"
    whole = predicted(run_dir, images, out, "--parts", "3")
    part = out / "parts/predictions-00001-of-00003.jsonl"
    content = part.read_bytes()
    for damaged in (
        content[: content.rindex(b"\n", 0, -1) + 1],
        content.replace(b'"score": 0', b'"score": 1', 1),
        content[: content.index(b"\n") + 1],
    ):
        part.write_bytes(damaged)
        capsys.readouterr()
        assert predicted(run_dir, images, out, "--parts", "3") == whole, "as they were"
        assert f"{part} is damaged: delete it, and predict again" in capsys.readouterr().err
    part.unlink()
    assert predicted(run_dir, images, out, "--parts", "3") == whole


def test_a_part_that_another_process_writes_is_left_to_it(
    run_dir: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    whole = predicted(run_dir, images, tmp_path / "whole")
    partial = out / "parts/predictions-00001-of-00003.partial.jsonl"
    partial.parent.mkdir(parents=True)
    partial.write_text("of the other")
    hold = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(1)"
    command = [sys.executable, "-c", f"{hold}; sys.stdout.flush(); input()", str(partial)]
    predict = ["predict", str(run_dir), str(images), "--out", str(out), "--no-draw", "--csv"]
    predict += ["--batch-size", "1", "--parts", "3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        main(predict)
        assert "1 of 3 parts are not there yet: not merged" in capsys.readouterr().out
        assert partial.read_text() == "of the other"
        other.communicate(b"\n")
    assert predicted(run_dir, images, out, "--parts", "3") == whole


def test_parts_of_another_job_are_not_taken(
    run_dir: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted(run_dir, images, tmp_path, "--parts", "2")
    command = ["predict", str(run_dir), str(images), "--out", str(tmp_path), "--no-draw"]
    for other in (["--parts", "3"], ["--parts", "2", "--no-flip"]):
        assert main([*command, "--batch-size", "1", *other]) == 2
        assert "is of a job with other inputs or options" in capsys.readouterr().err
    (images / "8.jpg").write_bytes((images / "0.jpg").read_bytes())
    assert main([*command, "--csv", "--batch-size", "1", "--parts", "2"]) == 2
    assert main([*command, "--parts", "0"]) == 2
    assert "--parts must be at least 1" in capsys.readouterr().err


def test_processes_of_torchrun_share_the_inputs(
    run_dir: Path, images: Path, tmp_path: Path
) -> None:
    whole = predicted(run_dir, images, tmp_path / "whole")
    out = tmp_path / "out"
    command = [str(run_dir), str(images), "--out", str(out), "--no-draw", "--csv"]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                "2",
            ),
            *("--module", "pose_train", "predict", *command, "--batch-size", "1", "--parts", "4"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.stderr.count("weights: ") == 1, "the first one says which"
    assert json.loads((out / "predictions.json").read_text()) == whole[1]
    assert (out / "predictions.csv").read_text() == whole[2]


def test_a_predictor_takes_the_gpu_of_its_process(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def find_device(name: str, local_rank: int) -> Any:
        asked.append((name, local_rank))
        raise KeyboardInterrupt

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("pose_train.inference.load.find_device", find_device)
    with pytest.raises(KeyboardInterrupt):
        Predictor(run_dir)
    assert asked == [("auto", 1)]
