"""What `pose-train predict` is given that is no file: URLs, addresses, lists, patterns."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_train.__main__ import main as pose_train
from pose_train.config.schema import ConfigError
from pose_train.files import images
from pose_train.files.inputs import find_inputs
from pose_train.files.video import video_facts
from pose_train.inference.predict import predict_inputs
from pose_train.inference.predictor import Predictor


def rows_of(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((out / "predictions.json").read_text())
    return rows


# URLs


def test_images_at_urls(
    server: Any,
    run_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Good ones are predicted, those that cannot be had are listed; nothing stops the others."""
    monkeypatch.setattr(images, "MOST_BYTES", 10 * len(server.picture))
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
    server: Any,
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


def test_boxes_of_an_image_at_a_url(server: Any, run_dir: Path, tmp_path: Path) -> None:
    """By its whole URL, as rows have it."""
    urls = [server.url("/a/photo.jpg"), server.url("/b/photo.jpg")]
    boxes = [{"file_name": url, "bbox": [i, 5, 30, 30]} for i, url in enumerate(urls)]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    words = ["predict", str(run_dir), *urls, "--out", str(tmp_path), "--allow-download"]
    assert pose_train([*words, "--boxes", str(tmp_path / "boxes.json"), "--no-draw"]) == 0
    rows = rows_of(tmp_path)
    assert [(row["file_name"], row["bbox"][0]) for row in rows] == [(urls[0], 0), (urls[1], 1)]


def test_a_recorded_video_at_a_url(server: Any, run_dir: Path, tmp_path: Path) -> None:
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
