"""Find published weights on this machine, or download them when told to."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

from pose_backbones.checkpoint_files import sha256
from pose_backbones.names import unknown
from pose_backbones.pickles import CheckpointError
from pose_backbones.zoo import ZOO, Weights

ATTEMPTS = 3  # per server; each goes on where the one before was cut off
TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 20  # bytes


def find_weights(
    name: str,
    *,
    download: bool = False,
    mirrors: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the path of the file of a zoo entry, its SHA-256 prefix verified.

    Looks in the folder that the environment variable POSE_WEIGHTS_DIR names, then in the user's
    cache (`cache_dir()`). Only with `download=True` is it fetched into the first of them that
    is set: from `mirrors`, then the base URLs in POSE_WEIGHTS_MIRRORS (separated by commas), then
    the publisher. A mirror has the publisher's folders, or just the file. Raises ValueError for an
    unknown name and CheckpointError where there is no file, or a wrong one.
    """
    here = local_weights(name)
    weights = ZOO[name]
    if here is not None:
        return _verified(here, weights, "; remove it, and fetch it again")
    if not download:
        raise CheckpointError(
            f"{weights.file} is not in {' or '.join(map(str, weights_folders()))}; put it there, "
            "or pass download=True (--download)"
        )
    extra = os.environ.get("POSE_WEIGHTS_MIRRORS", "").split(",")
    bases = [*mirrors, *(base.strip() for base in extra if base.strip()), weights.source]
    folder = weights_folders()[0]
    try:
        return _download(weights, bases, folder, progress)
    except OSError as error:  # of the folder; those of servers are told apart
        raise CheckpointError(
            f"cannot keep {weights.file} in {folder}: {error.strerror}"
        ) from error


def local_weights(name: str) -> Path | None:
    """Return where the file of a zoo entry is on this machine, not verified; None if it is not.

    Raises ValueError for an unknown name.
    """
    if name not in ZOO:
        raise ValueError(unknown("weights", name, ZOO))
    places = [folder / ZOO[name].file for folder in weights_folders()]
    return next((place for place in places if place.is_file()), None)


def weights_folders() -> list[Path]:
    """Return where files of the zoo are looked for, in order; downloads go into the first."""
    own = os.environ.get("POSE_WEIGHTS_DIR")
    return ([Path(own)] if own else []) + [cache_dir()]


def cache_dir() -> Path:
    """Return the folder for downloads in the user's cache, by the XDG convention."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "pose-backbones"


def progress_line(done: int, total: int) -> None:
    """Show the progress of a download on one line of stderr; a total of 0 is unknown."""
    share = f" of {total / 1e6:.1f} MB ({done / total:.0%})" if total else " MB"
    end = "\n" if done == total else ""
    print(f"\r{done / 1e6:.1f}{share}", end=end, file=sys.stderr, flush=True)


def _verified(path: Path, weights: Weights, advice: str = "") -> Path:
    digest = sha256(path)
    if not digest.startswith(weights.sha256_prefix):
        raise CheckpointError(
            f"{path} is damaged or another file: its SHA-256 starts with {digest[:8]}, "
            f"not {weights.sha256_prefix}{advice}"
        )
    return path


def _download(
    weights: Weights,
    bases: Sequence[str],
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{weights.file}.part"
    problems = []
    urls = [f"{base.rstrip('/')}/{path}" for base in bases for path in (weights.path, weights.file)]
    for url in urls:
        problem = _try_server(url, part, weights, progress)
        if problem is None:
            part.replace(folder / weights.file)
            return folder / weights.file
        problems.append(f"{url}: {problem}")
    raise CheckpointError(f"could not download {weights.file}:\n  " + "\n  ".join(problems))


def _try_server(
    url: str, part: Path, weights: Weights, progress: Callable[[int, int], None] | None
) -> str | None:
    """Complete `part` from one URL; return what went wrong, or None."""
    problem = ""
    for _ in range(ATTEMPTS):
        try:
            _fetch(url, part, progress)
            _verified(part, weights)
            return None
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code} {error.reason}"
        except CheckpointError as error:
            part.unlink()  # it may have been resumed from another file: begin anew
            problem = str(error)
        except (OSError, HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
    return problem


def _fetch(url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Append to `part` what it lacks of the file at `url`; raise OSError where it is cut off."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what is there: it is complete, or wrong
            error.close()
            return
        raise
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        done = file.tell()
        total = done + int(response.headers.get("Content-Length", 0))
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    if total > done:
        raise ConnectionError(f"cut off after {done} of {total} bytes")
