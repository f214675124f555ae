"""Videos are read and written whole, or there is an error that says so."""

import importlib.util
import json
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import DatasetError
from pose_train.files import video as videos
from pose_train.files.inputs import find_inputs
from pose_train.files.video import (
    VideoWriter,
    constant_rate,
    is_cut_short,
    read_frames,
    usable_rate,
    video_facts,
    video_writer,
)
from pose_train.files.write import RunDirError
from pose_train.inference.predict import predict_inputs
from pose_train.inference.predictor import Predictor


def write(path: Path, count: int = 6, size: tuple[int, int] = (64, 48), rate: float = 12.0) -> None:
    rng = np.random.default_rng(0)
    with video_writer(path, rate) as writer:
        for number in range(count):
            writer.add(rng.integers(0, 256, (size[1], size[0], 3), np.uint8), number / rate)


@pytest.fixture(params=["PyAV", "OpenCV"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What writes: PyAV where it is installed, else OpenCV."""
    if request.param == "PyAV":
        pytest.importorskip("av", reason="PyAV comes with pose-train[video]")
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return str(request.param)


UNEVEN = [0, 0.033, 0.066, 0.1, 1, 2, 3, 3.033, 3.066, 3.1, 6, 9]  # a phone's, or of a screen


def write_gaps(path: Path) -> None:
    """Write a Matroska file with OpenCV, at 30 frames per second, and then UNEVEN into it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for number in range(len(UNEVEN)):
        writer.write(np.full((48, 64, 3), 40 + 10 * number, np.uint8))
    writer.release()
    data, place = bytearray(path.read_bytes()), 0
    for number, time in enumerate(UNEVEN):  # the head of a block: track 1, time, key frame
        block = b"\x81" + round(number * 1000 / 30).to_bytes(2, "big") + b"\x80"
        place = data.index(block, place) + 1
        data[place : place + 2] = round(time * 1000).to_bytes(2, "big")
    place = data.index(b"\x44\x89\x88") + 3  # the duration in milliseconds
    data[place : place + 8] = struct.pack(">d", 9033.0)
    path.write_bytes(data)


def write_uneven(path: Path, codec: str = "mpeg4", times: Sequence[float] = UNEVEN) -> None:
    """Write frames, the first ones each lighter than the last, timed in milliseconds."""
    av = pytest.importorskip("av", reason="PyAV writes time stamps; OpenCV constant rates alone")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            image = np.full((64, 80, 3), 40 + 10 * (number % 20), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("size", [(64, 48), (65, 49), (2, 3)])
def test_every_frame_arrives(tmp_path: Path, encoder: str, size: tuple[int, int]) -> None:
    path = tmp_path / "deep" / "video.mp4"
    write(path, size=size)
    frames = list(read_frames(path))
    assert len(frames) == video_facts(path).frames == 6
    assert frames[0].image.shape == (size[1] // 2 * 2, size[0] // 2 * 2, 3), "video has even sides"
    assert [frame.time for frame in frames] == pytest.approx([i / 12 for i in range(6)], abs=1e-3)
    assert video_facts(path).rate == pytest.approx(12)
    assert [file.name for file in path.parent.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize("rate", [0.25, 29.97, 240.0])
def test_rates(tmp_path: Path, encoder: str, rate: float) -> None:
    write(tmp_path / "video.mp4", rate=rate)
    assert constant_rate(tmp_path / "video.mp4") == pytest.approx(rate, rel=1e-3)
    assert len(list(read_frames(tmp_path / "video.mp4"))) == 6


@pytest.mark.parametrize("stated", [0.0, float("nan"), -1.0, 1000.0, 90000.0])
def test_an_unknown_rate_is_a_usual_one(stated: float) -> None:
    assert usable_rate(stated) == 25.0


def test_frames_of_another_size_are_not_lost(tmp_path: Path) -> None:
    with video_writer(tmp_path / "video.mp4", 5.0) as writer:
        writer.add(np.zeros((48, 64, 3), np.uint8), 0.0)
        writer.add(np.zeros((96, 32, 3), np.uint8), 0.2)
    assert [frame.shape for frame, _ in read_frames(tmp_path / "video.mp4")] == [(48, 64, 3)] * 2


def test_a_video_that_is_stopped_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path)
    before = path.read_bytes()

    def stopped() -> None:
        with video_writer(path, 5.0) as writer:
            writer.add(np.zeros((48, 64, 3), np.uint8), 0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


def test_a_full_disk_is_one_error(tmp_path: Path, encoder: str) -> None:
    """A file that may not grow is to FFmpeg what a full disk is."""
    resource = pytest.importorskip("resource", reason="limits of file sizes are of Unix")
    limits: Any = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "video.mp4"
    write(path, count=2)
    before = path.read_bytes()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        reason = "0 of 9 frames .* full" if encoder == "OpenCV" else "File too large"
        with pytest.raises(RunDirError, match=rf"cannot write .*video\.mp4: {reason}"):
            write(path, count=9, size=(320, 240))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


def test_a_browser_plays_it(tmp_path: Path, encoder: str, title_of: Callable[..., str]) -> None:
    write(tmp_path / "video.mp4", count=24)
    page = tmp_path / "page.html"
    page.write_text(
        "<video id=v muted src=video.mp4></video><script>v.onloadeddata=()=>{document.title="
        "`${v.videoWidth} ${v.duration}`};v.onerror=()=>{document.title=`error ${v.error.code}`};"
        "v.load()</script>"
    )
    assert title_of(page, "--virtual-time-budget=8000") == "64 2"


def test_no_encoder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda self: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r"cannot write an MP4 of 64x48 at 12 frames per second with this OpenCV; .*--no-draw"
    with pytest.raises(RunDirError, match=message):
        write(tmp_path / "video.mp4")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").mkdir()
    with pytest.raises(RunDirError, match=r"cannot write .*video\.mp4: Is a directory"):
        write(tmp_path / "video.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(RunDirError, match=r"cannot write .*file"):
        write(tmp_path / "file" / "video.mp4")


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    assert video_facts(tmp_path / "x.mp4") == (0, 0.0, 25.0)
    with pytest.raises(DatasetError, match=r"x\.mp4 cannot be read: no video, damaged, "):
        next(read_frames(tmp_path / "x.mp4"))
    assert not is_cut_short(video_facts(tmp_path / "x.mp4"), 0.0, 0.0)


def test_a_codec_that_opencv_lacks_needs_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=r"OpenCV does not decode: pip install 'pose-train\[v"):
        next(read_frames(tmp_path / "x.mp4"))


@pytest.mark.parametrize("name", ["gaps.mkv", "video.mkv", "video.mp4", "video.avi"])
def test_times_are_the_containers(tmp_path: Path, name: str) -> None:
    """What OpenCV makes of an .mkv with gaps is that most of its frames are missing."""
    path = tmp_path / name
    (write_gaps if name == "gaps.mkv" else write_uneven)(path)
    frames = list(read_frames(path))
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=2e-3)
    assert not is_cut_short(video_facts(path), frames[-1].time, 3.0)
    assert constant_rate(path) == pytest.approx(30, abs=0.5)
    with video_writer(tmp_path / "drawn.mp4", constant_rate(path)) as writer:
        for frame in frames:
            writer.add(*frame)
    assert (writer.left_out, writer.shortened) == (0, 0)
    drawn = list(read_frames(tmp_path / "drawn.mp4"))
    assert len(drawn) == writer.count == len(UNEVEN) + writer.repeated
    for frame, after in zip(frames, [*UNEVEN[1:], 9.02], strict=True):
        shown = [d.image.mean() for d in drawn if frame.time + 0.02 < d.time < after - 0.02]
        assert shown == pytest.approx([frame.image.mean()] * len(shown), abs=4), "the right speed"


def test_a_video_with_gaps_is_predicted(run_dir: Path, tmp_path: Path) -> None:
    write_gaps(tmp_path / "gaps.mkv")
    inputs = find_inputs([str(tmp_path / "gaps.mkv")])
    summary = predict_inputs(Predictor.from_checkpoint(run_dir), inputs, tmp_path / "out")
    assert summary.problems == []
    assert summary.notes == [
        "gaps.mkv: the times of its frames are uneven; drawn with 30 frames per second: 259 "
        "repeated, 0 left out"
    ]
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [row["time"] for row in rows] == UNEVEN
    assert [row["frame"] for row in rows] == list(range(12))


def test_a_late_start_and_no_time_stamps(tmp_path: Path) -> None:
    write_uneven(tmp_path / "late.mkv", times=[1 + i / 30 for i in range(9)])
    frames = list(read_frames(tmp_path / "late.mkv"))
    assert [frame.time for frame in frames] == pytest.approx([i / 30 for i in range(9)], abs=2e-3)
    if hasattr(cv2, "CAP_PROP_PTS"):  # older OpenCVs do not tell when a video starts
        assert not is_cut_short(video_facts(tmp_path / "late.mkv"), frames[-1].time, 0.034)
    write_uneven(tmp_path / "raw.m4v", times=[i / 30 for i in range(9)])
    (tmp_path / "raw.m4v").rename(tmp_path / "raw.mp4")
    assert np.diff([frame.time for frame in read_frames(tmp_path / "raw.mp4")]).min() > 0


def test_times_rise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "video.mp4", count=2, rate=10.0)
    stamps = [0.5, 0.0, 0.7, 0.1, float("nan"), 2.0]
    given = [videos.Frame(np.zeros((2, 2, 3), np.uint8), time) for time in stamps]
    monkeypatch.setattr(videos, "_with_opencv", lambda path: iter(given))
    times = [frame.time for frame in read_frames(tmp_path / "video.mp4")]
    assert times == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 2.0])


def test_cut_videos(tmp_path: Path) -> None:
    write_uneven(tmp_path / "video.mkv", times=[i / 30 for i in range(120)])
    data = (tmp_path / "video.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    times = [frame.time for frame in read_frames(tmp_path / "cut.mkv")]
    assert 1 < len(times) < 110
    assert is_cut_short(video_facts(tmp_path / "cut.mkv"), times[-1], 1 / 30)


@pytest.mark.parametrize("by_opencv", [True, False])
def test_pyav_gives_what_opencv_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_opencv: bool
) -> None:
    """Also of one that is turned, as phones hold it; AV1 is what OpenCV's wheels do not read."""
    path = tmp_path / "video.mp4"
    write_uneven(path, "mpeg4")
    data = path.read_bytes()
    place = data.index(b"tkhd") + 4 + 40
    turned = [0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30]  # of the frame, clockwise
    matrix = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    path.write_bytes(data[:place] + matrix + data[place + 36 :])
    if not by_opencv:
        monkeypatch.setattr(videos, "_with_opencv", lambda path: iter(()))
    frames = list(read_frames(path))
    assert [frame.image.shape for frame in frames] == [(80, 64, 3)] * len(UNEVEN)
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=2e-3)
    means = [frame.image.mean() for frame in frames]
    assert means == pytest.approx([40 + 10 * i for i in range(len(UNEVEN))], abs=4)


