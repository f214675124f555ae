"""Keep the arrays of a large annotation file beside it, so that it is parsed once.

The file is a plain .npz: numbers and text, never pickled objects. It counts only as long as size
and time of the annotation file, the version of this layout and the number of keypoints are those
it was made with.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.formats.annotations import Annotations
from pose_data.regions import Regions

VERSION = 1
SMALLEST = 4 << 20  # bytes of an annotation file below which a cache saves nothing one would notice
_ARRAYS = ("image_ids", "file_names", "image_sizes")


def cache_path(annotation_file: Path) -> Path:
    """Return where the cache of an annotation file lies."""
    return annotation_file.with_name(annotation_file.name + ".cache.npz")


def cached(
    annotation_file: Path, num_keypoints: int | None, read: Callable[[], Annotations]
) -> Annotations:
    """Return what `read` returns, from the cache where it holds, and write the cache where not.

    A cache that cannot be written is a notice, not an error: data are often on read-only discs.
    """
    try:
        state = annotation_file.stat()
    except OSError:
        return read()  # which says what is wrong
    if state.st_size < SMALLEST:
        return read()
    key = f"{VERSION} {state.st_size} {state.st_mtime_ns} {num_keypoints}".encode()
    found = _load(cache_path(annotation_file), key)
    if found is not None:
        return found
    found = read()
    problem = _save(cache_path(annotation_file), key, found)
    if problem is None:
        return found
    notice = f"{annotation_file}: no cache beside it, it is parsed each time: {problem}"
    return replace(found, notices=(*found.notices, notice))


def _load(path: Path, key: bytes) -> Annotations | None:
    """Return what a cache holds; None where there is none, or another file's, or a damaged one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if stored["key"].tobytes() != key:
                return None
            about = json.loads(stored["about"].tobytes())
            regions = Regions(**{f.name: stored[f"regions.{f.name}"] for f in fields(Regions)})
            arrays = {name: stored[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Annotations(
        **arrays,
        regions=regions,
        categories=tuple(about["categories"]),
        notices=tuple(about["notices"]),
    )


def _save(path: Path, key: bytes, found: Annotations) -> str | None:
    """Write a cache under a temporary name and rename it; returns why it could not be written."""
    about = {"categories": found.categories, "notices": found.notices}
    arrays: dict[str, Any] = {name: getattr(found, name) for name in _ARRAYS}
    arrays |= {f"regions.{f.name}": getattr(found.regions, f.name) for f in fields(Regions)}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays["key"] = np.frombuffer(key, np.uint8)
    scratch = None
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except OSError as error:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
        return error.strerror or str(error)
    return None
