"""What `predict` is given: images, videos, folders, patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pose_train.config.schema import ConfigError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts", ".3gp")


class Input(NamedTuple):
    """A file; name: what its rows call it; drawn: where its drawing goes, less the suffix.

    The name is its path below the given folder, or as it was given where two have the same.
    """

    path: Path
    name: str
    drawn: str

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEOS


def find_inputs(given: Iterable[str], out: Path | None = None) -> list[Input]:
    """Return the images and videos that paths, folders and patterns name, each once.

    Folders are searched through; of what is found there, hidden files, files of other kinds and
    those below `out`, an earlier outcome, are left out. Raises ConfigError for a path or pattern
    that names nothing.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for text in given:
        text = os.path.expanduser(text)
        path = Path(text)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if _is_wanted(file, path, out))
            names = [file.relative_to(path).as_posix() for file in files]
        elif path.is_file():
            files, names = [path], [path.name]
        else:
            files = [f for f in map(Path, sorted(glob.glob(text, recursive=True))) if f.is_file()]
            names = [file.name for file in files]
        if not files:
            raise ConfigError(f"{text} {_why_none(text, path)}")
        for file, name in zip(files, names, strict=True):
            found.setdefault(file.resolve(), (file, name))
    return _with_own_names(dict(found.values()))


def _why_none(text: str, path: Path) -> str:
    if path.is_dir():
        return "holds no images or videos"
    if "://" in text or path.exists():
        return "is no file: record what a camera or an address sends to a video first"
    return "does not exist"


def _is_wanted(file: Path, folder: Path, out: Path | None) -> bool:
    if file.suffix.lower() not in IMAGES + VIDEOS or not file.is_file():
        return False
    if any(part.startswith(".") for part in file.relative_to(folder).parts):
        return False  # such as ._photo.jpg, which macOS leaves beside photo.jpg
    if out is None or folder.resolve() not in out.resolve().parents:
        return True
    return out.resolve() not in file.resolve().parents


def _with_own_names(found: Mapping[Path, str]) -> list[Input]:
    """Tell names that come again apart; number drawings, so that none overwrites another."""
    counts = Counter(found.values())
    taken: set[str] = set()
    inputs = []
    for path, name in found.items():
        bare, number = without_suffix(name), 2
        drawn = bare
        while drawn.casefold() in taken:  # a.jpg and A.png, too, where cases are the same
            drawn, number = f"{bare}-{number}", number + 1
        taken.add(drawn.casefold())
        inputs.append(Input(path, name if counts[name] == 1 else path.as_posix(), drawn))
    return inputs


def without_suffix(name: str) -> str:
    """Return a name without the suffix of an image or video, if it has one."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGES + VIDEOS else name


def check_targets(inputs: Sequence[Input], out: Path) -> None:
    """Raise ConfigError where a drawing would take an input's place."""
    files = {(stat.st_dev, stat.st_ino) for stat in (entry.path.stat() for entry in inputs)}
    for entry in inputs:
        target = target_of(entry, out)
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in files:
            raise ConfigError(f"--out {out} would overwrite {target}: choose another folder")


def target_of(entry: Input, out: Path) -> Path:
    """Return the file of a drawing."""
    is_png = entry.path.suffix.lower() == ".png"
    return out / (entry.drawn + (".mp4" if entry.is_video else ".png" if is_png else ".jpg"))
