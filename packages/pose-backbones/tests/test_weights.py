"""Finding and downloading weights, against a server on localhost."""

import contextlib
import errno
import hashlib
import http.server
import json
import re
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.message import Message

import pytest
import torch

from pose_backbones import (
    ZOO,
    CheckpointError,
    HubFile,
    Weights,
    create_model,
    find_detections,
    find_weights,
    web,
)
from pose_backbones.__main__ import main
from pose_backbones.zoo import DETECTIONS, HUB

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]
FILE = f"model-{DIGEST}_20200101.pth"


class Server(http.server.ThreadingHTTPServer):
    """Serve CONTENT under the path of FILE, and misbehave by the first folder of the path."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        folder = self.path.split("/")[1]
        wanted = self.headers.get("Range")
        self.server.requests.append((folder, wanted))
        if folder.startswith("missing") or not self.path.endswith(FILE):
            self.send_error(404)
            return
        start = int(wanted.split("=")[1][:-1]) if wanted and folder != "simple" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        content = CONTENT if folder != "wrong" else CONTENT[::-1]
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if folder == "cut":
            return
        cut = folder == "cut_once" and len(self.server.requests) == 1
        self.wfile.write(body[: len(CONTENT) // 3] if cut else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, server):
    monkeypatch.setenv("POSE_WEIGHTS_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("POSE_WEIGHTS_MIRRORS", raising=False)
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setattr("pose_backbones.weights.cached_file", lambda file: None)  # not this user's
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)  # as it may be with pytest -s
    stats = {"AP": 0.5, "AR": 0.5}
    weights = Weights("cpm", (192, 256), f"a/{FILE}", stats, source=f"{server.url}/missing/")
    monkeypatch.setitem(ZOO, "test_weights", weights)
    return tmp_path / "own"


def fetch(server, *mirrors):
    mirrors = [f"{server.url}/{mirror}" for mirror in mirrors]
    return find_weights("test_weights", download=True, mirrors=mirrors)


def assert_fetched(path, folder):
    assert path == folder / FILE
    assert path.read_bytes() == CONTENT
    assert [p.name for p in folder.iterdir()] == [FILE]


def plausible(stats):
    assert list(stats) == ["AP", "AP50", "AP75", "AR", "AR50"][: len(stats)]
    ar50 = stats.get("AR50", 0.95)
    assert 0.6 < stats["AP"] < stats["AP75"] < stats["AP50"] < ar50 < 1
    assert stats["AP"] < stats["AR"] < ar50
    return True


def test_what_the_zoo_says(server):
    published = [weights for name, weights in ZOO.items() if name != "test_weights"]
    assert len({weights.path for weights in published}) == len(published)
    for weights in published:
        assert plausible(weights.stats)
        if weights.source == HUB:
            assert weights.hub
            continue
        assert "AR50" in weights.stats
        assert re.fullmatch("[0-9a-f]{8}", weights.sha256_prefix)
        is_bottomup = weights.model.startswith("higherhrnet")
        assert (weights.stats_multi_scale is not None) == is_bottomup
        if weights.stats_multi_scale:
            assert plausible(weights.stats_multi_scale)
            assert all(weights.stats_multi_scale[k] > v for k, v in weights.stats.items())


def test_rows_of_the_hub():
    rows = {name: weights for name, weights in ZOO.items() if weights.source == HUB}
    assert len(rows) == 4
    for name, weights in rows.items():
        w, h = weights.input_size
        assert name == f"{weights.model}_coco_{h}x{w}"
        assert weights.file == f"pose_{weights.model}_{h}x{w}.pth"
        assert weights.hub[-1].file == weights.file
        known = [file.sha256 for file in weights.hub if file.sha256]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known)
        assert sorted(weights.digests) == sorted(known)
        assert weights.sha256_prefix == (weights.hub[-1].sha256 or "")[:8]
        for file in weights.hub[:-1]:  # a commit: what it holds is known
            assert re.fullmatch("[0-9a-f]{40}", file.revision)
            assert file.sha256
    assert ZOO["hrnet_w32_coco_256x192"].sha256_prefix == "19bc0837"
    assert ZOO["hrnet_w48_coco_384x288"].sha256_prefix == "95e0fec3"


def test_a_file_of_the_hub_in_a_folder(folder, monkeypatch, tmp_path):
    """Under its own name or the publisher's; another file of the row is as good."""
    wrapped = HubFile("user/name", "a/wrapped.pt", sha256=hashlib.sha256(CONTENT).hexdigest())
    plain = HubFile("user/name", "plain.pth", sha256="0" * 64)
    row = Weights("cpm", (192, 256), "plain.pth", {}, source=HUB, hub=(wrapped, plain))
    monkeypatch.setitem(ZOO, "test_weights", row)
    folder.mkdir()
    (folder / "wrapped.pt").write_bytes(CONTENT)
    assert find_weights("test_weights") == folder / "wrapped.pt"
    (folder / "plain.pth").write_bytes(b"other")
    with pytest.raises(CheckpointError, match=rf"plain.pth is damaged.* not 0{{8}} or {DIGEST}"):
        find_weights("test_weights")
    unknown = replace(row, hub=(HubFile("user/name", "plain.pth"),))
    assert unknown.digests == ()
    monkeypatch.setitem(ZOO, "test_weights", unknown)
    assert find_weights("test_weights") == folder / "plain.pth"


