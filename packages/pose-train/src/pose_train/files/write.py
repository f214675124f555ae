"""Write files whole or not at all: to a temporary name, which is renamed at the end."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, TextIO

from pose_train.config.schema import RunError
from pose_train.words import counted, note

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None


class RunDirError(RunError):
    """A file that cannot be written, or a run directory that cannot be read."""


class BusyError(RunDirError):
    """A file that another process is writing."""


def write_error(path: Path, error: OSError | RuntimeError) -> RunDirError:
    """Return the error of a file that cannot be written, with the system's reason."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
    return RunDirError(f"cannot write {path}: {reason}; what was saved before is still there")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into a RunDirError."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def claim(file: TextIO, path: Path, problem: str) -> None:
    """Lock an open file for this process, until it closes it or ends; not for those it forks.

    Where another process has it, closes the file and raises BusyError with the problem. Without
    locks, on Windows and some network file systems, nothing keeps two processes apart.
    """
    if fcntl is None:
        return
    is_free = True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        is_free = False
    except OSError:
        return
    if is_free and path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
        return
    file.close()  # or the other one has just given it another name
    raise BusyError(problem)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `path`; it is renamed to `path` at the end.

    Where the block raises, it is removed and `path` stays as it was. Processes that write the same
    file have a path each. Raises RunDirError.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with writing(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # else a power cut may leave an empty file
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # a full disk may need the room


def write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write what `fill` writes, whole or not at all; raises RunDirError."""
    with whole_file(path) as temporary:
        try:
            with temporary.open("wb") as file:
                fill(file)
        except RuntimeError as error:  # what torch makes of a full disk
            killed: BaseException | None = error
            while killed is not None and "DataLoader worker" not in str(killed):
                killed = killed.__cause__ or killed.__context__
            if killed is not None:  # raised wherever this process is just then
                raise killed from None
            raise write_error(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; raises RunDirError."""
    write_file(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing; raises RunDirError."""
    # A name from JSON may hold half a character, "\\ud800", which no file does.
    write_bytes(path, text.encode(errors="backslashreplace"))


@dataclass
class RowFile:
    """A text file that rows are added to, and how many it has."""

    path: Path
    file: TextIO
    count: int = 0
    is_live: bool = False

    def add(self, text: str, count: int) -> None:
        """Add the text of `count` rows, on the disk at once if it is live; raises RunDirError."""
        with writing(self.path):
            self.file.write(text)
            if self.is_live:
                self.file.flush()
        self.count += count


@contextmanager
def line_file(path: Path) -> Iterator[RowFile]:
    """Yield a file for lines that are there as soon as they are added; raises RunDirError."""
    with writing(path):
        file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
    try:
        yield RowFile(path, file, is_live=True)
    finally:
        with suppress(OSError):  # an error has been raised where lines were added
            file.close()


@contextmanager
def row_file(path: Path, head: str, tail: str = "") -> Iterator[RowFile]:
    """Yield a file for rows between `head` and `tail`, which gets its name once all are there.

    Until then it is NAME.partial.SUFFIX, which stays, with its tail, where an error or Ctrl-C ends
    the work between rows. A file from before stays until it is replaced. Raises RunDirError.
    """
    partial = path.with_suffix(f".partial{path.suffix}")
    with writing(path):
        # A file name may hold bytes that are no text: they are written as they are.
        file = partial.open("a", encoding="utf-8", errors="surrogateescape", newline="")
        problem = f"another process is writing {path}: wait for its end, or choose another place"
        claim(file, partial, problem)
        file.truncate(0)
        file.write(head)
    rows, is_complete = RowFile(path, file), False
    try:
        yield rows
        is_complete = True
    finally:
        try:
            with rows.file:
                rows.file.write(tail)
                rows.file.flush()
                if is_complete and fcntl is not None:
                    os.replace(partial, path)  # while it is claimed
            if is_complete and fcntl is None:
                os.replace(partial, path)  # Windows renames no open files
        except OSError as error:
            partial.unlink(missing_ok=True)  # it lacks rows
            if is_complete:
                raise write_error(path, error) from error
        else:
            if not is_complete and rows.count:
                note(f"{counted(rows.count, 'row')} so far: {partial}", to=sys.stderr)
            elif not is_complete:
                partial.unlink()