def test_av1(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV reads what OpenCV cannot")
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV cannot write AV1")
    write_uneven(tmp_path / "video.mp4", "libsvtav1")
    frames = list(read_frames(tmp_path / "video.mp4"))
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=2e-3)


def test_a_video_has_a_constant_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that come too fast are left out, long pauses shortened; the rest keeps its time."""
    writer = VideoWriter(Path("video.mp4"), 10.0)
    written: list[int] = []

    class File:
        def write(self, image: np.ndarray[Any, Any]) -> None:
            written.append(int(image[0, 0, 0]))

    monkeypatch.setattr(writer, "_open", lambda size: None)
    monkeypatch.setattr(writer, "file", File())
    for number, time in enumerate([5.0, 5.1, 5.12, 5.2, 5.6, 5000.0, 5000.1]):
        writer.add(np.full((2, 2, 3), number, np.uint8), time)
    assert written[:8] == [0, 1, 3, 3, 3, 3, 4, 4]
    assert written[-3:] == [4, 5, 6]
    assert writer.count == len(written) == 9 + videos.MOST_REPEATS
    assert (writer.left_out, writer.repeated) == (1, 3 + videos.MOST_REPEATS)
    assert writer.shortened == pytest.approx(5000 - 5.7 - videos.MOST_REPEATS / 10)