def test_without_huggingface_hub_the_hub_is_left_out(folder, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", None)
    file = HubFile("user/name", FILE, megabytes=1.0)
    row = replace(ZOO["test_weights"], hub=(file,))
    monkeypatch.setitem(ZOO, "test_weights", row)
    with pytest.raises(CheckpointError, match=r"(?s)user/name.*install 'pose-backbones\[hub\]'"):
        find_weights("test_weights", download=True)
    lines = []
    monkeypatch.setitem(ZOO, "test_weights", replace(row, source=f"{server.url}/ok"))
    path = find_weights("test_weights", download=True, log=lines.append)
    assert_fetched(path, folder)
    first, second = lines
    assert first == f"fetching {FILE}, 1.0 MB, from hf://user/name/{FILE}"
    reason, url = second.splitlines()
    assert reason.endswith("pip install 'pose-backbones[hub]'")
    assert url == f"fetching {FILE} from {server.url}/ok/a/{FILE}"
    (folder / FILE).unlink()
    with pytest.raises(CheckpointError, match=r"(?s)could not download .*AP_H_56.*\[hub\]"):
        find_detections()
    (folder / DETECTIONS.file).write_bytes(b"[]")
    assert find_detections() == folder / DETECTIONS.file


def test_local_files_come_first_and_are_verified(folder, server, tmp_path):
    cache = tmp_path / "cache" / "pose-backbones"
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT)
    assert find_weights("test_weights") == cache / FILE
    folder.mkdir()
    (folder / FILE).write_bytes(CONTENT)
    assert find_weights("test_weights") == folder / FILE
    (folder / FILE).write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"damaged or another file.*; remove it"):
        find_weights("test_weights", download=True)
    assert server.requests == []


def test_nothing_is_downloaded_unasked(server):
    with pytest.raises(CheckpointError, match="download=True"):
        find_weights("test_weights")
    with pytest.raises(CheckpointError, match="download=True"):
        create_model("cpm", weights="test_weights")
    with pytest.raises(ValueError, match="are for cpm, not hrnet_w32"):
        create_model("hrnet_w32", weights="test_weights")
    with pytest.raises(ValueError, match="did you mean test_weights"):
        find_weights("test_weight")
    assert server.requests == []


