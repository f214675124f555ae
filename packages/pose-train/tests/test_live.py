"""`pose-train predict` of cameras and streams; rows and drawings as they come: --live, --show."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pose_data.opencv import cv2
from pose_train.__main__ import main as pose_train
from pose_train.config.schema import RunError
from pose_train.files import live
from pose_train.files.inputs import find_inputs
from pose_train.files.live import LiveSource, Window
from pose_train.files.video import read_frames, video_facts
from pose_train.inference.predict import predict_inputs
from pose_train.inference.predictor import Predictor


def rows_of(out: Path, name: str = "predictions.json") -> list[dict[str, Any]]:
    text = (out / name).read_text()
    rows: list[dict[str, Any]] = (
        json.loads(text) if name.endswith(".json") else [*map(json.loads, text.splitlines())]
    )
    return rows


# Cameras and streams


def test_a_stream_that_is_lost(
    server: Any, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back once; then it is gone, and what came until then is kept."""
    monkeypatch.setattr(live, "PAUSES", (0.01, 0.01))
    server.left = 3  # one of which is for the question what is there
    url = server.url("/stream")
    summary = predict_inputs(Predictor(run_dir, False), find_inputs([url]), tmp_path, live=True)
    (note,), (problem,) = summary.notes, summary.problems
    assert note.startswith(f"{url}: 24 frames in ")
    assert note.endswith("dropped, lost and opened again 1 time")
    assert problem.startswith(f"{url} was lost after 24 frames (")
    assert problem.endswith("s), and 2 attempts to open it again did not help")
    rows = rows_of(tmp_path)
    assert 0 < len(rows) == summary.frames <= 24
    assert rows == rows_of(tmp_path, "predictions.jsonl")
    numbers, times = ([row[key] for row in rows] for key in ("frame", "time"))
    assert numbers == sorted(set(numbers))
    assert times == sorted(set(times))
    assert 0 <= times[0] < times[-1] < 60
    frames = list(read_frames(tmp_path / "stream.mp4"))
    assert frames[-1].time == pytest.approx(times[-1], abs=0.1), "at the speed at which it came"


def test_a_stream_that_cannot_be_opened(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(run_dir), "rtsp://a:b@127.0.0.1:9/x", "--out", str(tmp_path)]
    assert pose_train(words) == 1
    message = (
        "pose-train: error: rtsp://127.0.0.1:9/x cannot be opened: is the address right, and does"
    )
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    for option in (["--boxes", "x.json"], ["--gt", "x.json"], ["--parts", "2"]):
        assert pose_train([*words, *option]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in printed] == [
        *["leave --boxes, --gt out"] * 2,
        "leave --parts and torchrun out",
    ]


