"""Read large JSON files piece by piece, to have the Python objects of only one in memory.

A list of objects that fills most of a file (COCO's `annotations`, AIC's whole file) is cut between
two of its records every megabyte. A cut is a guess that parsing proves: text that starts inside the
list and parses as a list of its own is exactly the records in it.
"""

import gc
import gzip
import json
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pose_data.errors import DatasetError

MOST_DEFLATED = 200  # times its own size that a gzip file may unpack to; JSON has about 10
SMALL = 64 << 20  # bytes; what unpacks to less may do so from any size
PIECE = 1 << 20  # bytes of JSON parsed at once: what it becomes stays in the processor's cache
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_BETWEEN_RECORDS = re.compile(rb"\}\s*,\s*(?=\{)")
_SPACE = re.compile(rb"\s*")


class Piece(NamedTuple):
    """Some consecutive records of a list, or the whole of any other value.

    key is "" where the file itself is a list; first is the place of value[0] in its list.
    """

    key: str
    value: Any
    first: int


def read_json(path: Path) -> Any:
    """Return the whole content of a JSON file, gzip allowed; raises DatasetError."""
    data = read_bytes(path)
    value, position = _value(path, data, _skip_space(data, 0))
    _check_end(path, data, position)
    return value


def read_pieces(path: Path) -> Iterator[Piece]:
    """Yield the content of a JSON file in file order, long lists of objects in several pieces.

    The top must be an object or a list. Raises DatasetError naming the file, and the line where it
    stops being JSON.
    """
    data = read_bytes(path)
    position = _skip_space(data, 0)
    opening = data[position : position + 1]
    if opening == b"[":
        position = yield from _list_pieces(path, data, position, "")
    elif opening == b"{":
        position = yield from _object_pieces(path, data, position)
    else:
        _value(path, data, position)  # raises, if it is not JSON at all
        raise DatasetError(f"{path} must hold a JSON object or list")
    _check_end(path, data, position)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in errors of reading and unpacking."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is a damaged gzip file: {error}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from running: it would walk millions of short-lived lists."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def opens_list(path: Path) -> bool:
    """Tell whether a JSON file holds a list rather than an object; raises DatasetError."""
    with _named(path):
        with path.open("rb") as plain:
            is_packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_packed else path.open("rb") as file:
            return file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, unpacked where it is a gzip file; raises DatasetError."""
    with _named(path):
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(data)
    if not data:
        raise DatasetError(f"{path} is not a JSON file: it is empty")
    return data.removeprefix(b"\xef\xbb\xbf")  # a byte order mark


def _unpacked(data: bytes) -> bytes:
    """Unpack a gzip file, of one or several in one; a few bytes of it can stand for gigabytes."""
    left, parts = max(SMALL, MOST_DEFLATED * len(data)), []
    while data:
        unpacker = zlib.decompressobj(31)  # gzip
        parts.append(unpacker.decompress(data, left))
        left -= len(parts[-1])
        if left < 1 or unpacker.unconsumed_tail:
            raise DatasetError(
                f"it unpacks to more than {MOST_DEFLATED} times its own size, as no JSON does"
            )
        if not unpacker.eof:
            raise EOFError("it ends in the middle of the data")
        data = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _check_end(path: Path, data: bytes, position: int) -> None:
    position = _skip_space(data, position)
    if position != len(data):
        raise _not_json(path, data, position, "Extra data behind the end")


def _object_pieces(path: Path, data: bytes, position: int) -> Generator[Piece, None, int]:
    """Yield the values of the object that opens at `position`; returns where it ends."""
    seen = set()
    position = _skip_space(data, position + 1)
    while data[position : position + 1] != b"}":
        match = _KEY.match(data, position)
        if match is None:
            raise _not_json(path, data, position, "Expecting a key in double quotes and a colon")
        key, position = str(json.loads(match[1])), match.end()
        if key in seen:
            raise DatasetError(f"{path} has the key {key!r} twice")
        seen.add(key)
        if data[position : position + 1] == b"[":
            position = yield from _list_pieces(path, data, position, key)
        else:
            value, position = _value(path, data, position)
            yield Piece(key, value, 0)
        position = _skip_space(data, position)
        if data[position : position + 1] == b",":
            position = _skip_space(data, position + 1)
            if data[position : position + 1] == b"}":
                raise _not_json(path, data, position, "Expecting a key behind the comma")
        elif data[position : position + 1] != b"}":
            raise _not_json(path, data, position, "Expecting a comma or a closing brace")
    return position + 1


def _list_pieces(path: Path, data: bytes, position: int, key: str) -> Generator[Piece, None, int]:
    """Yield the list that opens at `position`, in pieces; returns where it ends."""
    position, first = position + 1, 0
    while match := _BETWEEN_RECORDS.search(data, position + PIECE):
        text = b"[" + data[position : match.start() + 1] + b"]"
        try:
            value = orjson.loads(text)
        except ValueError:
            # The list ends before the cut, or the cut is inside a record, or there is a NaN, which
            # is not JSON: Python's parser takes it, and the reader of the record can name it.
            break
        if _may_repeat_keys(value, text):
            _decode(path, text.decode())
        yield Piece(key, value, first)
        position, first = match.end(), first + len(value)
    # `position` is behind the bracket or comma before the next record: continue from there as from
    # the start of a list, in a window that grows until it contains the list's end.
    rest, end = _value(path, data, position, prefix=b"[")
    yield Piece(key, rest, first)
    return end


def _value(path: Path, data: bytes, position: int, prefix: bytes = b"") -> tuple[Any, int]:
    """Parse the one value at `position`, and return it and where it ends."""
    window = 2 * PIECE
    while True:
        end = min(position + window, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # not in the middle of a character
            end += 1
        is_cut, window = end < len(data), 4 * window
        try:
            text = (prefix + data[position:end]).decode()
            value, stop = _decode(path, text)
        except DatasetError:
            raise
        except UnicodeDecodeError as error:
            bad = position + error.start - len(prefix)
            raise DatasetError(f"{path} is not UTF-8 at byte {bad}") from error
        except json.JSONDecodeError as error:
            if is_cut:
                continue
            bad = position + len(text[: error.pos].encode()) - len(prefix)
            raise _not_json(path, data, bad, error.msg) from error
        except (RecursionError, ValueError) as error:  # too deep, or a number of too many digits
            raise _not_json(path, data, position, str(error)) from error
        if not is_cut or stop < len(text):  # else a number may continue behind the window
            return value, position + len(text[:stop].encode()) - len(prefix)


def _may_repeat_keys(records: list[Any], text: bytes) -> bool:
    """Tell whether an object in the text may have a duplicate key, of which orjson keeps the last.

    Each key has a quote and a colon behind it. Where their number differs from that of the keys
    (they may also be in strings, and in deeper objects), the text needs a slower parser.
    """
    count = sum(map(len, records))
    if text.count(b"{") != len(records):
        count += sum(len(v) for record in records for v in record.values() if type(v) is dict)
    return count != text.count(b'":') and count != text.count(b'" :')


def _decode(path: Path, text: str) -> tuple[Any, int]:
    """Parse the one value that text begins with; returns it and where it ends."""

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in found if names.count(name) > 1)
            own = f" with the id {found['id']!r:.60}" if "id" in found else ""
            raise DatasetError(f"{path}: an object{own} has the key {twice!r} twice")
        return found

    return json.JSONDecoder(object_pairs_hook=checked).raw_decode(text)


def _skip_space(data: bytes, position: int) -> int:
    match = _SPACE.match(data, position)
    assert match is not None
    return match.end()


def _not_json(path: Path, data: bytes, position: int, reason: str) -> DatasetError:
    line = data.count(b"\n", 0, position) + 1
    column = position - data.rfind(b"\n", 0, position)
    at_end = "" if data[position:].strip() else ", where the file ends"
    text = f"{reason} at line {line} column {column}{at_end}"
    return DatasetError(f"{path} is not a JSON file: {text}")
