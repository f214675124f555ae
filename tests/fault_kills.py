"""Cases of faults.py with scenes of their own: trainings, downloads, workers, ranks, parts."""

import contextlib
import hashlib
import http.server
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fault_commands import IMAGES, MAINS, PREDICT, TOPDOWN
from fault_processes import LIMIT, end_all, quiet, run_command, run_snapshot, start, wait

from pose_backbones import ZOO, Weights

FETCHED = "tiny"  # the name of net.pth in the zoo
Verdict = tuple[str, str]  # `fine`, `error` or one of FAILURES; what there is to say


def _copied(folder: Path, kit: Path, *names: str) -> None:
    for name in names:
        source = kit / name
        copy: Callable[..., object] = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    (folder / "out").mkdir(exist_ok=True)


def _train(*more: str) -> list[str]:
    return ["pose-train", "run", "demo", *TOPDOWN, "out=run", *more]


def _finished(folder: Path, kit: Path, command: Sequence[str]) -> Verdict:
    """Go on with a training, from the start where it has saved nothing, and compare its end."""
    run_dir = folder / "run"
    ended = run_command(folder, ("pose-train", "resume", "run"))
    if ended.code in (1, 2) and not (run_dir / "checkpoint_last.pth").exists():
        shutil.rmtree(run_dir, ignore_errors=True)
        ended = run_command(folder, command)
    if ended.code != 0:
        return ended.failure() or "wrong", f"it cannot go on: {ended.text}"
    same = run_snapshot(run_dir) == run_snapshot(kit / "run")
    return ("fine", "") if same else ("wrong", f"another end: {ended.text}")


