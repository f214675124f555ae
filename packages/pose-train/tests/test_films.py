"""Videos are read and written whole, or there is an error that says so."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import DatasetError
from pose_train.films import Film, read_frames, stated_frames, usable_rate
from pose_train.rundir import RunDirError


def write(path: Path, count: int = 6, size: tuple[int, int] = (64, 48), rate: float = 12.0) -> None:
    rng = np.random.default_rng(0)
    with Film(path) as film:
        for _ in range(count):
            film.add(rng.integers(0, 256, (size[1], size[0], 3), np.uint8), rate)


@pytest.mark.parametrize("size", [(64, 48), (65, 49), (2, 3)])
def test_every_frame_arrives(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "deep" / "film.mp4"
    write(path, size=size)
    frames = list(read_frames(path))
    assert len(frames) == stated_frames(path) == 6
    assert frames[0][0].shape == (size[1] // 2 * 2, size[0] // 2 * 2, 3), "MPEG-4 has even sides"
    assert frames[0][1] == pytest.approx(12)
    assert [file.name for file in path.parent.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("rate", [0.25, 29.97, 240.0])
def test_rates(tmp_path: Path, rate: float) -> None:
    write(tmp_path / "film.mp4", rate=rate)
    assert next(read_frames(tmp_path / "film.mp4"))[1] == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("said", [0.0, float("nan"), -1.0, 1000.0, 90000.0])
def test_an_unknown_rate_is_a_usual_one(said: float) -> None:
    assert usable_rate(said) == 25.0


def test_frames_of_another_size_are_not_lost(tmp_path: Path) -> None:
    with Film(tmp_path / "film.mp4") as film:
        film.add(np.zeros((48, 64, 3), np.uint8), 5.0)
        film.add(np.zeros((96, 32, 3), np.uint8), 5.0)
    assert [frame.shape for frame, _ in read_frames(tmp_path / "film.mp4")] == [(48, 64, 3)] * 2


def test_a_film_that_is_stopped_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(path)
    before = path.read_bytes()

    def stopped() -> None:
        with Film(path) as film:
            film.add(np.zeros((48, 64, 3), np.uint8), 5.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    """A file that may not grow is to FFmpeg what a full disk is."""
    resource = pytest.importorskip("resource", reason="limits of file sizes are of Unix")
    limits: Any = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "film.mp4"
    write(path, count=2)
    before = path.read_bytes()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(RunDirError, match=r"cannot write .*film\.mp4: 0 of 9 frames .* full\?"):
            write(path, count=9, size=(320, 240))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_no_encoder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda self: False)
    message = r"cannot write an MP4 of 64x48 at 12 frames per second with this OpenCV; .*--no-draw"
    with pytest.raises(RunDirError, match=message):
        write(tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").mkdir()
    with pytest.raises(RunDirError, match=r"cannot write .*film\.mp4: Is a directory"):
        write(tmp_path / "film.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(RunDirError, match=r"cannot write .*file"):
        write(tmp_path / "file" / "film.mp4")


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no film")
    assert stated_frames(tmp_path / "x.mp4") == 0
    with pytest.raises(DatasetError, match=r"x\.mp4 cannot be read: no video, damaged, or empty"):
        next(read_frames(tmp_path / "x.mp4"))
