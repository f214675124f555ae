"""Files to damage, and processes started by fork, kept from reading and writing, killed."""

import contextlib
import ctypes
import hashlib
import importlib
import json
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fault_commands import MAINS, Command

from pose_codecs import MSRAHeatmap
from pose_data.formats import cache
from pose_train.inference import detect

LIMIT = 180.0  # seconds after which a process hangs; a case takes one, alone on a core
Damage = Callable[[Path, random.Random], None]
Setup = Sequence[Callable[[], object]]


class Ended(NamedTuple):
    """How a command ended: code None was a hang, below 0 a signal."""

    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        return f"{self.out}{self.err}"

    def failure(self) -> str:
        """Return the failure that needs no comparison, or nothing."""
        if self.code is None:
            return "hang"
        return "traceback" if self.code < 0 or "Traceback (most" in self.text else ""


def prepare() -> None:
    """Import what commands import at their first use, and compile what they compile."""
    for package in ("pose_train", "pose_data", "pose_eval"):
        folder = Path(str(importlib.import_module(f"{package}.commands").__file__)).parent
        for file in sorted(folder.glob("[a-z]*.py")):
            importlib.import_module(f"{package}.commands.{file.stem}")
    for name in ("torch._dynamo", "pose_backbones.convert", "pose_backbones.table", "onnxruntime"):
        importlib.import_module(name)
    for name in ("pose_eval.analysis.breakdown", "pose_eval.render.html", "av"):
        importlib.import_module(name)
    torch.set_num_threads(1)
    codec = MSRAHeatmap((32, 64), (8, 16), refine="dark")
    maps, _ = codec.encode(np.full((1, 17, 2), 9, np.float32), np.ones((1, 17), np.float32))
    codec.decode(maps)
    os.environ |= {"OMP_NUM_THREADS": "1", "POSE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    cache.SMALLEST = 0  # every annotation file has its cache
    detect.DEFAULT_DETECTOR = "none"


def start(folder: Path, work: Callable[[], object], name: str = "std") -> int:
    """Fork a process, the first of its group, that does some work in a folder; returns its id.

    What it prints goes into the files NAME.stdout and NAME.stderr beside the folder's files.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        for number, stream in ((1, "stdout"), (2, "stderr")):
            os.dup2(
                os.open(f"{name}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number
            )
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", buffering=1)  # noqa: SIM115
        code = int(work() or 0)  # type: ignore[call-overload]
        try:
            sys.stdout.flush()
        except OSError as error:  # Python says so at its exit
            code = 120
            print(f"Exception ignored in sys.stdout: {error}", file=sys.stderr)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def wait(process: int, limit: float) -> int | None:
    """Return the exit code of a process, below 0 for a signal; None, and kill it, after a time."""
    end, pause = time.monotonic() + limit, 0.001
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            end_all(process, is_gone=True)
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(0.02, 1.3 * pause)
    end_all(process)
    return None


def end_all(process: int, is_gone: bool = False) -> None:
    """Kill a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if not is_gone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)  # before it has its group
        os.waitpid(process, 0)


def run_command(folder: Path, words: Sequence[str], setup: Setup = (), stdout: str = "") -> Ended:
    """Run a command in a process of its own, after some preparation there."""

    def work() -> int:
        for prepared in setup:
            prepared()
        if stdout:
            os.dup2(os.open(stdout, os.O_WRONLY), 1)
        return MAINS[words[0]]([*words[1:]])

    begun = time.monotonic()
    code = wait(start(folder, work), LIMIT)
    seconds = time.monotonic() - begun
    out, err = (
        (folder / f"std.{name}").read_text(errors="replace").replace(str(folder), ".")
        for name in ("stdout", "stderr")
    )
    return Ended(code, out, err, seconds)