def kill_training(folder: Path, kit: Path, rng: random.Random) -> Verdict:
    """Kill a training at any moment, once or twice, and resume it: the bits are the same."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    if not (folder / "data").exists():
        _copied(folder, kit, "data")
    words = _train(f"train.num_workers={rng.choice((0, 0, 1))}")
    command = words
    for _ in range(rng.choice((1, 1, 2))):
        process = start(folder, lambda words=command: quiet(words))
        time.sleep(rng.uniform(0, 2.5))
        end_all(process)
        if (folder / "run/checkpoint_last.pth").exists():
            command = ["pose-train", "resume", "run"]
        else:
            shutil.rmtree(folder / "run", ignore_errors=True)
    return _finished(folder, kit, words)


def kill_worker(folder: Path, kit: Path, rng: random.Random) -> Verdict:
    """Kill a process that makes samples: one sentence says so, and resuming goes on."""
    _copied(folder, kit, "data")
    words = _train("train.num_workers=1", "train.epochs=40", "eval.every=40")
    process = start(folder, lambda: MAINS["pose-train"](words[1:]))
    end = time.monotonic() + LIMIT
    while not (workers := _children(process)) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    code, text = wait(process, LIMIT), (folder / "std.stderr").read_text(errors="replace")
    if code is None or "Traceback" in text:
        return "hang" if code is None else "traceback", text
    if code != 1 or "data loader worker was killed" not in text:
        return "unclear", f"{code}: {text}"
    words[words.index("train.epochs=40")] = "train.epochs=2"
    ended = run_command(folder, ("pose-train", "resume", "run", "train.epochs=2"))
    return ("error", text) if ended.code == 0 else (ended.failure() or "wrong", ended.text)


def _children(process: int) -> list[int]:
    try:
        return [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]
    except OSError:
        return []


def kill_rank(folder: Path, kit: Path, rng: random.Random) -> Verdict:
    """Kill one of two processes that train together: the other one says so and ends."""
    _copied(folder, kit, "data")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = _train("train.epochs=200", "eval.every=200")

    def rank(number: int) -> int:
        os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": str(number)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return MAINS["pose-train"](words[1:])

    ranks = [start(folder, lambda n=n: rank(n), f"rank{n}") for n in (0, 1)]
    end = time.monotonic() + LIMIT
    while not (folder / "run/checkpoint_last.pth").exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    lost = rng.randrange(2)
    end_all(ranks[lost])
    code, text = wait(ranks[1 - lost], LIMIT), (folder / f"rank{1 - lost}.stderr").read_text()
    if code is None or "Traceback" in text:
        return "hang" if code is None else "traceback", text
    if code != 1 or "another process has ended" not in text:
        return "unclear", f"{code}: {text}"
    ended = run_command(folder, ("pose-train", "resume", "run", "train.epochs=1"))
    return ("error", text) if ended.code == 0 else (ended.failure() or "wrong", ended.text)


def resume_predict(folder: Path, kit: Path, rng: random.Random) -> Verdict:
    """Kill `predict --parts`, damage a part, start two at once: the rows are the same."""
    _copied(folder, kit, "data", "run")
    words = ("pose-train", "predict", "run", IMAGES, "clip.mkv", *PREDICT, "--no-draw", "--parts",
             "3")  # fmt: skip
    shutil.copy(kit / "clip.mkv", folder)
    whole = run_command(folder, words)
    wanted = (folder / "out/predictions.json").read_bytes()
    part = rng.choice(sorted((folder / "out/parts").iterdir()))
    how = rng.choice(("killed", "killed", "cut", "flip", "twice"))
    if how in ("cut", "flip"):
        data = bytearray(part.read_bytes())
        place = rng.randrange(len(data))
        lines = [n + 1 for n, byte in enumerate(data) if byte == 10]
        data[place] ^= 1 << rng.randrange(8)
        part.write_bytes(data if how == "flip" else data[: rng.choice((place, rng.choice(lines)))])
        ended = run_command(folder, words)
        if bad := ended.failure():
            return bad, ended.text
        if ended.code:
            is_clear = part.name in ended.text
            return "error" if is_clear else "unclear", ended.text
        same = (folder / "out/predictions.json").read_bytes() == wanted
        return ("fine", "") if same or how == "flip" else ("wrong", f"{how}: {ended.text}")
    shutil.rmtree(folder / "out")
    process = start(folder, lambda: quiet(words))
    time.sleep(rng.uniform(0, 1.2 * whole.seconds))
    if how == "killed":
        end_all(process)
    ended = run_command(folder, words)
    code = 0 if how == "killed" else wait(process, LIMIT)
    if how == "twice":
        ended = run_command(folder, words)  # each may have left a part to the other
    if ended.failure() or ended.code or code:
        return ended.failure() or "wrong", f"{how}, {code}: {ended.text}"
    same = (folder / "out/predictions.json").read_bytes() == wanted
    return ("fine", "") if same else ("wrong", f"{how}: {ended.text}")


class Server(http.server.BaseHTTPRequestHandler):
    """Send a file slowly, or what is missing of it; at times less than it promises."""

    content, share = b"", 1.0

    def do_GET(self) -> None:
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        body = self.content[first:]
        self.send_response(416 if not body else 206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: int(len(body) * self.share)]
        with contextlib.suppress(OSError):
            for begin in range(0, len(body), 1 << 14):
                self.wfile.write(body[begin : begin + (1 << 14)])
                time.sleep(0.002)

    def log_message(self, *_: Any) -> None:
        pass


def fetch(folder: Path, kit: Path, rng: random.Random) -> Verdict:
    """Kill downloads, cut them, leave half of one behind, start several: the file is whole."""
    content = (kit / "net.pth").read_bytes()
    digest, stats = hashlib.sha256(content).hexdigest()[:8], {"AP": 0.5, "AR": 0.5}
    name = f"net-{digest}_20200101.pth"
    _copied(folder, kit)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    Server.content, Server.share = content, rng.choice((1.0, 1.0, 0.6))
    ZOO[FETCHED] = Weights("hrnet", (32, 64), name, stats, source=f"http://127.0.0.1:{port}/")
    os.environ |= {"POSE_OFFLINE": "0", "POSE_WEIGHTS_DIR": str(folder / "out")}
    serve = http.server.ThreadingHTTPServer
    server = start(folder, lambda: serve(("127.0.0.1", port), Server).serve_forever(), "server")
    _until_open(port)
    words = ("pose-train", "zoo", "fetch", FETCHED)
    try:
        if rng.random() < 0.3:
            half = rng.choice((content[: rng.randrange(len(content))], rng.randbytes(5000)))
            (folder / f"out/{name}.part").write_bytes(half)
        others = [start(folder, lambda: quiet(words)) for _ in range(rng.randrange(4))]
        time.sleep(rng.uniform(0, 0.2))
        is_killed = rng.random() < 0.5
        for other in others if is_killed else ():
            end_all(other)
        ended = run_command(folder, words)
        codes = [] if is_killed else [wait(other, LIMIT) for other in others]
        if ended.code and Server.share < 1:
            ended = run_command(folder, words)  # it goes on where it was cut off
    finally:
        end_all(server)
        os.environ |= {"POSE_OFFLINE": "1"}
        del ZOO[FETCHED]
    if ended.failure() or ended.code or any(codes):
        if Server.share < 1 and not ended.failure() and "cut off after" in ended.text:
            return "error", ended.text
        return ended.failure() or "wrong", f"{codes}: {ended.text}"
    path = folder / f"out/{name}"
    return ("fine", "") if path.read_bytes() == content else ("wrong", "the file is another")


def _until_open(port: int) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)


SPECIALS: dict[str, Callable[[Path, Path, random.Random], Verdict]] = {
    each.__name__: each for each in (kill_training, resume_predict, fetch, kill_worker, kill_rank)
}
