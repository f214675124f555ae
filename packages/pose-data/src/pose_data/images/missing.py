"""Say why the file of an image is not where its annotation file names it."""

import os
import re
import shlex
import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_MOST = 300_000  # files of a folder that are looked at
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_ABSOLUTE = re.compile(r"/|[a-z]:", re.IGNORECASE)


class _Files(NamedTuple):
    """The files below a folder, by path, by stem, and by the number at the stem's end."""

    paths: dict[str, None]  # in order
    by_stem: dict[str, list[str]]
    by_number: dict[str, list[str]]


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
    if os.path.isfile(folder.parent / plain) and not _ABSOLUTE.match(plain):
        return f"it is in {folder.parent}: give that folder"
    files = _listed(folder, folder.stat().st_mtime_ns)
    paths, parts = files.paths, plain.split("/")
    tails = ("/".join(parts[i:]) for i in range(len(parts)))
    if found := next((tail for tail in tails if tail in paths), None):
        prefix = plain[: len(plain) - len(found)]
        option = f" --strip-prefix {shlex.quote(prefix)}" if prefix else ""
        return f"{found} is there, the file says {name}: mend it with `pose-data fix{option}`"
    if found := _alike(files, plain):
        if found.endswith(f"/{plain}"):
            return f"it is in {folder / found.removesuffix(plain)}: give that folder"
        return f"{found} is there, the file says {name} ({_differences(plain, found)})"
    if _URL.match(plain) or _ABSOLUTE.match(plain):
        kind = "a URL: fetch the images, then" if _URL.match(plain) else "an absolute path:"
        start = shlex.quote(plain.removesuffix(parts[-1]))
        return f"{name} is {kind} strip the folder with `pose-data fix --strip-prefix {start}`"
    if not paths:
        return f"{folder} is empty"
    some = f"the {len(paths)} files in {folder}, such as {next(iter(paths))}"
    return f"nothing like it is among {some}"


@lru_cache(maxsize=4)
def _listed(folder: Path, changed: int) -> _Files:
    """List a folder; `changed` makes that anew when files came."""
    files = _Files({}, defaultdict(list), defaultdict(list))
    for directory, folders, names in os.walk(folder):
        folders.sort()
        start = Path(directory).relative_to(folder).as_posix()
        for name in sorted(names)[: _MOST - len(files.paths)]:
            path = name if start == "." else f"{start}/{name}"
            stem = _stem(path)
            files.paths[path] = None
            files.by_stem[stem].append(path)
            files.by_number[_number(stem)].append(path)
        if len(files.paths) == _MOST:
            break
    return files


def _alike(files: _Files, name: str) -> str | None:
    """Return the file that a name is most likely to mean, None where that is not clear."""
    stem, (folder, _, base) = _stem(name), name.rpartition("/")
    if stem not in files.by_stem and (number := _number(stem)):
        found = [path for path in files.by_number.get(number, []) if _is_part(_stem(path), stem)]
        return found[0] if len(found) == 1 else None

    def distance(path: str) -> tuple[bool, bool, bool]:
        own, _, other = path.rpartition("/")
        return _key(other) != _key(base), own != folder, other != base

    return min(files.by_stem.get(stem, []), key=distance, default=None)


def _differences(name: str, found: str) -> str:
    """Say in what two paths differ, in words."""
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


def _stem(path: str) -> str:
    return _key(_split(path)[1])


def _key(text: str) -> str:
    """Return text as it is compared: without letter case and in one Unicode form."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def _number(stem: str) -> str:
    """Return the number at the end, without leading zeros."""
    found = re.search(r"[0-9]+$", stem)
    return "" if found is None else found[0].lstrip("0")


def _is_part(one: str, other: str) -> bool:
    """Tell whether two stems differ in what is before the number only: a prefix, or zeros."""
    one, other = one.lstrip("0"), other.lstrip("0")
    return one.endswith(other) or other.endswith(one)
