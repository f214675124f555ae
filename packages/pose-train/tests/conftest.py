"""Tests train tiny networks, whose threads would only wait for each other."""

import dataclasses
import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from pose_backbones import create_model
from pose_codecs import MSRAHeatmap
from pose_data import COCO, synthesize
from pose_train.config.load import load_config, to_yaml
from pose_train.files.images import Image
from pose_train.inference import detect
from pose_train.inference.export import OLDEST, export
from pose_train.inference.load import Trained

TINY = "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
PICTURE = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
PNG = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the commands, which would choose
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _no_default_detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take whole images, whatever this machine has in the hub's cache; in subprocesses, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("empty")))
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.setattr(detect, "DEFAULT_DETECTOR", "none")
        yield


@pytest.fixture(scope="session")
def image() -> Image:
    """Noise (90, 120, 3) that is brightest in red and darkest in blue."""
    noise = np.random.default_rng(0).integers(0, 100, (90, 120, 3))
    return (noise + np.array([0, 50, 150])).astype(np.uint8)


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn dataset that the tests may read but not change."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    return synthesize(out, num_train=2, num_val=4, image_size=(128, 96), seed=1)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, drawn_data: Path) -> Path:
    """What a run leaves behind: config.yaml and a checkpoint, of a network as it was drawn."""
    out = tmp_path_factory.mktemp("runs") / "run"
    out.mkdir()
    config = load_config(
        "demo",
        [
            *(TINY, "model.input_size=[64, 64]", "model.heatmap_size=[16, 16]"),
            *(f"data.root={drawn_data}", "data.synthetic=null", f"out={out}"),
            *("eval.flip_test=true", "train.num_workers=0"),
        ],
    )
    torch.manual_seed(3)
    net = create_model(config.model.name, num_keypoints=17, **config.model.options)
    content = {
        "state_dict": net.state_dict(),
        "config": to_yaml(config),
        "skeleton": dataclasses.asdict(COCO),
    }
    torch.save(content, out / "checkpoint_best.pth")
    (out / "config.yaml").write_text(to_yaml(config))
    return out


@pytest.fixture(scope="session")
def lively() -> Callable[[nn.Module], nn.Module]:
    """Draw weights whose maps are about 1; as they are drawn to be trained, maps are 1e-18."""

    def draw(net: nn.Module) -> nn.Module:
        for weights in net.parameters():
            if weights.ndim > 1:
                nn.init.kaiming_normal_(weights)
        return net.eval().requires_grad_(False)

    return draw


@pytest.fixture(scope="session")
def cpm(lively: Callable[[nn.Module], nn.Module]) -> Trained:
    """A network of few layers: exporting takes as long as there are layers."""
    config = load_config(
        "cpm_coco_256x192",
        ["model.input_size=[64, 64]", "model.heatmap_size=[8, 8]", "data.warp=cv2"],
    )
    torch.manual_seed(1)
    net = lively(create_model("cpm", num_keypoints=17, num_stages=2))
    codec = MSRAHeatmap((64, 64), (8, 8))
    return Trained(net, config, codec, COCO, torch.device("cpu"), Path("runs/mine/none.pth"))


@pytest.fixture(scope="session")
def torch_export() -> None:
    """A torch whose torch.export is used, or the test is skipped."""
    if torch.__version__ < OLDEST:
        pytest.skip(f"torch {torch.__version__} is too old")


@pytest.fixture(scope="session")
def onnx_export(torch_export: None) -> None:
    """All that exporting to ONNX needs, or the test is skipped."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} comes with pose-train[export]")


@pytest.fixture(scope="session")
def cpm_onnx(onnx_export: None, cpm: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    assert f"{path}: onnx, " in export(cpm, path, "onnx")
    return path


@pytest.fixture
def title_of(tmp_path: Path) -> Callable[..., str]:
    """A function from a page, and more options of the browser, to the title that its script set."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(names)} is installed")

    def title(page: Path, *options: str) -> str:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        done = subprocess.run(
            [*command, f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        return done.stdout.partition("<title>")[2].partition("</title>")[0]

    return title


class Server(http.server.ThreadingHTTPServer):
    """Serve what the routes of a Handler say. left: streams that are still given, then 404."""

    daemon_threads = True
    picture = PICTURE
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
