"""Keep the table of a large annotation file beside it, so that it is parsed once.

The cache is a plain .npz: numbers and text, never pickled objects. It counts only as long as size
and time of the annotation file and the version of this layout are those it was made with.
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.findings import Finding, Findings
from pose_data.formats.annotations import Read, Table, read_table
from pose_data.formats.json import read_pieces
from pose_data.persons import Category
from pose_data.writing import replacing

VERSION = 3
SMALLEST = 4 << 20  # bytes of an annotation file below which a cache saves nothing one would notice


def cache_path(annotation_file: Path) -> Path:
    """Return where the cache of an annotation file lies."""
    return annotation_file.with_name(annotation_file.name + ".cache.npz")


def read_cached(
    annotation_file: Path, image_dir: Path | None, findings: Findings, read: Read = read_pieces
) -> Table:
    """Return what read_table does, from the cache where it is valid, else write the cache.

    A cache that cannot be written is a finding, not an error: data are often on read-only discs.
    """
    state = annotation_file.stat() if annotation_file.is_file() else None
    if state is None or state.st_size < SMALLEST:
        return read_table(annotation_file, image_dir, findings, read)  # also names a missing file
    # The time of change (ctime) is this machine's own: a cache that came with a download, whose
    # content nothing has checked, does not fit.
    key = f"{VERSION} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}".encode()
    folder = "" if image_dir is None else str(image_dir.resolve())
    table = _load(cache_path(annotation_file), key, folder, findings)
    if table is not None:
        return table
    table = read_table(annotation_file, image_dir, findings, read)
    about = {
        "sizes_of": folder if table.has_read_sizes else None,
        "categories": [each._asdict() for each in table.categories],
        "findings": [(f.slug, f.records, f.count) for f in findings.by_slug.values()],
    }
    arrays: dict[str, Any] = {f"images.{name}": each for name, each in table.images.items()}
    arrays |= {f"rows.{name}": each for name, each in table.rows.items()}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays["key"] = np.frombuffer(key, np.uint8)
    try:
        with replacing(cache_path(annotation_file)) as file:
            np.savez(file, **arrays)
    except OSError as error:
        why = error.strerror or error
        text = f"{annotation_file}: no cache beside it, it is parsed each time: {why}"
        findings.add("no-cache", text)
    return table


def _load(path: Path, key: bytes, folder: str, findings: Findings) -> Table | None:
    """Return the table of a cache; None where there is none, or another file's, or a damaged one.

    folder: of the images, whose sizes may be in the cache.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if stored["key"].tobytes() != key:
                return None
            about = json.loads(stored["about"].tobytes())
            if about["sizes_of"] not in (None, folder):
                return None
            parts: dict[str, dict[str, Any]] = {"images": {}, "rows": {}}
            for part, column in (name.split(".") for name in stored.files if "." in name):
                parts[part][column] = stored[f"{part}.{column}"]
            categories = tuple(
                Category(**each | {"keypoints": tuple(each["keypoints"])})
                for each in about["categories"]
            )
            found = {slug: Finding(slug, n, records) for slug, records, n in about["findings"]}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    except (RuntimeError, MemoryError, zlib.error):  # by its header it is packed, or locked
        return None
    findings.by_slug |= found
    return Table(**parts, categories=categories, has_read_sizes=about["sizes_of"] is not None)
