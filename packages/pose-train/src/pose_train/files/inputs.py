"""What `predict` is given: images, videos, folders, patterns, addresses, a list of all these."""

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from pose_backbones.weights import is_offline
from pose_data import DatasetError
from pose_train.config.schema import ConfigError
from pose_train.files.images import url_type

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts", ".3gp")
STREAMS = ("http", "https", "rtsp", "rtsps", "rtmp", "udp")


class Input(NamedTuple):
    """A file; name: what its rows call it; drawn: where its drawing goes, less the suffix.

    The name is its path below the given folder, or as it was given where two have the same.

    address: of what is no file, a URL or the number of a camera; its path names nothing, but has
    the suffix that it would have. is_live: it has no end.
    """

    path: Path
    name: str
    drawn: str
    address: str | None = None
    is_live: bool = False

    @property
    def is_video(self) -> bool:
        return self.is_live or self.path.suffix.lower() in VIDEOS


def find_inputs(
    given: Iterable[str], out: Path | None = None, *, allow_download: bool = False
) -> list[Input]:
    """Return the images and videos that paths, folders, patterns and addresses name, each once.

    `-` is a list of these on stdin, one a line. Folders are searched through; of what is found
    there, hidden files, files of other kinds and those below `out`, an earlier outcome, are left
    out. An address is the number of a camera or a URL, if no file is called that. allow_download:
    take images and recorded videos at URLs. Raises ConfigError for what names nothing, and where
    what has no end is not alone.
    """
    found: dict[Path | str, Input] = {}
    for text in [word for each in given for word in (_listed() if each == "-" else [each])]:
        text = os.path.expanduser(text)
        path = Path(text)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if _is_wanted(file, path, out))
            names = [file.relative_to(path).as_posix() for file in files]
        elif path.is_file():
            files, names = [path], [path.name]
        elif re.match(r"\d{1,3}$|[a-z]{2,}://", text, re.IGNORECASE):
            found.setdefault(text, _at_address(text, allow_download))
            continue
        else:
            files = [f for f in map(Path, sorted(glob.glob(text, recursive=True))) if f.is_file()]
            names = [file.name for file in files]
        if not files:
            raise ConfigError(f"{text} {_why_none(path)}")
        for file, name in zip(files, names, strict=True):
            # A link under another name is an image of its own, as in folders made of links.
            found.setdefault(file.parent.resolve() / file.name, Input(file, name, name))
    live = [entry for entry in found.values() if entry.is_live]
    if live and len(found) > 1:
        raise ConfigError(f"{live[0].name} has no end: name it alone, without other inputs")
    return _with_own_names(found.values())


def _listed() -> list[str]:
    """Return the lines of stdin, or what NULs separate, as `find -print0` does it."""
    content = sys.stdin.buffer.read()
    words = content.split(b"\0") if b"\0" in content else content.splitlines()
    listed = [os.fsdecode(word) for word in words if word.strip()]
    if not listed:
        raise ConfigError("- is a list of inputs on stdin, one a line, and it is empty")
    return listed


def _why_none(path: Path) -> str:
    if path.is_dir():
        return "holds no images or videos"
    if path.exists():
        return "is no file, folder or address of a camera or stream"
    return "does not exist"


def _at_address(text: str, allow_download: bool) -> Input:
    """Return a camera, a stream, or an image or video at a URL; raises ConfigError."""
    if text.isdecimal():
        name = f"camera {int(text)}"
        return Input(Path(name), name, f"camera-{int(text)}", text, is_live=True)
    name = re.sub("//[^/]*@", "//", text)  # a password is not for rows and messages
    try:
        url = urlsplit(text)
        host = url.hostname
    except ValueError as error:
        raise ConfigError(f"{name} is no address: {error}") from None
    if url.scheme not in STREAMS or not host:
        raise ConfigError(
            f"{name} is no address of a stream: it would begin with {', '.join(STREAMS)}, and ://"
        )
    # Nothing of an address becomes a folder, or a name that a file system does not take.
    last = url.path.rstrip("/").rpartition("/")[2] or host
    safe = re.sub(r"[^\w.-]", "_", last).strip(".")[:80] or "_"
    suffix = _suffix(url, name, allow_download)
    if suffix is None:
        return Input(Path("stream"), name, safe, text, is_live=True)
    what = "a recorded video" if suffix in VIDEOS else "an image"
    if is_offline():
        raise ConfigError(f"{name} is {what} to download, which POSE_OFFLINE forbids")
    if not allow_download:
        raise ConfigError(f"{name} is {what} to download: add --allow-download")
    return Input(Path(safe).with_suffix(suffix), name, safe, text)


def _suffix(url: SplitResult, name: str, allow_download: bool) -> str | None:
    """Return the suffix of an image or recorded video at a URL; None for a stream.

    Where its path does not tell, the server is asked.
    """
    if not url.scheme.startswith("http") or "@" in url.netloc:
        return None
    suffix = Path(url.path).suffix.lower()
    if suffix in IMAGES + VIDEOS:
        return suffix
    try:
        kind, is_recorded = url_type(url.geturl())
    except DatasetError as error:
        if allow_download:
            return ".jpg"  # it is told when its turn comes, and others go on
        raise ConfigError(f"{name}: {error}") from None
    if kind.startswith("text/"):
        raise ConfigError(f"{name} is {kind}, neither an image nor a video")
    if kind.startswith("image/"):
        return ".png" if kind == "image/png" else ".jpg"
    return ".mp4" if kind.startswith("video/") and is_recorded else None


def _is_wanted(file: Path, folder: Path, out: Path | None) -> bool:
    is_lost = file.is_symlink() and not file.exists()  # a link to nothing: named, not passed over
    if file.suffix.lower() not in IMAGES + VIDEOS or not (file.is_file() or is_lost):
        return False
    if any(part.startswith(".") for part in file.relative_to(folder).parts):
        return False  # such as ._photo.jpg, which macOS leaves beside photo.jpg
    if out is None or folder.resolve() not in out.resolve().parents:
        return True
    return out.resolve() not in file.resolve().parents


def _with_own_names(found: Collection[Input]) -> list[Input]:
    """Tell names that come again apart; number drawings, so that none overwrites another."""
    counts = Counter(entry.name for entry in found)
    taken: set[str] = set()
    inputs = []
    for entry in found:
        bare, number = without_suffix(entry.drawn), 2
        drawn = bare
        while drawn.casefold() in taken:  # a.jpg and A.png, too, where cases are the same
            drawn, number = f"{bare}-{number}", number + 1
        taken.add(drawn.casefold())
        is_named = counts[entry.name] == 1 or entry.address is not None
        name = entry.name if is_named else entry.path.as_posix()
        inputs.append(entry._replace(name=name, drawn=drawn))
    return inputs


def check_targets(inputs: Sequence[Input], out: Path) -> None:
    """Raise ConfigError where a drawing would take an input's place."""
    stats = (entry.path.stat() for entry in inputs if entry.path.exists())
    files = {(stat.st_dev, stat.st_ino) for stat in stats}
    for entry in inputs:
        target = target_of(entry, out)
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in files:
            raise ConfigError(f"--out {out} would overwrite {target}: choose another folder")


def target_of(entry: Input, out: Path) -> Path:
    """Return the file of a drawing."""
    is_png = entry.path.suffix.lower() == ".png"
    return out / (entry.drawn + (".mp4" if entry.is_video else ".png" if is_png else ".jpg"))


def without_suffix(name: str) -> str:
    """Return a name without the suffix of an image or video, if it has one."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGES + VIDEOS else name
