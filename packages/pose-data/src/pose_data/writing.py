"""Write files whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pose_data.errors import DatasetError


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON, under a temporary name first; raises DatasetError."""
    write_bytes(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(content, separators=(",", ":")).encode()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name first; raises DatasetError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise DatasetError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file under a temporary name, and rename it at the end: no half file is ever seen."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    finally:  # Ctrl-C too leaves nothing
        Path(scratch).unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `path`, new or empty, at the end.

    Raises DatasetError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            filled = Path(scratch) / "filled"
            filled.mkdir()
            yield filled
            if path.exists():
                path.rmdir()
            filled.rename(path)
    except OSError as error:
        raise DatasetError(f"cannot write {path}: {error.strerror or error}") from error
