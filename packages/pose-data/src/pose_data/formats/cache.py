"""Keep the table of a large annotation file beside it, so that it is parsed once.

The cache is a plain .npz: numbers and text, never pickled objects. It counts only as long as size
and time of the annotation file and the version of this layout are those it was made with.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.findings import Findings
from pose_data.formats.annotations import Table, read_table
from pose_data.persons import Category

VERSION = 2
SMALLEST = 4 << 20  # bytes of an annotation file below which a cache saves nothing one would notice


def cache_path(annotation_file: Path) -> Path:
    """Return where the cache of an annotation file lies."""
    return annotation_file.with_name(annotation_file.name + ".cache.npz")


Read = Callable[[Path, Path | None, Findings], Table]


def cached(
    annotation_file: Path, image_dir: Path, findings: Findings, read: Read = read_table
) -> Table:
    """Return what `read` does, from the cache where it holds, and write the cache where not.

    A cache that cannot be written is a finding, not an error: data are often on read-only discs.
    """
    try:
        state = annotation_file.stat()
    except OSError:
        return read(annotation_file, image_dir, findings)  # which says what is wrong
    if state.st_size < SMALLEST:
        return read(annotation_file, image_dir, findings)
    key = f"{VERSION} {state.st_size} {state.st_mtime_ns}".encode()
    found = _load(cache_path(annotation_file), key, image_dir, findings)
    if found is not None:
        return found
    found = read(annotation_file, image_dir, findings)
    problem = _save(cache_path(annotation_file), key, image_dir, found, findings)
    if problem is not None:
        text = f"{annotation_file}: no cache beside it, it is parsed each time: {problem}"
        findings.add("no-cache", text)
    return found


def _load(path: Path, key: bytes, image_dir: Path, findings: Findings) -> Table | None:
    """Return what a cache holds; None where there is none, or another file's, or a damaged one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if stored["key"].tobytes() != key:
                return None
            about = json.loads(stored["about"].tobytes())
            if about["sizes_of"] not in (None, str(image_dir.resolve())):
                return None
            arrays = {name: stored[name] for name in stored.files}
            categories = tuple(
                Category(**each | {"keypoints": tuple(each["keypoints"])})
                for each in about["categories"]
            )
            found = about["findings"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    for slug, records, count in found:
        for record in records:
            findings.add(slug, record, 0)
        findings.by_slug[slug].count += count
    parts = ({}, {})  # type: tuple[dict[str, Any], dict[str, Any]]
    for name, values in arrays.items():
        part, _, column = name.partition(".")
        if column:
            parts[part == "rows"][column] = values
    return Table(*parts, categories, about["sizes_of"] is not None)


def _save(path: Path, key: bytes, image_dir: Path, found: Table, findings: Findings) -> str | None:
    """Write a cache under a temporary name and rename it; returns why it could not be written."""
    about = {
        "sizes_of": str(image_dir.resolve()) if found.has_read_sizes else None,
        "categories": [each._asdict() for each in found.categories],
        "findings": [(f.slug, f.records, f.count) for f in findings.by_slug.values()],
    }
    arrays: dict[str, Any] = {f"images.{name}": each for name, each in found.images.items()}
    arrays |= {f"rows.{name}": each for name, each in found.rows.items()}
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