class FakeCamera:
    """What cv2.VideoCapture is; frames: what each opening gives, None for a failed one.

    pause: in seconds before each frame; with None, `step` lets it come.
    """

    openings: list[list[int] | None]
    step = threading.Semaphore(0)
    pause: float | None = None

    def __init__(self, index: int) -> None:
        self.frames = self.openings.pop(0) if self.openings else None

    def isOpened(self) -> bool:
        return self.frames is not None

    def get(self, prop: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0}.get(prop, -1.0)

    def read(self) -> tuple[bool, Any]:
        if not self.frames:
            return False, None
        if self.pause is None:
            self.step.acquire()
        else:
            time.sleep(self.pause)
        return True, np.full((48, 64, 3), self.frames.pop(0), np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[FakeCamera]:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    monkeypatch.setattr(live, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(FakeCamera, "step", threading.Semaphore(0))
    monkeypatch.setattr(FakeCamera, "pause", None)
    return FakeCamera


def came(source: LiveSource, count: int) -> None:
    """Let a camera give some frames, and wait for them."""
    FakeCamera.step.release(count)
    end, wanted = time.monotonic() + 10, source.arrived + count
    while source.arrived < wanted and time.monotonic() < end:
        time.sleep(0.001)
    assert source.arrived == wanted


def test_frames_are_dropped_while_nobody_asks(camera: type[FakeCamera]) -> None:
    """Of 8 frames, the last two after a loss, the first, the newest and the last are taken."""
    camera.openings = [list(range(6)), None, [6, 7], None, None]
    source = LiveSource("3", "camera 3")
    frames = source.frames(lambda: False)
    threading.Timer(0.05, camera.step.release).start()
    first = next(frames)
    came(source, 4)
    newest = next(frames)
    came(source, 2)
    assert [int(each.image[0, 0, 0]) for each in (first, newest, next(frames))] == [0, 4, 6]
    camera.step.release()
    number, image, seconds = next(frames)
    assert (number, image[0, 0, 0]) == (7, 7)
    assert 0 == first.time < newest.time < seconds
    assert next(frames, None) is None
    assert (source.arrived, source.taken, source.dropped, source.reopened) == (8, 4, 4, 1)
    assert "camera 3 was lost after 8 frames (" in (source.problem or "")
    assert "8 frames in " in str(source)
    assert "4 came while the network was busy and were dropped" in str(source)


def test_every_so_many_th_frame_of_a_camera(camera: type[FakeCamera]) -> None:
    camera.openings = [list(range(7)), None, None]
    source = LiveSource("0", "camera 0", every=3)
    assert source.rate == 10
    camera.step.release(3)
    frames = source.frames(lambda: False)
    numbers = [next(frames).number]
    for _ in range(2):
        camera.step.release(3)
        numbers.append(next(frames).number)
    assert numbers == [0, 3, 6]
    assert source.dropped == 0


def test_a_camera_is_stopped(camera: type[FakeCamera]) -> None:
    camera.openings, camera.pause = [list(range(200))], 0.01
    source = LiveSource("0", "camera 0")
    assert len(list(source.frames(lambda: source.taken == 3))) == 3
    assert source.problem is None
    assert source.arrived < 200


def test_a_camera_that_is_not_there(camera: type[FakeCamera]) -> None:
    camera.openings = [None]
    with pytest.raises(RunError, match="camera 7 cannot be opened: is it connected, and used by"):
        LiveSource("7", "camera 7")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_a_stream_well(server: Any, run_dir: Path, tmp_path: Path) -> None:
    """Rows are read while it works; then all files are complete."""
    server.left = 2
    words = [*(sys.executable, "-m", "pose_train", "predict", str(run_dir)), "--no-flip", "--live"]
    words += [server.url("/stream/endless"), "--out", str(tmp_path)]
    work = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines, end = tmp_path / "predictions.jsonl", time.monotonic() + 60
    while time.monotonic() < end and work.poll() is None:
        if lines.is_file() and lines.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.05)
    assert not (tmp_path / "predictions.json").exists()
    work.send_signal(signal.SIGINT)
    out, err = work.communicate(timeout=60)
    assert work.returncode == 0, err
    rows = rows_of(tmp_path)
    assert rows == rows_of(tmp_path, "predictions.jsonl")
    assert out.startswith(f"{len(rows)} people in {len(rows)} video frames: {tmp_path}\n")
    assert "frames in" in out.splitlines()[1]
    assert "Ctrl-C ends" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("endless.mp4", "predictions.json", "predictions.jsonl")
    ]
    facts = video_facts(tmp_path / "endless.mp4")  # of 25 frames a second, however many were found
    assert facts.seconds == pytest.approx(rows[-1]["time"] - rows[0]["time"], abs=0.1)


# Rows and drawings as they come


