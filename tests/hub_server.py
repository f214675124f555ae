"""A Hugging Face hub on localhost: the few routes that huggingface_hub needs, and its faults."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

LARGE = (".pth", ".pt", ".safetensors", ".json")  # kept as LFS objects, named by their SHA-256


class Hub(http.server.ThreadingHTTPServer):
    """Serve repositories, each with one revision, `main`, and take commits.

    faults: what goes wrong with a file, by its path: "missing", "private", "elsewhere" (redirects
    to another host), "swapped" (other bytes of the same length), "cut" (the connection, once).
    requests: (method, path, Range, whether it carried a token).
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}  # of LFS, by SHA-256
        self.private: set[str] = set()
        self.faults: dict[str, str] = {}
        self.requests: list[tuple[str, str, str | None, bool]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.elsewhere = f"http://localhost:{self.server_port}"  # the same, to a client another

    def commit_of(self, repo: str) -> str:
        """Return the name of a repository's only commit, which follows from its content."""
        files = {path: hashlib.sha256(data).hexdigest() for path, data in self.repos[repo].items()}
        return hashlib.sha1(json.dumps(files, sort_keys=True).encode()).hexdigest()

    def paths(self, method: str) -> list[str]:
        """Return the paths that were asked for by a method."""
        return [path for each, path, _, _ in self.requests if each == method]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Find the route of a request and follow it; others are 404."""
        path = unquote(urlsplit(self.path).path)
        has_token = "Authorization" in self.headers
        self.server.requests.append((self.command, path, self.headers.get("Range"), has_token))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        for pattern, route in ROUTES:
            if match := re.fullmatch(pattern, path):
                return route(self, body, *match.groups())
        self.fail(HTTPStatus.NOT_FOUND)

    def fail(self, status: HTTPStatus, code: str = "EntryNotFound") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_json(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def resolve(self, _: bytes, repo: str, revision: str, path: str) -> None:
        files, fault = self.server.repos.get(repo), self.server.faults.get(path)
        if files is None:
            return self.fail(HTTPStatus.NOT_FOUND, "RepoNotFound")
        if path not in files or fault == "missing":
            return self.fail(HTTPStatus.NOT_FOUND)
        if fault == "private":
            return self.fail(HTTPStatus.UNAUTHORIZED, "RepoNotFound")
        data = files[path]
        etag = hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else "0" * 40
        is_redirected = fault == "elsewhere"
        self.send_response(302 if is_redirected else 200)
        self.send_header("X-Repo-Commit", self.server.commit_of(repo))
        self.send_header("X-Linked-Etag", f'"{etag}"')
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("ETag", f'"{etag}"')
        if is_redirected:
            self.send_header("Location", f"{self.server.elsewhere}/cdn/{repo}/{path}")
            data = b""
        self.send_data(data, path)

    def cdn(self, _: bytes, repo: str, path: str) -> None:
        self.send_response(200)
        self.send_data(self.server.repos[repo][path], path)

    def send_data(self, data: bytes, path: str) -> None:
        """Send the headers, and the bytes that were asked for, all of them or a part."""
        fault = self.server.faults.get(path)
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            self._headers_buffer[0] = b"HTTP/1.0 206 Partial Content\r\n"  # type: ignore[attr-defined]
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        data = data[start:]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut":
            del self.server.faults[path]
            data = data[: len(data) // 3]
        self.wfile.write(data[::-1] if fault == "swapped" else data)

    def info(self, _: bytes, repo: str, revision: str = "main") -> None:
        if repo not in self.server.repos:
            return self.fail(HTTPStatus.NOT_FOUND, "RepoNotFound")
        if revision not in ("main", self.server.commit_of(repo)):
            return self.fail(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        files = [{"rfilename": path} for path in self.server.repos[repo]]
        sha = self.server.commit_of(repo)
        facts = {"id": repo, "modelId": repo, "sha": sha, "siblings": files}
        self.send_json(facts | {"private": repo in self.server.private})

    def tree(self, _: bytes, repo: str, revision: str) -> None:
        files = self.server.repos[repo].items()
        self.send_json(
            [{"type": "file", "path": p, "size": len(d), "oid": "0" * 40} for p, d in files]
        )

    def create(self, body: bytes) -> None:
        if "Authorization" not in self.headers:
            return self.fail(HTTPStatus.UNAUTHORIZED, "")
        content = json.loads(body)
        repo = f"{content['organization']}/{content['name']}"
        url = {"url": f"{self.server.url}/{repo}"}
        if repo in self.server.repos:
            return self.send_json(url, HTTPStatus.CONFLICT)
        if content.get("private") or content.get("visibility") == "private":
            self.server.private.add(repo)
        self.server.repos[repo] = {}
        self.send_json(url)

    def validate(self, _: bytes) -> None:
        self.send_json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        paths = [file["path"] for file in json.loads(body)["files"]]
        modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in paths}
        self.send_json(
            {
                "files": [
                    {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}
                    for path, mode in modes.items()
                ]
            }
        )

    def batch(self, body: bytes, repo: str) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self.send_json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.objects[oid] = body
        self.send_json({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.repos[repo][value["path"]] = self.server.objects[value["oid"]]
        oid = self.server.commit_of(repo)
        url = f"{self.server.url}/{repo}/commit/{oid}"
        self.send_json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def log_message(self, *args: Any) -> None:
        pass


REPO = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (rf"/{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    (rf"/cdn/{REPO}/(.+)", Handler.cdn),
    (rf"/api/models/{REPO}/revision/([^/]+)", Handler.info),
    (rf"/api/models/{REPO}", Handler.info),
    (rf"/api/models/{REPO}/tree/([^/]+)", Handler.tree),
    (r"/api/repos/create", Handler.create),
    (r"/api/validate-yaml", Handler.validate),
    (rf"/api/models/{REPO}/preupload/([^/]+)", Handler.preupload),
    (rf"/{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    (r"/lfs/(\w+)", Handler.upload),
    (rf"/api/models/{REPO}/commit/([^/]+)", Handler.commit),
)


@contextlib.contextmanager
def serve_hub(monkeypatch: pytest.MonkeyPatch, home: Any) -> Iterator[Hub]:
    """Yield a hub, which huggingface_hub takes for the real one, with its cache in `home`.

    It reads its environment when it is imported, which may have been before.
    """
    constants = pytest.importorskip("huggingface_hub.constants")
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for name, value in {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