def quiet(words: Sequence[str]) -> int:
    """Run a command whose output is another's: the one beside it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    return MAINS[words[0]]([*words[1:]])


def without_rights() -> None:
    """Give up the capabilities of root, for which every file can be read and written."""
    header, nothing = struct.pack("<Ii", 0x20080522, 0), bytes(24)
    ctypes.CDLL(None).capset(header, nothing)


def closed_home() -> None:
    """Have a home, and caches, that cannot be written."""
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "NUMBA_CACHE_DIR", "TORCH_HOME"):
        os.environ[name] = "/proc/nothing"


def clock_goes_back() -> None:
    """Let each look at the clock show an hour less than the one before."""
    now, looks = time.time(), 0

    def earlier() -> float:
        nonlocal looks
        looks += 1
        return now - 3600 * looks

    time.time = earlier
    time.time_ns = lambda: int(earlier() * 1e9)


def limited_files(size: int) -> None:
    """Allow no file to be larger: writing fails, as on a full disk, with another reason."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextlib.contextmanager
def full_disk(folder: Path, size: int) -> Iterator[bool]:
    """Mount a disk of so many bytes as a folder, where that is allowed; tell whether it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    where = str(folder).encode()
    is_mounted = not libc.mount(b"tmpfs", where, b"tmpfs", 0, f"size={size},mode=777".encode())
    try:
        yield is_mounted
    finally:
        if is_mounted:
            libc.umount2(where, 2)  # MNT_DETACH


def cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def garbage(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.choice((b"", b"\0" * 999, rng.randbytes(999), b"\xff\xfe{", b"<html>")))


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/nowhere/at/all", path.name)))  # or to itself


def closed(path: Path, rng: random.Random) -> None:
    path.chmod(0)


DAMAGES: dict[str, Damage] = {
    each.__name__: each for each in (cut, flip, garbage, delete, folder, link, closed)
}


def rewrite(path: Path, pace: float, is_renamed: bool) -> None:
    """Write a file's bytes again and again: into the file, half and half, or under another name."""
    data, copy = path.read_bytes(), path.with_name(f".{path.name}.copy")
    while True:
        time.sleep(pace)
        with (copy if is_renamed else path).open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            time.sleep(pace / 4)
            file.write(data[len(data) // 2 :])
        if is_renamed:
            copy.replace(path)


def snapshot(folder: Path, command: Command) -> dict[str, str]:
    """Return what a command has written: digests by file; of a run, of what must be the same."""
    target = folder / command.target
    if command.is_run:
        return run_snapshot(target)
    return {
        str(path.relative_to(folder)): (
            "" if command.varies else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in sorted(target.rglob("*"))
        if path.is_file() and not _is_temporary(path)
    }


def _is_temporary(path: Path) -> bool:
    return path.suffix == ".tmp" or any(part.startswith(".") for part in path.parts)


def run_snapshot(run_dir: Path) -> dict[str, str]:
    """Return digests of a run's weights, optimizer, metrics but for times, and results."""
    last = run_dir / "checkpoint_last.pth"
    if not last.is_file():
        return {}
    try:
        content = torch.load(last, weights_only=True)
        metrics = (run_dir / "metrics.jsonl").read_text(errors="replace").splitlines()
        timed = ("images_per_s", "seconds", "data_share")
        records = [{k: v for k, v in json.loads(m).items() if k not in timed} for m in metrics]
    except Exception as error:  # it was damaged on purpose, or by a fault of ours
        return {"metrics": "", "unreadable": str(error)}
    results = run_dir / "results.json"
    parts = {
        "weights": _digest([content["state_dict"], content["optimizer"]]),
        "progress": json.dumps([content["epoch"], content["batch"], content["step"]]),
        "metrics": json.dumps(records),
        "results": results.read_text(errors="replace") if results.is_file() else "",
    }
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}


def _digest(value: Any) -> str:
    """Return a digest of nested containers with tensors in them."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return hashlib.sha256("".join(f"{k}{_digest(v)}" for k, v in value.items()).encode()
                              ).hexdigest()  # fmt: skip
    if isinstance(value, list | tuple):
        return hashlib.sha256("".join(map(_digest, value)).encode()).hexdigest()
    return repr(value)
