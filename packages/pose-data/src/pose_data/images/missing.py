"""The files that annotations name for images: which may be opened, and why one is not there."""

import os
import re
import shlex
import unicodedata
from functools import lru_cache
from pathlib import Path

from pose_data.errors import DatasetError

_MOST = 300_000  # files of a folder that are compared
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_ABSOLUTE = re.compile(r"/|[a-z]:", re.IGNORECASE)


def leads_outside(folder: Path, name: str) -> bool:
    """Tell whether a name leads out of a folder, by `..` or as an absolute path.

    Annotations come from strangers: they do not choose which other files are read. Links in the
    folder are followed, for they are the user's own.
    """
    if ".." not in name and not os.path.isabs(name) and ":" not in name[:2]:  # nearly always
        return False
    top = os.path.abspath(folder)
    path = os.path.abspath(os.path.join(top, name))
    return path != top and not path.startswith(os.path.join(top, ""))


def inside(folder: Path, name: str) -> Path:
    """Return `folder / name`; raises DatasetError where that leads out of the folder."""
    if leads_outside(folder, name):
        raise DatasetError(
            f"{name!r:.200} leads out of the folder {folder}: give one that holds it"
        )
    return folder / name


def why_missing(folder: Path, name: str) -> str:
    """Return why there is no `folder / name`: the file that is meant, and in what it differs.

    Suffix, letter case, folder or prefix; URLs, absolute paths, backslashes. A folder is listed
    once, with all that is below it.
    """
    if not name:
        return "the annotation file gives no file_name"
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    plain = name.replace("\\", "/")
    is_above = not leads_outside(folder.parent, plain) and not _ABSOLUTE.match(plain)
    if is_above and os.path.isfile(folder.parent / plain):
        return f"it is in {folder.parent}: give that folder"
    files, parts = _stems(folder, folder.stat().st_mtime_ns), plain.split("/")
    tails = ("/".join(parts[i:]) for i in range(len(parts)))
    if found := next((tail for tail in tails if tail in files), None):
        prefix = plain[: len(plain) - len(found)]
        option = f" --strip-prefix {shlex.quote(prefix)}" if prefix else ""
        return f"{found} is there, the file says {name}: repair it with `pose-data fix{option}`"
    if found := _alike(files, plain):
        if found.endswith(f"/{plain}"):
            return f"it is in {folder / found.removesuffix(plain)}: give that folder"
        return f"{found} is there, the file says {name} ({_differences(plain, found)})"
    if _URL.match(plain) or _ABSOLUTE.match(plain):
        kind = "a URL: fetch the images, then" if _URL.match(plain) else "an absolute path:"
        start = shlex.quote(plain.removesuffix(parts[-1]))
        return f"{name} is {kind} strip the folder with `pose-data fix --strip-prefix {start}`"
    if not files:
        return f"{folder} is empty"
    some = f"the {len(files)} files in {folder}, such as {next(iter(files))}"
    return f"nothing like it is among {some}"


@lru_cache(maxsize=4)
def _stems(folder: Path, changed: int) -> dict[str, str]:
    """Return the files below a folder, in order, with their stems as they are compared.

    changed: the time of the folder, which makes that anew when files came.
    """
    stems: dict[str, str] = {}
    for directory, folders, names in os.walk(folder):
        folders.sort()
        start = Path(directory).relative_to(folder).as_posix()
        for name in sorted(names)[: _MOST - len(stems)]:
            stems[name if start == "." else f"{start}/{name}"] = _key(os.path.splitext(name)[0])
        if len(stems) == _MOST:
            break
    return stems


def _alike(files: dict[str, str], name: str) -> str | None:
    """Return the file that a name is most likely to mean, None where that is not clear."""
    folder, stem, _ = _split(name)
    same = [path for path, own in files.items() if own == _key(stem)]
    if not same and (number := _number(_key(stem))):
        # Stems may differ in what is before the number: a prefix, or zeros.
        rest = _key(stem).lstrip("0")
        for path, own in files.items():
            other = own.lstrip("0")
            if _number(own) == number and (rest.endswith(other) or other.endswith(rest)):
                same.append(path)
        return same[0] if len(same) == 1 else None

    base = name.rpartition("/")[2]

    def distance(path: str) -> tuple[bool, bool, bool]:
        own, _, other = path.rpartition("/")
        return _key(other) != _key(base), own != folder, other != base

    return min(same, key=distance, default=None)


def _differences(name: str, found: str) -> str:
    """Say in what two paths differ."""
    (folder, stem, suffix), (own, own_stem, own_suffix) = _split(name), _split(found)
    words = ["folder"] if _key(folder) != _key(own) else []
    words += ["suffix"] if _key(suffix) != _key(own_suffix) else []
    if _key(stem) != _key(own_stem):
        words.append("prefix")
    elif not words or (folder != own and "folder" not in words) or stem != own_stem:
        is_same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", found)
        words.append("form of its Unicode letters" if is_same else "letter case")
    return "another " + " and ".join(words)


def _split(path: str) -> tuple[str, str, str]:
    """Return folder, stem and suffix."""
    folder, _, name = path.rpartition("/")
    return folder, *os.path.splitext(name)


def _key(text: str) -> str:
    """Return text as it is compared: without letter case and in one Unicode form."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def _number(stem: str) -> str:
    """Return the number at the end, without leading zeros."""
    found = re.search(r"(?<![0-9])[0-9]+$", stem)
    return "" if found is None else found[0].lstrip("0")
