"""`pose-train predict` of what is no file: URLs, streams, cameras, lists; --live and --show."""

import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from pose_train.__main__ import main as pose_train
from pose_train.commands.predict import predict_inputs
from pose_train.config.schema import ConfigError, RunError
from pose_train.files import images, live
from pose_train.files.inputs import find_inputs
from pose_train.files.live import LiveSource, Window
from pose_train.files.video import read_frames, video_facts
from pose_train.inference.predictor import Predictor

PICTURE = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
PNG = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


class Server(http.server.ThreadingHTTPServer):
    """Serve what the routes of a Handler say. left: streams that are still given, then 404."""

    daemon_threads = True
    film = b""
    left = 1

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/stream") and self.server.left:
            self.server.left -= 1
            return self.stream(12 if path == "/stream" else 10_000)
        kind, content, *headers = {
            "/a/photo.jpg": ("image/jpeg", PICTURE),
            "/b/photo.jpg": ("image/jpeg", PICTURE),
            "/snapshot": ("image/png", PNG),
            "/cut.jpg": ("image/jpeg", PICTURE, ("Content-Length", str(len(PICTURE) + 10))),
            "/large.jpg": ("image/jpeg", PICTURE * 20),
            "/moved.jpg": ("", b"", ("Location", "/a/photo.jpg")),
            "/ftp.jpg": ("", b"", ("Location", "ftp://127.0.0.1/photo.jpg")),
            "/file.jpg": ("", b"", ("Location", "file:///etc/hostname")),
            "/page": ("text/html", b"<html>"),
            "/film.mp4": ("video/mp4", self.server.film),
            "/film": ("video/mp4", self.server.film),
        }.get(path, ("", b""))
        self.send_response(200 if kind else 302 if headers else 404)
        self.send_header("Content-Type", kind)
        for header in headers or [("Content-Length", str(len(content)))]:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(content)

    def stream(self, count: int) -> None:
        """Send JPEGs as cameras do, 100 a second."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
        try:
            for _ in range(count):
                self.wfile.write(head.encode() + PICTURE + b"\r\n")
                time.sleep(0.01)
        except OSError:
            pass  # who looked has gone

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def rows_of(out: Path, name: str = "predictions.json") -> list[dict[str, Any]]:
    text = (out / name).read_text()
    rows: list[dict[str, Any]] = (
        json.loads(text) if name.endswith(".json") else [*map(json.loads, text.splitlines())]
    )
    return rows


# URLs


def test_images_at_urls(
    server: Server,
    run_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Good ones are predicted, those that cannot be had are listed; nothing stops the others."""
    monkeypatch.setattr(images, "MOST_BYTES", 10 * len(PICTURE))
    good = ["/a/photo.jpg", "/b/photo.jpg?size=2", "/moved.jpg", "/snapshot"]
    bad = {
        "/cut.jpg": "the download is cut short, 10 bytes are missing",
        "/large.jpg": "it is larger than 0 MiB",
        "/ftp.jpg": "it cannot be downloaded: unknown url type: ftp",
        "/file.jpg": "HTTP 302 Found - Redirection to url 'file:///etc/hostname' is not allowed",
        "/gone.jpg": "HTTP 404 Not Found",
        "/gone": "HTTP 404 Not Found",
    }
    urls = [server.url(path) for path in (*good, *bad)]
    words = ["predict", str(run_dir), *urls, "--out", str(tmp_path), "--allow-download"]
    assert pose_train([*words, "--no-flip"]) == 1
    printed = capsys.readouterr().out
    for path, reason in bad.items():
        assert f"  {server.url(path)}: {reason}" in printed
    assert [row["file_name"] for row in rows_of(tmp_path)] == urls[: len(good)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("moved.jpg", "photo-2.jpg", "photo.jpg", "predictions.json", "snapshot.png")
    ]