@pytest.mark.parametrize("value", ["1", "yes"])
def test_offline_nothing_is_downloaded_when_asked(server, monkeypatch, folder, value):
    monkeypatch.setenv("POSE_OFFLINE", value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for download in (True, None):
        with pytest.raises(CheckpointError) as raised:
            find_weights("test_weights", download=download)
        for words in (FILE, str(folder), str(folder.parent / "cache"), "POSE_OFFLINE forbids"):
            assert words in str(raised.value)
    with pytest.raises(CheckpointError, match=r"AP_H_56_person.json is not in .*POSE_OFFLINE"):
        find_detections()
    assert server.requests == []
    monkeypatch.setenv("POSE_OFFLINE", "0")
    assert_fetched(fetch(server, "ok"), folder)


def test_on_a_terminal_it_is_fetched_at_its_first_use(server, monkeypatch, folder, capsys):
    monkeypatch.setenv("POSE_WEIGHTS_MIRRORS", f"{server.url}/ok")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(CheckpointError, match="download=True"):
        find_weights("test_weights", download=False)
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun's
    with pytest.raises(CheckpointError, match="download=True"):
        find_weights("test_weights")
    monkeypatch.delenv("WORLD_SIZE")
    assert_fetched(find_weights("test_weights"), folder)
    shown = capsys.readouterr().err
    assert shown.startswith(f"fetching {FILE} from {server.url}/ok/a/{FILE}\n")
    assert "1.0 of 1.0 MB (100%)" in shown


def test_a_full_disk_ends_it(server, monkeypatch, folder):
    def write(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pose_backbones.weights._fetch", write)
    with pytest.raises(CheckpointError, match=rf"cannot keep {FILE} in {folder}: No space left"):
        fetch(server, "ok", "ok")


def test_several_at_once_fetch_it_once(folder, server):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch(server, "ok"), range(4)))
    assert paths == [folder / FILE] * 4
    assert paths[0].read_bytes() == CONTENT
    assert server.requests == [("ok", None)]
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_download(folder, server):
    assert_fetched(fetch(server, "ok"), folder)


def test_mirrors_are_asked_in_turn(folder, server, monkeypatch):
    monkeypatch.setenv("POSE_WEIGHTS_MIRRORS", f"{server.url}/missing2, {server.url}/ok")
    assert_fetched(fetch(server, "missing", "cut"), folder)
    assert {name for name, _ in server.requests} == {"missing", "cut", "missing2", "ok"}


def test_no_server_has_it(folder, server):
    with pytest.raises(CheckpointError, match=r"(?s)could not download.*HTTP 404"):
        fetch(server, "missing")
    assert list(folder.iterdir()) == []


def test_a_cut_connection_is_resumed(folder, server):
    assert_fetched(fetch(server, "cut_once"), folder)
    assert server.requests[1][1] == f"bytes={len(CONTENT) // 3}-"


def test_a_part_from_an_earlier_run_is_resumed(folder, server):
    folder.mkdir()
    (folder / f"{FILE}.part").write_bytes(CONTENT[:1000])
    assert_fetched(fetch(server, "ok"), folder)
    assert server.requests == [("ok", "bytes=1000-")]


def test_a_server_that_cannot_resume_starts_anew(folder, server):
    folder.mkdir()
    (folder / f"{FILE}.part").write_bytes(CONTENT[:1000])
    assert_fetched(fetch(server, "simple"), folder)


@pytest.mark.parametrize("part", [b"rubbish", b"rubbish" * len(CONTENT)])
def test_a_wrong_part_is_thrown_away(folder, server, part):
    folder.mkdir()
    (folder / f"{FILE}.part").write_bytes(part)
    assert_fetched(fetch(server, "ok"), folder)


def test_a_wrong_hash_is_never_kept(folder, server):
    with pytest.raises(CheckpointError, match="SHA-256 starts with"):
        fetch(server, "wrong")
    assert list(folder.iterdir()) == []
    assert_fetched(fetch(server, "wrong", "ok"), folder)


def test_a_folder_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("POSE_WEIGHTS_DIR", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=rf"cannot keep {FILE} in {tmp_path / 'file'}: \w+"):
        fetch(server, "ok")
    assert server.requests == []


