"""Weights and detections from a Hugging Face hub on localhost, and all that can go wrong."""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hub_server import Hub, serve_hub

from pose_backbones import (
    ZOO,
    CheckpointError,
    HubFile,
    create_model,
    find_detections,
    find_weights,
    local_weights,
)
from pose_backbones.zoo import DETECTIONS
from pose_train.__main__ import main
from pose_train.inference import detect
from pose_train.inference.weights import weights_file

ROW = "hrnet_w32_coco_256x192"
CONTENT = bytes(range(256)) * 256  # 64 KiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRAPPED, PLAIN = "wrapped.pt", "pose_hrnet_w32_256x192.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with both files of a row of the zoo, changed to their hashes, and the detections."""
    monkeypatch.setenv("POSE_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("POSE_OFFLINE", "")  # `--offline` sets it
    monkeypatch.delenv("POSE_WEIGHTS_MIRRORS", raising=False)
    with serve_hub(monkeypatch, tmp_path) as server:
        server.repos["user/wrapped"] = {WRAPPED: CONTENT[::-1]}
        server.repos[DETECTIONS.repo] = {PLAIN: CONTENT, DETECTIONS.path: b"[]"}
        wrapped = HubFile(
            "user/wrapped",
            WRAPPED,
            server.commit_of("user/wrapped"),
            hashlib.sha256(CONTENT[::-1]).hexdigest(),
            0.1,
        )
        plain = HubFile(DETECTIONS.repo, PLAIN, sha256=SHA256)
        monkeypatch.setitem(ZOO, ROW, replace(ZOO[ROW], hub=(wrapped, plain)))
        yield server


def lines_of_fetching() -> tuple[Path, list[str]]:
    lines: list[str] = []
    return find_weights(ROW, download=True, log=lines.append), lines


def test_a_row_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    path, lines = lines_of_fetching()
    assert lines == [f"fetching {PLAIN}, 0.1 MB, from hf://user/wrapped/{WRAPPED}"]
    assert path.read_bytes() == CONTENT[::-1]
    assert path.is_relative_to(tmp_path / "hub")
    assert not (tmp_path / "weights").exists()
    count = len(hub.requests)
    assert local_weights(ROW) == path
    assert find_weights(ROW) == path
    assert len(hub.requests) == count


def test_the_detections(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "fetch", "detections"]) == 0
    printed = capsys.readouterr()
    path = Path(printed.out.strip())
    assert path.read_bytes() == b"[]"
    assert printed.err.startswith(
        f"fetching {DETECTIONS.file}, 16.4 MB, from hf://{DETECTIONS.repo}/{DETECTIONS.path}"
    )
    count = len(hub.requests)
    assert find_detections() == path
    assert len(hub.requests) == count


def test_a_redirect_to_another_host_is_followed_without_the_token(hub: Hub) -> None:
    hub.faults[WRAPPED] = "elsewhere"
    path, _ = lines_of_fetching()
    assert path.read_bytes() == CONTENT[::-1]
    tokens = {where: has_token for _, where, _, has_token in hub.requests}
    assert tokens == {
        f"/user/wrapped/resolve/{hub.commit_of('user/wrapped')}/{WRAPPED}": True,
        f"/cdn/user/wrapped/{WRAPPED}": False,
    }


def test_a_cut_connection_is_resumed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1)  # all that came is kept
    hub.faults[WRAPPED] = "cut"
    path, lines = lines_of_fetching()
    assert path.read_bytes() == CONTENT[::-1]
    assert len(lines) == 1
    assert hub.requests[-1][2] == f"bytes={len(CONTENT) // 3}-"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing", "HTTP 404"),
        ("private", "HTTP 401"),
        ("swapped", f"it is damaged or another file: its SHA-256 is {SHA256}, not "),
    ],
)
def test_the_next_source_is_tried(hub: Hub, fault: str, reason: str) -> None:
    hub.faults[WRAPPED] = fault
    path, lines = lines_of_fetching()
    assert path.read_bytes() == CONTENT
    problem, following = lines[1].splitlines()
    assert problem.startswith(f"hf://user/wrapped/{WRAPPED}: {reason}")
    assert following == f"fetching {PLAIN} from hf://{DETECTIONS.repo}/{PLAIN}"


def test_a_wrong_file_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.faults |= {WRAPPED: "swapped", PLAIN: "swapped"}
    with pytest.raises(CheckpointError, match=r"(?s)user/wrapped.*SHA-256.*cocopose.*SHA-256"):
        find_weights(ROW, download=True)
    assert local_weights(ROW) is None
    assert not [path for path in (tmp_path / "hub").rglob("blobs/*") if path.is_file()]
    hub.faults.clear()
    assert find_weights(ROW, download=True).read_bytes() == CONTENT[::-1]


def test_without_a_known_hash_the_one_that_the_hub_states_is_verified(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ZOO, ROW, replace(ZOO[ROW], hub=(HubFile(DETECTIONS.repo, PLAIN),)))
    hub.faults[PLAIN] = "swapped"
    with pytest.raises(CheckpointError, match=f"not {SHA256}"):
        find_weights(ROW, download=True)
    hub.faults.clear()
    assert find_weights(ROW, download=True).read_bytes() == CONTENT


def test_a_file_that_came_into_the_cache_otherwise_is_verified(hub: Hub, tmp_path: Path) -> None:
    """By its content where the cache does not name it by its hash, as without symbolic links."""
    path, _ = lines_of_fetching()
    path.unlink()
    path.write_bytes(CONTENT)
    assert find_weights(ROW) == path  # the plain file of the row is as good
    path.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="damaged or another file"):
        find_weights(ROW)


