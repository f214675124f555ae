"""What a run leaves behind. Every file is written to a temporary name and renamed."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pose_train.config import ConfigError, RunError


class RunDirError(RunError):
    """A file of the run directory that cannot be written or read."""


def create_run_dir(out: str) -> Path:
    """Make an empty run directory; raises ConfigError where something is already there."""
    path = Path(out)
    try:
        if path.is_dir() and not any(path.iterdir()):
            write_file(path / ".writable", lambda file: file.write(b""))
            (path / ".writable").unlink()
            return path
        path.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(
            f"{path} already holds something, perhaps another run; choose another with out=DIR"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot create the run directory {path}: {error.strerror}") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing; raises RunDirError."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; raises RunDirError."""
    write_file(path, lambda file: file.write(content))


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there yet; raises RunDirError."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def append_metrics(run_dir: Path, record: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl; raises RunDirError."""
    path = run_dir / "metrics.jsonl"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise _cannot_write(path, error) from error


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records of metrics.jsonl in order."""
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def cut_metrics(run_dir: Path, count: int) -> None:
    """Keep the first `count` records: a run goes on from a checkpoint, not from the last line."""
    path = run_dir / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    write_text(path, "".join(f"{line}\n" for line in lines[:count]))


def write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write what `fill` writes, whole or not at all; raises RunDirError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: what torch makes of a full disk
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # a full disk may need the room
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError | RuntimeError) -> RunDirError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
    return RunDirError(f"cannot write {path}: {reason}; what was saved before is still there")