def test_downloads_are_asked_for(
    server: Server,
    run_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSE_OFFLINE", "")
    for path, message in {
        "/a/photo.jpg": "is an image to download: add --allow-download",
        "/snapshot": "is an image to download: add --allow-download",
        "/film.mp4": "is a recorded video to download: add --allow-download",
        "/film": "is a recorded video to download: add --allow-download",
        "/page": "is text/html, neither an image nor a video",
        "/gone": "HTTP 404 Not Found",
    }.items():
        words = ["predict", str(run_dir), server.url(path), "--out", str(tmp_path)]
        assert pose_train(words) == 2
        assert capsys.readouterr().err.endswith(f"{message}\n")
    words[2] = server.url("/a/photo.jpg")
    assert pose_train([*words, "--allow-download", "--offline"]) == 2
    assert (
        "photo.jpg is an image to download, which POSE_OFFLINE forbids" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("url", "drawn"),
    [
        ("http://host/a/..%2F..%2Fx.jpg", "_2F.._2Fx"),
        ("http://host/a/..jpg", "jpg"),
        (r"http://host/c:\x.jpg", "c__x"),
        ("http://host/" + "long" * 90 + ".jpg", "long" * 20),
        ("http://host/%00.jpg#/../..", "_00"),
    ],
)
def test_no_url_leads_out_of_the_folder(url: str, drawn: str) -> None:
    try:
        (entry,) = find_inputs([url], allow_download=True)
    except ConfigError:  # whose path has no suffix: nobody answers
        pytest.fail("it is an image")
    assert (entry.drawn, entry.path.suffix) == (drawn, ".jpg")
    assert entry.path.name == str(entry.path)


def test_addresses_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (camera,) = find_inputs(["0"])
    assert (camera.name, camera.is_live, camera.is_video) == ("camera 0", True, True)
    (stream,) = find_inputs(["rtsp://me:secret@10.0.0.2:554/live?channel=1"])
    assert stream.name == "rtsp://10.0.0.2:554/live?channel=1"
    assert (stream.drawn, stream.is_live) == ("live", True)
    assert stream.address == "rtsp://me:secret@10.0.0.2:554/live?channel=1"
    with pytest.raises(ConfigError, match="camera 0 has no end: name it alone"):
        find_inputs(["0", "1"])
    for address in ("file:///etc/hostname", "ftp://me:secret@host/x.jpg", "rtsp://"):
        with pytest.raises(ConfigError, match="is no address of a stream: it would beg") as error:
            find_inputs([address], allow_download=True)
        assert "secret" not in str(error.value)
    with pytest.raises(ConfigError, match=r"http://\[::1 is no address: Invalid IPv6"):
        find_inputs(["http://[::1"])
    monkeypatch.chdir(tmp_path)
    Path("0").mkdir()
    Path("0/a.jpg").touch()
    Path("1").touch()
    assert [entry.name for entry in find_inputs(["0", "1"])] == ["a.jpg", "1"], "files win"


def test_boxes_of_an_image_at_a_url(server: Server, run_dir: Path, tmp_path: Path) -> None:
    """By its whole URL, as rows have it."""
    urls = [server.url("/a/photo.jpg"), server.url("/b/photo.jpg")]
    boxes = [{"file_name": url, "bbox": [i, 5, 30, 30]} for i, url in enumerate(urls)]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    words = ["predict", str(run_dir), *urls, "--out", str(tmp_path), "--allow-download"]
    assert pose_train([*words, "--boxes", str(tmp_path / "boxes.json"), "--no-draw"]) == 0
    rows = rows_of(tmp_path)
    assert [(row["file_name"], row["bbox"][0]) for row in rows] == [(urls[0], 0), (urls[1], 1)]


def test_a_recorded_video_at_a_url(server: Server, run_dir: Path, tmp_path: Path) -> None:
    """Every frame of it is taken."""
    writer = cv2.VideoWriter(
        str(tmp_path / "x.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12.0, (64, 48)
    )
    for i in range(5):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    server.film = (tmp_path / "x.mp4").read_bytes()
    inputs = find_inputs([server.url("/film")], allow_download=True)
    summary = predict_inputs(Predictor(run_dir), inputs, tmp_path / "out")
    assert (summary.frames, summary.problems, summary.notes) == (5, [], [])
    assert {row["file_name"] for row in rows_of(tmp_path / "out")} == {server.url("/film")}
    assert video_facts(tmp_path / "out/film.mp4").frames == 5


# Cameras and streams


def test_a_stream_that_is_lost(
    server: Server, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    message = "pose-train: rtsp://127.0.0.1:9/x cannot be opened: is the address right, and does"
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
def test_ctrl_c_ends_a_stream_well(server: Server, run_dir: Path, tmp_path: Path) -> None:
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
    assert video_facts(tmp_path / "endless.mp4").frames >= len(rows)


# Lists and patterns


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_a_list_on_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: bytes) -> None:
    names = ["a.jpg", "b c.jpg", "sub"]
    for name in ("a.jpg", "b c.jpg", "sub/x.jpg", "z.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    content = separator.join([*(os.fsencode(tmp_path / name) for name in names), b""])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = find_inputs([str(tmp_path / "z.jpg"), "-"])
    assert [entry.name for entry in found] == ["z.jpg", "a.jpg", "b c.jpg", "x.jpg"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(ConfigError, match="- is a list of inputs on stdin, one a line, and it is"):
        find_inputs(["-"])


def test_drawings_of_a_deep_pattern_keep_apart(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "a/b/x.jpg", "y.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_inputs([str(tmp_path / "**/*.jpg")])
    assert [entry.path.relative_to(tmp_path).as_posix() for entry in found] == [
        *("a/b/x.jpg", "a/x.jpg", "y.jpg")
    ]
    assert [entry.drawn for entry in found] == ["x", "x-2", "y"]


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
    """What OpenCV shows, and the keys that it reports; is_visible: the window was not closed."""
    screen = SimpleNamespace(shown=[], keys=[], is_visible=1.0)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    for name, fake in {
        "namedWindow": lambda *_: None,
        "resizeWindow": lambda *size: screen.shown.append(size[1:]),
        "imshow": lambda _, image: screen.shown.append(image),
        "waitKey": lambda _: screen.keys.pop(0) if screen.keys else -1,
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


def test_q_ends_a_camera_well(
    run_dir: Path, tmp_path: Path, screen: SimpleNamespace, camera: type[FakeCamera]
) -> None:
    camera.openings, camera.pause = [list(range(200))], 0.01
    screen.keys = [-1, 27]
    words = ["predict", str(run_dir), "0", "--out", str(tmp_path), "--show", "--no-draw"]
    assert pose_train(words) == 0
    assert len(rows_of(tmp_path)) == len(screen.shown) - 1 == 2


def test_a_large_image_gets_a_window_that_fits(screen: SimpleNamespace) -> None:
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
