"""Rows of the usual form, read fast: by orjson, one piece of the file after the other.

What is read here is equal to Python's json's reading to the last bit. At anything unusual (a key
that is missing or there twice, null, a number as text, NaN, ...) these functions return None; then
json reads the file again, and rows.py finds the words for what is wrong.
"""

import gzip
import io
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, starmap
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pose_eval.io.columns import (
    IDS,
    MOST_JOINTS,
    NUMBERS,
    WHOLE,
    Columns,
    blank,
    fitted,
    id_array,
    joined,
)

PIECE = 200_000  # bytes parsed at a time: what they become is freed before the cache is full
LONGEST = 10_000_000  # bytes of a piece
GAP = 99  # bytes of layout between two rows
BLANK = b" \t\r\n"
LAST = "\0last"  # the key of the last annotations while those before are read by themselves
Rows = list[dict[str, Any]]


def plain_file(
    source: Path | bytes, joints: Mapping[Any, int], least: int | None, required: Sequence[str]
) -> Columns | None:
    """Return the rows of a results file, which is not held in memory as a whole.

    The arguments are those of plain_columns.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    try:
        with _opened(source) as file:
            pieces = map(_rows, _pieces(file))
            return _joined(pieces, size, joints, required, ("bbox",), least)
    except (OSError, EOFError, zlib.error, ValueError):
        return None


def plain_ground_truth(
    data: bytes, required: Sequence[str], optional: Sequence[str]
) -> tuple[dict[str, Any], Columns] | None:
    """Return the content of an annotation file, and its annotations as columns.

    The list in the content has only the last annotations: each piece is gone once it is read.
    """
    begin = re.search(rb'"annotations"\s*:\s*(?=\[\s*\{\s*"[^"\\]*"\s*:)', data)
    if begin is None:
        return None
    try:
        *pieces, last = _pieces(io.BytesIO(data[begin.end() :]))
        content = plain_content(data[: begin.start()] + b'"\\u0000last":' + last)
        if "annotations" in content:  # it comes twice
            return None
        content["annotations"] = content.pop(LAST)  # not there if the list is within another object
        ids, named = (
            [entry[key] for entry in content["categories"]] for key in ("id", "keypoints")
        )
        if set(map(type, ids)) != {int} or set(map(type, named)) != {list}:
            return None
        joints = dict(zip(ids, map(len, named), strict=True))
        parts = chain(map(_rows, pieces), [content["annotations"]])
        columns = _joined(parts, len(data), joints, required, optional, None)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if columns is None else (content, columns)


def plain_content(data: bytes) -> Any:
    """Return the content of JSON, None where orjson refuses it or a key comes twice."""
    try:
        content = orjson.loads(data)
    except ValueError:
        return None
    return content if data.count(b'":') == _num_keys(content) else None


def _joined(
    pieces: Iterable[Rows],
    size: int,
    joints: Mapping[Any, int],
    required: Sequence[str],
    optional: Sequence[str],
    least: int | None,
) -> Columns | None:
    """Return the rows of all pieces of a file of so many bytes, as plain_columns does."""
    parts: list[Columns] = []
    poses, count = np.empty((0, 3 * max(joints.values()))), 0
    for rows in pieces:
        part = plain_columns(rows, joints, required, optional, least)
        if part is None:
            return None
        # In one array from the start: hundreds of small ones would keep twice the memory. At first
        # there is room for a file of such rows; what is not written to takes no memory.
        if count + len(rows) > len(poses):
            room = 2 * count + len(rows) if count else len(rows) * (size // PIECE + 2) * 21 // 20
            poses, full = np.empty((room, poses.shape[1])), poses
            poses[:count] = full[:count]
        poses[count : count + len(rows)] = part.values.pop("keypoints")
        count += len(rows)
        parts.append(part)
        del rows, part  # before the next ones are read: memory that is in the cache is used again
    if len({part["image_id"].dtype.kind for part in parts}) > 1:
        return None
    found = joined(parts)
    found.values["keypoints"] = poses[:count]
    return found


def plain_columns(
    rows: Sequence[Any],
    joints: Mapping[Any, int],
    required: Sequence[str],
    optional: Sequence[str],
    least: int | None = None,
) -> Columns | None:
    """Return rows as columns, as rows_to_columns does, or None.

    required, optional: the keys to read; of the optional ones, `bbox` and whole numbers alone may
    be missing. joints: by category id (integers), its number of keypoints, the same for all. least:
    rows may all have another number, if not below this one.
    """
    if len(set(joints.values())) != 1 or any(isinstance(key, str) for key in joints):
        return None
    num_joints = next(iter(joints.values()))
    values, has = {}, {}
    try:
        for key in (*required, *optional):
            try:
                found = list(map(itemgetter(key), rows))
            except KeyError:
                found = [row.get(key) for row in rows]
            kinds = set(map(type, found))
            width = 4 if key == "bbox" else 3 * num_joints
            if key == "keypoints" and least and found and len(found[0]) % 3 == 0:
                width = max(len(found[0]), 3 * least)
            if type(None) not in kinds:
                read = _column(key, found, kinds, width)
                values[key] = fitted(read, num_joints) if key == "keypoints" else read
                has[key] = np.ones(len(found), np.bool_)
            elif key == "bbox" or key in WHOLE:
                has[key] = np.array([value is not None for value in found], np.bool_)
                values[key] = blank(key, len(rows), num_joints)
                there = [value for value in found if value is not None]
                values[key][has[key]] = _column(key, there, kinds - {type(None)}, width)
            else:
                return None
    except (_Unusual, AttributeError, TypeError, ValueError, OverflowError, struct.error):
        return None
    return Columns(values, has, Counter())


class _Unusual(Exception):
    """Something that is left to json and rows.py."""


def _column(key: str, values: list[Any], kinds: set[type], width: int) -> NDArray[Any]:
    """Return values of some types of a key; width: numbers in each, of `keypoints` and `bbox`."""
    if key in IDS:
        if kinds <= {int} or (kinds == {str} and key != "category_id"):
            return id_array(values)
    elif key in WHOLE:
        most = MOST_JOINTS if key == "num_keypoints" else 1
        whole = np.array(values, np.int64)
        if kinds <= {int} and ((whole >= 0) & (whole <= most)).all():
            return whole
    elif key in NUMBERS:
        found = np.array(values, np.float64)
        if kinds <= {int, float} and np.isfinite(found).all():
            return found
    elif kinds <= {list}:
        pack = struct.Struct(f"{width}d").pack  # fast, and refuses what is no number
        found = np.frombuffer(bytearray().join(starmap(pack, values)), np.float64)
        if np.isfinite(found).all():
            return found.reshape(len(values), width)
    raise _Unusual


def _num_keys(content: Any) -> int:
    """Return how often JSON of the content, written by orjson, has a quote before a colon."""
    return orjson.dumps(content).count(b'":')


def _opened(source: Path | bytes) -> IO[bytes] | gzip.GzipFile:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    with source.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(source) if packed else source.open("rb")


def _pieces(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yield lists of rows as JSON, or some of JSON lines; raises ValueError at anything else.

    A piece ends between two rows, where one begins with the key with which the first row begins. If
    what looks like that is within a row, or within text, then brackets or quotes are not closed,
    and orjson refuses the piece. What follows the list is in the last piece.
    """
    rest = file.read(PIECE).removeprefix(b"\xef\xbb\xbf").lstrip(BLANK)
    if rest[:1] not in (b"[", b"{"):
        raise ValueError
    lines = rest[:1] == b"{"
    first = re.match(rb'\[\s*(\{\s*"[^"\\]*"\s*:)', rest)
    while more := file.read(PIECE):
        rest += more
        cut = rest.rfind(b"\n") if lines else _between_rows(rest, first[1] if first else b"{")
        if cut > 0:
            yield rest[:cut] if lines else b"".join([memoryview(rest)[:cut], b"]"])
            rest = rest[cut:] if lines else b"[" + rest[cut:].lstrip(BLANK + b",")
        elif len(rest) > LONGEST:
            raise ValueError
    yield rest


def _between_rows(data: bytes, first: bytes) -> int:
    """Return the position behind the last row that another one follows, -1 if there is none."""
    start = data.rfind(first)
    while start > 0:
        gap = data[max(0, start - GAP) : start]
        before = gap.rstrip(BLANK)
        if before[-1:] == b"," and (row := before[:-1].rstrip(BLANK))[-1:] == b"}":
            return start - len(gap) + len(row)
        start = data.rfind(first, 0, start)
    return -1


def _rows(data: bytes) -> Rows:
    """Return the rows of a piece; raises ValueError where anything is unusual."""
    if data[:1] == b"[":
        rows = orjson.loads(data)
    else:
        rows = [orjson.loads(line) for line in data.split(b"\n") if line.strip()]
    if type(rows) is not list or set(map(type, rows)) - {dict}:
        raise ValueError
    # No key twice: keys are all the text there is, or they are as many as orjson writes.
    quotes = np.count_nonzero(np.frombuffer(data, np.uint8) == ord('"'))
    if quotes != 2 * sum(map(len, rows)) and data.count(b'":') != _num_keys(rows):
        raise ValueError
    return rows