def test_a_mirror_comes_before_the_hub(hub: Hub, tmp_path: Path) -> None:
    mirror = f"{hub.url}/cdn/{DETECTIONS.repo}"
    path = find_weights(ROW, download=True, mirrors=[mirror])
    assert path == tmp_path / "weights" / PLAIN
    assert hub.paths("GET") == [f"/cdn/{DETECTIONS.repo}/{PLAIN}"]


def test_no_space_left(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", write)
    with pytest.raises(CheckpointError) as raised:
        find_weights(ROW, download=True)
    assert str(raised.value) == (
        f"cannot keep {PLAIN} in {tmp_path / 'hub'}: {os.strerror(errno.ENOSPC)}"
    )
    assert len(set(hub.paths("HEAD"))) == 1, "the next source would find no more space"


def test_no_connection(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"OfflineModeIsEnabled: .*HF_HUB_OFFLINE"):
        find_weights(ROW, download=True)
    assert hub.requests == []


def test_a_row_that_is_named_is_fetched_on_a_terminal_alone(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match=rf"`pose-train zoo fetch {ROW}`, or name your copy"):
        weights_file(ROW)
    assert hub.requests == []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert weights_file(ROW).read_bytes() == CONTENT[::-1]
    shown = capsys.readouterr().err
    assert shown.startswith(f"fetching {PLAIN}, 0.1 MB, from hf://user/wrapped/{WRAPPED}\n")


def test_offline_names_the_file_and_every_place(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    predict = ["predict", ROW, str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    for words in (["test", ROW], predict):
        monkeypatch.setenv("POSE_OFFLINE", "")
        assert main([*words, "--offline"]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        places = (tmp_path / "weights", tmp_path / "cache", f"hub's cache {tmp_path / 'hub'}")
        assert all(str(text) in error for text in (PLAIN, *places, "POSE_OFFLINE"))
    assert hub.requests == []


@pytest.mark.parametrize("package", ["pose_backbones", "pose_train"])
def test_quiet_commands_show_no_bars_of_the_hub(package: str) -> None:
    script = f"from {package}.__main__ import main; assert main(['zoo', *words]) == 0;"
    script += "from huggingface_hub.utils import are_progress_bars_disabled as are; print(are())"
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_DISABLE_PROGRESS_BARS"}
    for words, hidden in ((["-q"], True), ([], False)):
        command = [sys.executable, "-c", f"words = {words}; {script}"]
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert shown.stdout.splitlines()[-1] == str(hidden)


def test_the_environment_of_huggingface_hub_holds(hub: Hub, tmp_path: Path) -> None:
    """Typed into a shell: HF_ENDPOINT and HF_HOME are those that people know."""
    path = DETECTIONS.path
    words = [sys.executable, "-m", "pose_train", "zoo", "fetch", "detections"]
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "home")
    assert path in done.stderr


def test_the_wrapped_file_is_read_as_the_official_one(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny network in the documented form: the official state dict below "model"."""
    torch.manual_seed(0)
    options = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1), "num_blocks": 1}
    net = create_model("hrnet", **options)
    state = {name.partition(".")[2]: tensor for name, tensor in net.state_dict().items()}
    content = {
        "model": state,
        "schema_version": 1,
        "model_family": "hrnet",
        "size": "w32",
        "task": "pose",
        "nc": 1,
        "names": {0: "person"},
        "imgsz": [256, 192],
        "kpt_shape": (17, 3),
    }
    torch.save(content, tmp_path / WRAPPED)
    data = (tmp_path / WRAPPED).read_bytes()
    hub.repos["user/wrapped"] = {WRAPPED: data}
    commit, digest = hub.commit_of("user/wrapped"), hashlib.sha256(data).hexdigest()
    file = HubFile("user/wrapped", WRAPPED, commit, digest)
    monkeypatch.setitem(ZOO, ROW, replace(ZOO[ROW], model="hrnet", hub=(file,)))
    other = create_model("hrnet", weights=ROW, download=True, **options)
    own = other.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in net.state_dict().items())


def test_the_default_detector_is_fetched_on_a_terminal_alone(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with a line; then it comes from the cache."""
    pytest.importorskip("transformers", reason="transformers comes with pose-train[detect]")
    name = "user/detector"
    monkeypatch.setattr(detect, "DEFAULT_DETECTOR", name)
    files = ("config.json", "preprocessor_config.json", "model.safetensors")
    hub.repos[name] = dict.fromkeys(files, b"{}")
    lacking = (
        f"the detector {name} is not in the Hugging Face cache; `hf download {name}` fetches it"
    )
    assert detect.lacks_default() == lacking
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("POSE_OFFLINE", "1")
    assert detect.lacks_default() == lacking
    assert hub.requests == []
    monkeypatch.setenv("POSE_OFFLINE", "")
    assert detect.lacks_default() is None
    fetching = f"fetching the detector {name} from the Hugging Face hub\n"
    assert capsys.readouterr().err.startswith(fetching)
    count = len(hub.requests)
    assert detect.lacks_default() is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert detect.lacks_default() is None
    assert len(hub.requests) == count
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(detect, "DEFAULT_DETECTOR", "user/gone")
    assert "cannot be downloaded: HTTP 404" in (detect.lacks_default() or "")
