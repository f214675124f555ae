"""Find published weights on this machine, or download them."""

import os
import sys
import time
import urllib.error
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from pose_backbones.hub import cached_file, fetch_file, hub_cache, is_full_disk
from pose_backbones.names import CheckpointError, unknown
from pose_backbones.web import open_url
from pose_backbones.zoo import DETECTIONS, HUB, ZOO, HubFile

ATTEMPTS = 3  # per server; each goes on where the one before was cut off
TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 20  # bytes
MOST_BYTES = 4 << 30  # of a file; the largest has 0.4 GiB
MOST_SECONDS = 6 * 3600.0  # of an attempt

Progress = Callable[[int, int], None]  # takes how many bytes there are, and of how many; 0: unknown
Log = Callable[[str], None]  # takes a line


def find_weights(
    name: str,
    *,
    download: bool | None = None,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
    log: Log | None = None,
) -> Path:
    """Return the path of a file with the weights of a zoo entry, its SHA-256 verified.

    Looks in the folder that the environment variable POSE_WEIGHTS_DIR names, in the user's cache
    (`cache_dir()`) and in the Hugging Face hub's. With `download=True` it is fetched: from
    `mirrors` and the base URLs in POSE_WEIGHTS_MIRRORS (separated by commas), from the hub, from
    the publisher; the hub's files stay in its cache, others go into the first of the folders that
    is set. A mirror has the publisher's folders, or just the file. None does so if
    `may_download()`, and shows it on stderr. log: is given a line for each source. Raises
    ValueError for an unknown name and CheckpointError where there is no file, or a wrong one.
    """
    here = local_weights(name)
    weights = ZOO[name]
    if here is not None:
        return _verified(here, weights.digests, "; remove it, and fetch it again")
    if download is None and may_download():
        download, progress, log = True, progress or progress_line, log or log_line
    if not download or is_offline():
        advice = "" if is_offline() else ", or pass download=True (--download)"
        raise CheckpointError(f"{not_here(name)}; put it there{advice}")
    publisher = [] if weights.source == HUB else [weights.source]
    sources: list[str | HubFile] = [
        *_urls(_mirrors(mirrors), weights.path, weights.file),
        *weights.hub,
        *_urls(publisher, weights.path, weights.file),
    ]
    return _download(weights.file, weights.digests, sources, progress, log)


def find_detections(
    *, mirrors: Sequence[str] = (), progress: Progress | None = None, log: Log | None = None
) -> Path:
    """Return the path of the published person detections in val2017, fetched if they are not here.

    Looked for and fetched as in `find_weights`. Raises CheckpointError.
    """
    file = DETECTIONS.file
    if (here := _local([file], [DETECTIONS])) is not None:
        return here
    if is_offline():
        raise CheckpointError(f"{_not_here(file, places())}; put it there")
    sources: list[str | HubFile] = [*_urls(_mirrors(mirrors), file), DETECTIONS]
    return _download(file, (), sources, progress, log)


def local_weights(name: str) -> Path | None:
    """Return where the file of a zoo entry is on this machine, not verified; None if it is not.

    Raises ValueError for an unknown name.
    """
    if name not in ZOO:
        raise ValueError(unknown("weights", name, ZOO))
    weights = ZOO[name]
    return _local([weights.file, *(file.file for file in weights.hub)], weights.hub)


def _local(names: Sequence[str], hub: Iterable[HubFile]) -> Path | None:
    places = (folder / name for folder in weights_folders() for name in names)
    in_folders = next((place for place in places if place.is_file()), None)
    return in_folders or next((path for file in hub if (path := cached_file(file))), None)


def not_here(name: str) -> str:
    """Return in words which file of a zoo entry is missing and where it was looked for.

    And, where POSE_OFFLINE is set, that it forbids downloading it.
    """
    return _not_here(ZOO[name].file, places(is_on_hub=bool(ZOO[name].hub)))


def _not_here(file: str, where: Sequence[str]) -> str:
    offline = ", and POSE_OFFLINE forbids downloads" if is_offline() else ""
    return f"{file} is not in {' or '.join(where)}{offline}"


def places(is_on_hub: bool = True) -> list[str]:
    """Return in words where files are looked for, in order."""
    cache = hub_cache() if is_on_hub else None
    return [*map(str, weights_folders()), *([f"the hub's cache {cache}"] if cache else [])]


def weights_folders() -> list[Path]:
    """Return where files of the zoo are looked for, in order; downloads go into the first."""
    own = os.environ.get("POSE_WEIGHTS_DIR")
    return ([Path(own)] if own else []) + [cache_dir()]