def test_rows_can_be_read_along(run_dir: Path, drawn_data: Path, tmp_path: Path) -> None:
    """When an image is begun, the rows of those before are there, and nothing but whole lines."""
    seen: list[str] = []

    def detector(image: Any) -> list[list[int]]:
        path = tmp_path / "predictions.jsonl"
        seen.append(path.read_text())
        return [[5, 5, 60, 80], [30, 10, 110, 90]] if len(seen) != 2 else []

    predictor = Predictor(run_dir, batch_size=1, detector=detector)
    inputs = find_inputs([str(drawn_data / "val2017")])
    predict_inputs(predictor, inputs, tmp_path, draw=False, live=True)
    assert [text.count("\n") for text in seen] == [0, 2, 2, 4]
    assert all(text[-1:] in ("", "\n") for text in seen)
    rows = rows_of(tmp_path)
    assert len(rows) == 6
    assert rows == rows_of(tmp_path, "predictions.jsonl")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What OpenCV shows, and the keys that it reports; is_visible: the window was not closed.

    A key more than there are is an error: nothing waits for ever.
    """
    screen = SimpleNamespace(shown=[], keys=[], is_visible=1.0)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    for name, fake in {
        "namedWindow": lambda *_: None,
        "resizeWindow": lambda *size: screen.shown.append(size[1:]),
        "imshow": lambda _, image: screen.shown.append(image),
        "waitKey": lambda _: screen.keys.pop(0),
        "getWindowProperty": lambda *_: screen.is_visible,
    }.items():
        monkeypatch.setattr(cv2, name, fake)
    return screen


def test_drawings_are_shown(
    run_dir: Path, drawn_data: Path, tmp_path: Path, screen: SimpleNamespace
) -> None:
    """Each image; the last one until a key is pressed."""
    screen.keys = [-1, ord("x"), -1, -1, -1, -1, ord("x")]
    words = ["predict", str(run_dir), str(drawn_data / "val2017"), "--out", str(tmp_path)]
    assert pose_train([*words, "--show", "--no-draw", "--min-score", "0"]) == 0
    assert screen.keys == []
    assert screen.shown[0] == (128, 96)
    for path, image in zip(
        sorted((drawn_data / "val2017").iterdir()), screen.shown[1:], strict=True
    ):
        assert image.shape == (96, 128, 3)
        assert (image != cv2.imread(str(path))).any()
    screen.keys = [-1, ord("q")]
    assert pose_train([*words, "--show"]) == 130
    assert len(rows_of(tmp_path, "predictions.partial.json")) == 2


def test_q_ends_it_where_ctrl_c_is_ignored(screen: SimpleNamespace) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        screen.keys = [ord("q")]
        with pytest.raises(KeyboardInterrupt):
            Window().show(np.zeros((9, 9, 3), np.uint8))
    finally:
        signal.signal(signal.SIGINT, before)


def test_q_ends_a_camera_well(
    run_dir: Path, tmp_path: Path, screen: SimpleNamespace, camera: type[FakeCamera]
) -> None:
    camera.openings, camera.pause = [list(range(200))], 0.01
    screen.keys = [-1, 27]
    words = ["predict", str(run_dir), "0", "--out", str(tmp_path), "--show", "--no-draw"]
    assert pose_train(words) == 0
    assert len(rows_of(tmp_path)) == len(screen.shown) - 1 == 2


def test_a_large_image_gets_a_window_that_fits(screen: SimpleNamespace) -> None:
    screen.keys = [-1, -1, -1]
    window = Window()
    window.show(np.zeros((2000, 1000, 3), np.uint8))
    assert screen.shown[0] == (360, 720)
    screen.is_visible = 0.0
    window.wait()
    with pytest.raises(KeyboardInterrupt):
        window.show(np.zeros((20, 10, 3), np.uint8))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others need no DISPLAY")
def test_no_display_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is loaded."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((9, 9, 3), np.uint8))
    words = ["predict", "gone", str(tmp_path / "x.png"), "--out", str(tmp_path), "--show"]
    assert pose_train(words) == 2
    assert "--show: OpenCV cannot open a window here, " in capsys.readouterr().err
