"""Write files whole or not at all: to a temporary name, which is renamed at the end."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from pose_train.config.schema import RunError
from pose_train.words import counted


class RunDirError(RunError):
    """A file that cannot be written, or a run directory that cannot be read."""


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
        raise write_error(path, error) from error


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
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError | RuntimeError) -> RunDirError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
    return RunDirError(f"cannot write {path}: {reason}; what was saved before is still there")


class RowFile:
    """A text file of rows, which gets its name once all are there.

    Until then it is NAME.partial.SUFFIX, which stays, with its tail, where an error or Ctrl-C ends
    the work between rows. A file from before stays until it is replaced.
    """

    def __init__(self, path: Path, head: str, tail: str = "") -> None:
        self.path, self.head, self.tail = path, head, tail
        self.partial = path.with_suffix(f".partial{path.suffix}")
        self.count = 0

    def __enter__(self) -> "RowFile":
        try:
            # A file name may hold bytes that are no text: they are written as they are.
            self.file = self.partial.open(
                "w", encoding="utf-8", errors="surrogateescape", newline=""
            )
        except OSError as error:
            raise self._cannot(error) from error
        self.file.write(self.head)
        return self

    def add(self, text: str, count: int) -> None:
        """Add the text of some rows; raises RunDirError."""
        try:
            self.file.write(text)
        except OSError as reason:
            raise self._cannot(reason) from reason
        self.count += count

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.file.write(self.tail)
            self.file.close()
            if error is None:
                os.replace(self.partial, self.path)
        except OSError as reason:  # what is there is not whole
            self.partial.unlink(missing_ok=True)
            if error is None:
                raise self._cannot(reason) from reason
            return
        if error is not None and self.count:
            print(f"{counted(self.count, 'row')} so far: {self.partial}", file=sys.stderr)
        elif error is not None:
            self.partial.unlink()

    def _cannot(self, reason: OSError) -> RunDirError:
        return RunDirError(f"cannot write {self.path}: {reason.strerror}")