def cache_dir() -> Path:
    """Return the folder for downloads in the user's cache, by the XDG convention."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "pose-backbones"


def is_offline() -> bool:
    """Return whether POSE_OFFLINE forbids downloads: set to anything but 0."""
    return os.environ.get("POSE_OFFLINE", "") not in ("", "0")


def may_download() -> bool:
    """Return whether weights that are named may be fetched without being asked for.

    On a terminal alone, where somebody sees it; never by one of several processes of torchrun,
    which would all write the same file; and not where POSE_OFFLINE is set.
    """
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    return sys.stderr.isatty() and is_alone and not is_offline()


def progress_line(done: int, total: int) -> None:
    """Show the progress of a download on one line of stderr; a total of 0 is unknown.

    Where stderr is no terminal, only that it is done.
    """
    if not sys.stderr.isatty() and done != total:
        return
    share = f" of {total / 1e6:.1f} MB ({done / total:.0%})" if total else " MB"
    end = "\n" if done == total else ""
    print(f"\r{done / 1e6:.1f}{share}", end=end, file=sys.stderr, flush=True)


def log_line(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def _verified(path: Path, digests: Sequence[str], advice: str = "") -> Path:
    """Return the path of a file whose SHA-256 is one of these or begins with it; none: any file.

    The hub's cache names a large file by its SHA-256, which spares computing it at every use.
    """
    if not digests or path.resolve().name in digests:
        return path
    from pose_backbones.checkpoint_files import sha256  # and torch

    digest = sha256(path)
    if not digest.startswith(tuple(digests)):
        raise CheckpointError(
            f"{path} is damaged or another file: its SHA-256 starts with {digest[:8]}, "
            f"not {' or '.join(wanted[:8] for wanted in digests)}{advice}"
        )
    return path


def _mirrors(given: Sequence[str]) -> list[str]:
    """Return the base URLs that are asked first."""
    listed = os.environ.get("POSE_WEIGHTS_MIRRORS", "").split(",")
    return [*given, *(base.strip() for base in listed if base.strip())]


def _urls(bases: Sequence[str], *paths: str) -> list[str]:
    return [f"{base.rstrip('/')}/{path}" for base in bases for path in dict.fromkeys(paths)]


def _download(
    file: str,
    digests: Sequence[str],
    sources: Sequence[str | HubFile],
    progress: Progress | None,
    log: Log | None,
) -> Path:
    """Fetch a file from the first of its sources, URLs and files on the hub, that has it."""
    problems: list[str] = []
    for source in sources:
        if log:
            size = getattr(source, "megabytes", None)
            before = f"{problems[-1]}\n" if problems else ""
            log(f"{before}fetching {file}{f', {size} MB,' if size else ''} from {source}")
        folder = hub_cache() if isinstance(source, HubFile) else weights_folders()[0]
        try:
            if isinstance(source, HubFile):
                return fetch_file(source)
            return _fetch_url(source, weights_folders()[0] / file, digests, progress)
        except CheckpointError as error:
            problems.append(f"{source}: {error}")
        except OSError as error:  # of the folder; those of servers are told apart
            raise CheckpointError(f"cannot keep {file} in {folder}: {error.strerror}") from error
    raise CheckpointError(f"could not download {file}:\n  " + "\n  ".join(problems))


def _fetch_url(url: str, target: Path, digests: Sequence[str], progress: Progress | None) -> Path:
    """Write the file at a URL to `target`; raises CheckpointError, with the reason alone.

    Raises OSError for a folder that cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with _alone_in(target.parent):
        if target.is_file():  # another process has fetched it meanwhile
            return _verified(target, digests, "; remove it, and fetch it again")
        problem = _try_server(url, part, digests, progress)
        if problem is not None:
            raise CheckpointError(problem)
        part.replace(target)
    return target


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one process after the other download into a folder: they would write the same part.

    Without locks, on Windows or some network file systems, they are not kept apart; their files are
    verified all the same.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _try_server(
    url: str, part: Path, digests: Sequence[str], progress: Progress | None
) -> str | None:
    """Complete `part` from one URL; return what went wrong, or None.

    Raises OSError for a full disk.
    """
    problem = ""
    for _ in range(ATTEMPTS):
        try:
            _fetch(url, part, progress)
            _verified(part, digests)
            return None
        except urllib.error.HTTPError as error:
            error.close()  # it is the answer, too, whose connection is open
            return f"HTTP {error.code} {error.reason}"
        except CheckpointError as error:
            part.unlink()  # it may have been resumed from another file: begin anew
            problem = str(error)
        except (OSError, HTTPException) as error:
            if is_full_disk(error):
                raise
            problem = f"{type(error).__name__}: {error}"
    return problem


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what it lacks of the file at `url`; raise OSError where it is cut off."""
    done = part.stat().st_size if part.is_file() else 0
    try:
        response = open_url(url, TIMEOUT, {"Range": f"bytes={done}-"} if done else {})
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what is there: it is complete, or wrong
            error.close()
            return
        raise
    end = time.monotonic() + MOST_SECONDS
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        done = file.tell()
        total = done + (response.length or 0)
        while chunk := response.read1(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if done > MOST_BYTES:
                raise CheckpointError(f"it is larger than {MOST_BYTES >> 30} GiB")
            if time.monotonic() > end:
                raise CheckpointError(f"it takes longer than {MOST_SECONDS / 3600:g} hours")
            if progress:
                progress(done, total)
    if total > done:
        raise ConnectionError(f"cut off after {done} of {total} bytes")