def test_command_line(folder, server, capsys):
    assert main(["zoo", "test_weights"]) == 1
    assert "--download" in capsys.readouterr().err
    assert main(["zoo", "test_weights", "--download", "--mirror", f"{server.url}/ok"]) == 0
    output = capsys.readouterr()
    assert output.out == f"{folder / FILE}\n"
    assert "1.0 of 1.0 MB (100%)" in output.err
    assert main(["zoo", "test_weights", "--download", "--quiet", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"name": "test_weights", "path": str(folder / FILE)}
    (folder / FILE).unlink()
    words = ["--download", "--mirror", f"{server.url}/ok"]
    assert main(["zoo", "test_weights", *words, "--quiet"]) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == (f"{folder / FILE}\n", "")
    assert main(["zoo", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed.keys() == ZOO.keys()
    assert listed["test_weights"]["here"] == str(folder / FILE)
    assert listed["cpm_coco_256x192"]["here"] is None
    assert listed["cpm_coco_256x192"]["stats"]["AP"] == 0.623
    assert main(["zoo"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows["test_weights"].endswith(f"1.0 MB    {folder / FILE}")
    for name in ZOO.keys() - {"test_weights"}:
        assert rows[name].endswith(f"not here  {ZOO[name].file}")
        assert f"{ZOO[name].stats['AR']:.3f}" in rows[name]
    assert rows["higherhrnet_w48_coco_512x512"].split()[2:6] == ["0.686", "0.731", "0.716", "0.755"]
    assert rows["cpm_coco_256x192"].split()[1:7] == ["192x256", "0.623", "0.685", "-", "-", "1"]


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Redirect to where the path says, and never end otherwise."""

    def do_GET(self):
        if "to=" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.partition("to=")[2])
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()  # without a length
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1000))

    def log_message(self, *args):
        pass


@pytest.fixture
def elsewhere():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://x/"])
def test_redirects_to_other_schemes_are_not_followed(elsewhere, folder, target):
    with pytest.raises(CheckpointError, match="could not download"):
        find_weights("test_weights", download=True, mirrors=[f"{elsewhere}/to={target}?"])
    assert not list(folder.glob("*.pth"))


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://127.0.0.1"])
def test_mirrors_are_of_http(mirror, folder):
    with pytest.raises(CheckpointError, match="unknown url type"):
        find_weights("test_weights", download=True, mirrors=[mirror])


def test_https_does_not_become_http():
    handler, request = web._Redirects(), urllib.request.Request("https://a.org/x")
    with pytest.raises(urllib.error.HTTPError, match=r"from https to 'http://a\.org/x'") as raised:
        handler.redirect_request(request, None, 302, "Found", Message(), "http://a.org/x")
    raised.value.close()
    followed = handler.redirect_request(request, None, 302, "Found", Message(), "https://b.org/x")
    assert followed.full_url == "https://b.org/x"


def test_a_download_that_never_ends(elsewhere, folder, monkeypatch):
    monkeypatch.setattr("pose_backbones.weights.MOST_BYTES", 1 << 20)
    with pytest.raises(CheckpointError, match="it is larger than"):
        find_weights("test_weights", download=True, mirrors=[elsewhere])
    monkeypatch.setattr("pose_backbones.weights.MOST_BYTES", 1 << 40)
    monkeypatch.setattr("pose_backbones.weights.MOST_SECONDS", 0)
    with pytest.raises(CheckpointError, match="it takes longer than"):
        find_weights("test_weights", download=True, mirrors=[elsewhere])
    assert not list(folder.iterdir())


def test_names_in_a_file_are_printed_without_control_characters(tmp_path, capsys):
    torch.save({"a.\x1b[2J.weight": torch.ones(1), "\ud800": torch.ones(1)}, tmp_path / "a.pth")
    assert main(["info", str(tmp_path / "a.pth")]) in (0, 1)
    captured = capsys.readouterr()
    assert not set("\x1b\ud800") & {*captured.out, *captured.err}
